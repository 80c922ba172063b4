"""Between strangers and the socket of the public stream: it takes their connections, and passes bytes on, but few of
theirs.

ZeroMQ holds whatever a peer subscribes to, in a tree of some 75 bytes a character, and has no limit on it; nor does it
say who a peer is. So nobody talks to it directly. What a subscriber has to say in all its life, handshake and topics,
is 2 kB at most; who says far more is cut off, and ZeroMQ then forgets all that this peer asked for. The bytes are not
understood here, so that this holds for CURVE as well.

The rule of this file: a connection costs a fixed amount, whatever its other end does; and no peer is waited for.
"""

import contextlib
import os
import selectors
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from erc_live.streams.errors import AddressError

CONNECTIONS = 64
CONNECTIONS_OF_ONE = 8  # of a process of this machine, or of another machine
REQUEST_BYTES = 8192  # that a connection may say in all; ZeroMQ makes 0.6 MB of them
REQUESTS_OF_ONE, REQUESTS_OF_ONE_PER_S = 16, 2.0  # connections asked for: who loses its own needs a few more
ANSWERED, ANSWERED_PER_S = 50, 1500.0  # connections: to refuse one costs 50 us
_BACKLOG = 1024  # so that who floods it stands before others in a queue, and not in their place
_KNOWN = 256
CHUNK_BYTES = 64 << 10  # held for a reader that is slow, beyond what ZeroMQ and the kernel hold
_PAUSE_S = 0.05


