"""What every ZeroMQ socket of ours has in common: how it is opened, guarded and closed.

The rules: no socket of a session listens outside this machine; every queue has a limit; a publisher never waits for its
readers; what a peer sends may be counted and dropped, but never stops us. A socket belongs to one thread. Three options
of ZeroMQ are left alone: CONFLATE aborts the process on messages of several frames; XPUB_NODROP lets one slow reader
stop all; and heartbeats take a reader whose queue is full for dead, after which libzmq aborts the process that empties
the queue (its bug report 3937). The kernel tells of peers on this machine that died.
"""

import zmq

from erc_live.streams.curve_keys import KeyPair

RECONNECT_MS = 50
LINGER_MS = 2000
QUEUE = 1000  # messages; 32 s of audio
MAX_FRAME_BYTES = 16 << 20  # a JPEG is far smaller; ZeroMQ cuts off for good who sends more
MAX_REQUEST_BYTES = 1024  # all that a subscriber sends: topics
BATCH = 256  # messages taken in one call, so that a flood cannot hold the caller


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
