"""Whatever a stranger says in the words of ZeroMQ, or in none: the public stream goes on, and so do its readers."""

import contextlib
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import examples
import pytest
from flooding import GREETING, READY

from erc_live.streams import relay
from erc_live.streams.address import BusAddresses
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import PublicEvent
from erc_live.streams.subscribe import subscribe

DEADLINE_S = 200.0
BODIES = (b"\x01", b"\x00", b"", b"\x02", b"\x01snapshot.", b"\x01event", b"\x09SUBSCRIBE", b"\x05READY", b"\x04PING")
SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def endpoint() -> Iterator[str]:
    if sys.platform == "win32":
        pytest.skip("speaks through a socket in a folder")
    with closing(BusAddresses()) as addresses:
        yield addresses.endpoint("events")


@pytest.fixture
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay lets everything through, so that ZeroMQ and what reads from it are what is tried."""
    for limit in ("CONNECTIONS_OF_ONE", "REQUEST_BYTES", "REQUESTS_OF_ONE", "ANSWERED", "ANSWERED_PER_S"):
        monkeypatch.setattr(relay, limit, 1 << 30)


def frame(chance: random.Random) -> bytes:
    """What a peer may say after its greeting: frames of the protocol, true, half true, and of no meaning."""
    body = chance.choice(BODIES) + chance.randbytes(chance.choice([0, 1, 7, 40]))
    flags = 0 if chance.random() < 0.97 else chance.choice([1, 4, chance.randrange(256)])
    if flags & 2:
        return bytes([flags]) + chance.choice([len(body), chance.randrange(1 << 63)]).to_bytes(8, "big") + body
    length = len(body) if chance.random() < 0.995 else chance.randrange(256)
    return bytes([flags, length]) + body


def say(endpoint: str, chance: random.Random, count: int) -> None:
    """Connect, greet, mostly as it should be, and send so many frames, until we are cut off."""
    with socket.socket(socket.AF_UNIX) as stranger, contextlib.suppress(OSError):
        stranger.connect(endpoint.removeprefix("ipc://"))
        stranger.sendall(chance.choice([GREETING + READY] * 8 + [GREETING, chance.randbytes(64)]))
        stranger.settimeout(1.0)
        stranger.recv(200)
        stranger.sendall(b"".join(frame(chance) for _ in range(count)))


@pytest.mark.usefixtures("no_limits")
@pytest.mark.parametrize("count", [10_000, pytest.param(1_000_000, marks=SLOW)])
def test_no_frame_of_a_stranger_ends_the_stream(count: int, endpoint: str) -> None:
    chance, received = random.Random(count), list[PublicEvent]()
    understood = 0
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        publisher.publish(examples.hello())
        reader = threading.Thread(target=lambda: received.extend(subscribe(endpoint, timeout_s=DEADLINE_S)))
        reader.start()
        while not publisher.subscribers("session_end"):
            pass
        understood = -publisher.subscribers("event")
        for seq in range(count // 100):
            stranger = threading.Thread(target=say, args=[endpoint, chance, 100])
            stranger.start()
            while stranger.is_alive():
                publisher.poll()
                stranger.join(0.001)
            understood = max(understood, publisher.subscribers("event"))
            publisher.publish(examples.event(seq))
        publisher.publish(examples.session_end(count // 100))
        deadline = time.monotonic() + DEADLINE_S
        while reader.is_alive() and time.monotonic() < deadline:
            publisher.poll()
            reader.join(0.005)
    assert received[-1] == examples.session_end(count // 100)
    assert understood > 1  # so ZeroMQ took some of it in earnest
