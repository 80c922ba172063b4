"""The socket of the public stream: it sends, knows which topics are subscribed to, and lets in who may read.

The rules: nothing that a stranger sends is held here unless it is a topic of ours; a turn takes a bounded time; and a
subscriber whose key is not known never gets as far as a topic.
"""

import contextlib
import logging
from collections import Counter
from typing import NamedTuple

import zmq

from erc_live.streams.address import BusAddresses
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.doorkeeper import Doorkeeper
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.relay import CONNECTIONS, Relay
from erc_live.streams.sockets import LINGER_MS, MAX_REQUEST_BYTES, close_socket, open_socket
from erc_live.streams.topics import BY_NAME

# + an id of its own: the topic on which one late subscriber is told what it missed. Of one dialogue of many, + a dot
# and that one.
SNAPSHOT = "snapshot."
_PREFIX = SNAPSHOT.encode()
_PUBLIC = tuple(name.encode() for name, topic in BY_NAME.items() if issubclass(topic.message, PublicMessage))
_TURN = 64  # requests read in one turn, 5 us each

log = logging.getLogger(__name__)


class SnapshotRequest(NamedTuple):
    """A snapshot is asked for on `topic`; `peer` tells connections apart."""

    peer: int
    topic: bytes


class PublicOutlet:
    """A bound XPUB socket behind a relay. `keys`: who may read; None: whoever can reach `endpoint`.

    `private`: programs of other users of this machine cannot. `connections`: how many there may be.
    Raises AddressError.
    """

    def __init__(
        self, endpoint: str, queue: int, keys: KeyFolder | None, *, private: bool, connections: int = CONNECTIONS
    ) -> None:
        self._subscriptions: Counter[bytes] = Counter()
        self._refused = 0
        self._addresses = BusAddresses()
        inner = self._addresses.endpoint("events")
        self._socket = open_socket(zmq.XPUB, inner)
        self._doorkeeper: Doorkeeper | None = None
        try:
            self._socket.set(zmq.SNDHWM, queue)
            self._socket.set(zmq.XPUB_VERBOSER, 1)  # tell of every peer, not only of the first and last on a topic
            self._socket.set(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
            if keys:
                self._doorkeeper = Doorkeeper(self._socket, keys)
            self._socket.bind(inner)
            self._relay = Relay(endpoint, inner, private=private, connections=connections)
        except BaseException:
            self._close_inner(linger_ms=0)
            raise
        self.endpoint = self._relay.endpoint

    def send(self, frames: list[bytes | zmq.Frame]) -> None:
        """Send without waiting: a reader whose queue is full loses it."""
        self._socket.send_multipart(frames)

    def requests(self) -> list[SnapshotRequest]:
        """The snapshots that were asked for since the last call, in order; a flood waits for the next call."""
        if self._doorkeeper:
            self._doorkeeper.answer()
        new: list[SnapshotRequest] = []
        with contextlib.suppress(zmq.Again):
            for _ in range(_TURN):
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)  # 1 or 0, then the topic; anything else is not ours
                sign, topic = frame.bytes[:1], frame.bytes[1:]
                if sign == b"\x01" and topic.startswith(_PREFIX):
                    new.append(SnapshotRequest(_peer(frame), topic))
                elif sign in (b"\x00", b"\x01") and _is_public(topic):
                    # This form of addition drops what falls to zero.
                    self._subscriptions += Counter({topic: 1 if sign == b"\x01" else -1})
        return new

    def dialogues(self, topic: str) -> list[str]:
        """Of which dialogues, each named, `topic` is subscribed to."""
        prefix = topic.encode() + b"."
        return [t[len(prefix) :].decode("ascii", "replace") for t in self._subscriptions if t.startswith(prefix)]

    def count(self, topic: str) -> int:
        """How many subscriptions cover `topic`."""
        return sum(n for prefix, n in self._subscriptions.items() if topic.encode().startswith(prefix))

    def look_after(self) -> None:
        """Call it every second or so: who was revoked is cut off, and a flood is logged."""
        assert self._relay.alive
        if self._doorkeeper and self._doorkeeper.changed():
            self._relay.cut_all()
        if (refused := self._relay.refused) > self._refused:
            log.warning("connections of subscribers that were refused or cut off: %d", refused - self._refused)
            self._refused = refused

    def close(self) -> None:
        """Let what was sent leave, and stop listening."""
        self._close_inner(LINGER_MS)
        self._relay.close(LINGER_MS / 1000)
        self._addresses.close()

    def _close_inner(self, linger_ms: int) -> None:
        if self._doorkeeper:
            self._doorkeeper.close()
        close_socket(self._socket, linger_ms)
        if not linger_ms:
            self._addresses.close()


def _is_public(topic: bytes) -> bool:
    """Whether it begins a topic of ours, or is one of a dialogue."""
    name, dot, _ = topic.partition(b".")
    return name in _PUBLIC if dot else any(public.startswith(topic) for public in _PUBLIC)


def _peer(frame: zmq.Frame) -> int:
    """The connection that a message came by: its descriptor in this process."""
    with contextlib.suppress(zmq.ZMQError):  # it has gone already
        return int(frame.get(zmq.SRCFD))
    return -1