class Allowance:
    """So much at once, and so much per second after that."""

    def __init__(self, burst: float, per_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_s, self._now = burst, per_s, now
        self._left, self._since = burst, now()

    def take(self, amount: float) -> bool:
        """Whether that much was left; it is gone now."""
        now = self._now()
        self._left = min(self._burst, self._left + (now - self._since) * self._per_s)
        self._since = now
        if amount > self._left:
            return False
        self._left -= amount
        return True


class Relay:
    """Listens at `endpoint` (ipc or tcp) and connects each peer with the socket at `inner`, in a thread of its own.

    `private`: processes of other users are refused, where the system tells. `most_bytes`: of what a connection may say
    in all. `connections`: how many there may be. `refused` counts
    connections that were refused or cut off. Raises AddressError where it cannot listen.
    """

    def __init__(
        self,
        endpoint: str,
        inner: str,
        *,
        private: bool,
        most_bytes: int = REQUEST_BYTES,
        connections: int = CONNECTIONS,
    ) -> None:
        self.refused = 0
        self._inner, self._private, self._most_bytes, self._most = inner, private, most_bytes, connections
        self._listener = _listen(endpoint)
        self.endpoint = _name(endpoint, self._listener)
        self._peers: set[_Peer] = set()
        self._accepts = Allowance(ANSWERED, ANSWERED_PER_S)
        self._allowances: dict[str, Allowance] = {}
        self._paused_until = 0.0
        self._cut_all = False
        self._end_by: float | None = None
        self._selector = selectors.DefaultSelector()
        self._awake, self._wake = socket.socketpair()
        self._selector.register(self._awake, selectors.EVENT_READ, lambda ready: self._awake.recv(64))
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it does its work: a bug of ours would end its thread, and the stream with it."""
        return self._thread.is_alive()

    def cut_all(self) -> None:
        """Break every connection: who may, connects again."""
        self._cut_all = True
        self._wake.send(b"x")

    def close(self, timeout_s: float) -> None:
        """Call it when the inner socket is closed. What that sent leaves, in `timeout_s` at most."""
        self._end_by = time.monotonic() + timeout_s
        self._wake.send(b"x")
        self._thread.join()
        for end in (self._awake, self._wake):
            end.close()
        self._selector.close()

    def _run(self) -> None:
        listening = False
        while self._end_by is None or (self._peers and time.monotonic() < self._end_by):
            wants = self._end_by is None and time.monotonic() >= self._paused_until
            if wants != listening:
                self._watch(self._listener, selectors.EVENT_READ if wants else 0, self._accept)
                listening = wants
            for key, ready in self._selector.select(_PAUSE_S if not wants else 1.0):
                key.data(ready)
            if self._cut_all:
                self._cut_all = False
                for peer in [*self._peers]:
                    self._drop(peer)
        for peer in [*self._peers]:
            self._drop(peer)
        if listening:
            self._selector.unregister(self._listener)
        _stop_listening(self._listener)

    def _accept(self, ready: int) -> None:
        if not self._accepts.take(1):
            self._paused_until = time.monotonic() + _PAUSE_S
            return
        try:
            outer, _ = self._listener.accept()
        except OSError:  # gone again, or this process has no descriptor left
            self._paused_until = time.monotonic() + _PAUSE_S
            return
        who = _identity(outer)
        if len(self._peers) >= self._most or self._is_greedy(who) or (self._private and not _is_mine(outer)):
            self._refuse(outer)
            return
        try:
            peer = _Peer(who, outer, _connect(self._inner))
        except OSError:  # the publisher is about to close
            self._refuse(outer)
            return
        self._peers.add(peer)
        self._watch_both(peer)

    def _is_greedy(self, who: str) -> bool:
        """Whether somebody known has enough connections, or asks for one too often."""
        if not who:
            return False
        if who not in self._allowances and len(self._allowances) >= _KNOWN:
            self._allowances.pop(next(iter(self._allowances)))
        asked = self._allowances.setdefault(who, Allowance(REQUESTS_OF_ONE, REQUESTS_OF_ONE_PER_S))
        return not asked.take(1) or sum(peer.who == who for peer in self._peers) >= CONNECTIONS_OF_ONE

    def _refuse(self, outer: socket.socket) -> None:
        self.refused += 1
        outer.close()

    def _watch_both(self, peer: "_Peer") -> None:
        """The reader is read from in any case; what is for it is fetched when it took what came before."""
        full = bool(peer.waiting)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if full else 0)
        self._watch(peer.outer, events, lambda ready: self._outer(peer, ready))
        self._watch(peer.inner, 0 if full else selectors.EVENT_READ, lambda ready: self._downstream(peer))

    def _watch(self, end: socket.socket, events: int, callback: Callable[[int], object]) -> None:
        registered = self._selector.get_map().get(end)
        if registered is None and events:
            self._selector.register(end, events, callback)
        elif registered is not None and not events:
            self._selector.unregister(end)
        elif registered is not None and registered.events != events:
            self._selector.modify(end, events, callback)

    def _outer(self, peer: "_Peer", ready: int) -> None:
        if peer in self._peers and ready & selectors.EVENT_READ:
            self._upstream(peer)
        if peer in self._peers and ready & selectors.EVENT_WRITE:
            self._send(peer)

    def _upstream(self, peer: "_Peer") -> None:
        """What a peer says goes in as it comes: the kernel holds more than a peer may say."""
        try:
            data = peer.outer.recv(REQUEST_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        peer.received += len(data)
        if peer.received > self._most_bytes:
            self.refused += 1
            data = b""
        if not data:
            self._drop(peer)
            return
        try:
            peer.inner.sendall(data)
        except BlockingIOError:  # the publisher has not looked for long
            self._drop(peer)
        except OSError:  # it has closed; what it sent before is still on its way
            return

    def _downstream(self, peer: "_Peer") -> None:
        if peer not in self._peers:
            return
        try:
            data = peer.inner.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(peer)
            return
        peer.waiting = memoryview(data)
        self._send(peer)

    def _send(self, peer: "_Peer") -> None:
        try:
            peer.waiting = peer.waiting[peer.outer.send(peer.waiting) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(peer)
            return
        self._watch_both(peer)

    def _drop(self, peer: "_Peer") -> None:
        self._peers.discard(peer)
        for end in (peer.outer, peer.inner):
            self._watch(end, 0, lambda ready: None)
            end.close()


class _Peer:
    """One connection, and its counterpart inside."""

    def __init__(self, who: str, outer: socket.socket, inner: socket.socket) -> None:
        self.who, self.outer, self.inner = who, outer, inner
        self.received = 0  # bytes
        self.waiting = memoryview(b"")
        for end in (outer, inner):
            end.setblocking(False)
            if end.family != getattr(socket, "AF_UNIX", None):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _listen(endpoint: str) -> socket.socket:
    scheme, _, rest = endpoint.partition("://")
    try:
        if scheme == "ipc":
            return _listen_at(rest)
        host, _, port = rest.rpartition(":")
        where = "" if host == "*" else host.strip("[]")
        family = socket.AF_INET6 if ":" in where else socket.AF_INET
        return socket.create_server((where, 0 if port == "*" else int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AddressError(f"cannot listen on {endpoint}: {error.strerror}; choose another events.endpoint") from error


def _listen_at(path: str) -> socket.socket:
    """A socket of this user alone; the file that a killed publisher left makes room. Raises OSError."""
    if Path(path).is_socket():
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        Path(path).chmod(stat.S_IRUSR | stat.S_IWUSR)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _stop_listening(listener: socket.socket) -> None:
    name = listener.getsockname()
    listener.close()
    if isinstance(name, str) and name:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def _name(endpoint: str, listener: socket.socket) -> str:
    """The endpoint, with the port that was chosen for `*`."""
    place, _, port = endpoint.rpartition(":")
    return f"{place}:{listener.getsockname()[1]}" if port == "*" else endpoint


def _connect(inner: str) -> socket.socket:
    """Raises OSError."""
    scheme, _, rest = inner.partition("://")
    if scheme != "ipc":
        host, _, port = rest.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=1.0)
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.setblocking(False)
        connected.connect(rest)
    except OSError:
        connected.close()
        raise
    return connected


def _identity(outer: socket.socket) -> str:
    """Who a connection is counted for: a process of this machine, or another machine; "" where that is unknown."""
    credentials = _credentials(outer)
    if credentials:
        return f"process {credentials[0]}"
    try:
        host = str(outer.getpeername()[0])
    except (OSError, IndexError):
        return ""
    return "" if host.startswith("127.") or host == "::1" else host


def _is_mine(outer: socket.socket) -> bool:
    credentials = _credentials(outer)
    return not credentials or credentials[1] in (0, os.getuid())


def _credentials(outer: socket.socket) -> tuple[int, int] | None:
    """Process and user of the other end; None where the system does not tell."""
    if outer.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
        return None
    process, user, _ = struct.unpack("3i", outer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return process, user
