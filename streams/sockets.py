"""What every ZeroMQ socket of ours has in common: how it is opened, bound and closed, and who subscribed to it.

The rules: no socket of a session listens outside this machine; every queue has a limit; a publisher never waits for its
readers; what a peer sends may be counted and dropped, but never stops us. A socket belongs to one thread. Three options
of ZeroMQ are left alone: CONFLATE aborts the process on messages of several frames; XPUB_NODROP lets one slow reader
stop all; and heartbeats take a reader whose queue is full for dead, after which libzmq aborts the process that empties
the queue (its bug report 3937). The kernel tells of peers on this machine that died.
"""

import contextlib
import errno
from collections import Counter

import zmq

from erc_live.streams.address import check_endpoint, check_unused
from erc_live.streams.curve_keys import KeyPair
from erc_live.streams.errors import AddressError

RECONNECT_MS = 50
LINGER_MS = 2000
QUEUE = 1000  # messages; 32 s of audio
MAX_FRAME_BYTES = 16 << 20  # a JPEG is far smaller; ZeroMQ cuts off for good who sends more
MAX_REQUEST_BYTES = 1024  # all that a subscriber sends: topics
BATCH = 256  # messages taken in one call, so that a flood cannot hold the caller


class Outlet:
    """A bound XPUB socket: it sends, and knows which topics are subscribed to."""

    def __init__(self, endpoint: str, queue: int, pair: KeyPair | None = None) -> None:
        """`pair`: that of the session, where its sockets can be reached by others (`BusAddresses.pair`)."""
        check_endpoint(endpoint)
        check_unused(endpoint)
        self._subscriptions: Counter[bytes] = Counter()
        self._socket = open_socket(zmq.XPUB, endpoint)
        self._socket.set(zmq.SNDHWM, queue)
        self._socket.set(zmq.XPUB_VERBOSER, 1)  # tell of every peer, not only of the first and last on a topic
        self._socket.set(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
        if pair:
            guard(self._socket, pair, server=True)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            close_socket(self._socket, linger_ms=0)
            raise AddressError(_bind_problem(endpoint, error)) from error

    def send(self, frames: list[bytes]) -> None:
        """Send without waiting: a reader whose queue is full loses it."""
        self._socket.send_multipart(frames)

    def new_subscriptions(self) -> list[bytes]:
        """The topics that were subscribed to since the last call, in order."""
        new: list[bytes] = []
        with contextlib.suppress(zmq.Again):
            while True:
                request = self._socket.recv(zmq.NOBLOCK)  # 1 or 0, then the topic; anything else is not for us
                if request[:1] == b"\x01":
                    self._subscriptions[request[1:]] += 1
                    new.append(request[1:])
                elif request[:1] == b"\x00":
                    self._subscriptions -= Counter([request[1:]])  # this form of subtraction drops what falls to zero
        return new

    def count(self, topic: str) -> int:
        return sum(n for prefix, n in self._subscriptions.items() if topic.encode().startswith(prefix))

    def close(self) -> None:
        close_socket(self._socket, LINGER_MS)


def open_socket(kind: int, *endpoints: str) -> zmq.Socket[bytes]:
    # A context of its own, so that `close_socket` can wait until this socket has sent everything. In-process endpoints
    # are the exception: they are only visible within a context.
    shared = any(endpoint.startswith("inproc:") for endpoint in endpoints)
    opened = (zmq.Context.instance() if shared else zmq.Context()).socket(kind)
    opened.set(zmq.IPV6, int(any("[" in endpoint for endpoint in endpoints)))
    return opened


def guard(used: zmq.Socket[bytes], pair: KeyPair, *, server: bool) -> None:
    """Encrypt what goes over a socket that is not bound or connected yet, and let only who knows the pair talk to it.

    All sockets of a session have one pair, which nobody else is told: so to know the public key is to be one of them.
    """
    used.set(zmq.CURVE_SECRETKEY, pair.secret.encode())
    if server:
        used.set(zmq.CURVE_SERVER, 1)
    else:
        used.set(zmq.CURVE_PUBLICKEY, pair.public.encode())
        used.set(zmq.CURVE_SERVERKEY, pair.public.encode())


def close_socket(used: zmq.Socket[bytes], linger_ms: int) -> None:
    context = used.context
    used.close(linger=linger_ms)
    if context is not zmq.Context.instance():
        context.term()


def _bind_problem(endpoint: str, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        port = endpoint.rpartition(":")[2]
        return f"port {port} is in use, perhaps by another erc-live; stop it or set events.endpoint to another port"
    return f"cannot listen on {endpoint}: {error.strerror}; set events.endpoint to another address"
