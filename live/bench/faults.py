"""What may go wrong with a session from outside, as things that can be done to it.

The rule of this file: real signals to real processes, and real subscribers; nothing of the product is told of it.
"""

import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from erc_live.streams.event_stream import SNAPSHOT, EventReceiver
from erc_live.streams.subscribe import LIVE_TOPICS

STOP_S = 2.0
TOPICS = 500  # of a flood


@dataclass(frozen=True)
class Fault:
    """`act` on one of the processes whose names begin with one of `names`; or a `program` that is no part of it."""

    name: str
    names: tuple[str, ...] = ()
    act: Callable[[Any], None] | None = None
    program: Callable[[str], None] | None = None

    def hits(self, worker: str) -> bool:
        """Whether it can be done to this process."""
        return worker.startswith(self.names) if self.names else False


def kill(process: Any) -> None:
    process.kill()


def freeze(process: Any) -> None:
    """It neither answers nor ends."""
    process.send_signal(signal.SIGSTOP)


def pause(process: Any) -> None:
    """It is not there for a while, as on a machine that swaps."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(STOP_S)
    process.send_signal(signal.SIGCONT)


def fill_disk(process: Any) -> None:
    """Whatever it writes from now on is refused."""
    import resource

    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def flood(endpoint: str) -> None:
    """A subscriber that asks for far too much, and leaves."""
    receiver = EventReceiver(endpoint, [*LIVE_TOPICS, *(SNAPSHOT + uuid.uuid4().hex for _ in range(TOPICS))])
    receiver.receive(0.2)
    receiver.close()


def sleeper(endpoint: str) -> None:
    """A subscriber that reads nothing, and leaves."""
    receiver = EventReceiver(endpoint, LIVE_TOPICS)
    time.sleep(STOP_S)
    receiver.close()


FAULTS = (
    Fault("kill", ("perception", "tracker", "recorder", "mic-", "camera-", "screen"), kill),
    Fault("freeze", ("perception", "tracker"), freeze),
    Fault("pause", ("recorder", "mic-", "camera-", "screen"), pause),
    Fault("full disk", ("recorder",), fill_disk),
    Fault("flood", program=flood),
    Fault("sleeper", program=sleeper),
)
