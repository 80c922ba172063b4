"""A subscriber in a process of its own, for a load test: it stamps each event when it has decoded it.

The rule of this file: it loads nothing but what a subscriber needs, so that it is there at once.
"""

import time
from multiprocessing import get_context
from typing import Any

from erc_live.streams.event_stream import EventReceiver
from erc_live.streams.messages import EmotionEvent

SILENCE_S = 1.0  # after which all has come


class LoadSubscriber:
    """Follows all dialogues at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        spawn = get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_follow, args=(endpoint, theirs), daemon=True)
        self._process.start()
        self._pipe.recv()

    def latencies(self) -> tuple[list[float], list[float]]:
        """In ms: of the decisions, and of the deliveries."""
        self._pipe.send("enough")
        decisions, deliveries = self._pipe.recv()
        return decisions, deliveries

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _follow(endpoint: str, pipe: Any) -> None:
    receiver = EventReceiver(endpoint, ["event."])
    decisions, deliveries = list[float](), list[float]()
    pipe.send("here")
    while (events := receiver.receive(SILENCE_S)) or not pipe.poll():
        for event in events:
            if isinstance(event, EmotionEvent):
                decisions.append((event.t_logits_ns - event.t_features_ns) / 1e6)
                deliveries.append((time.monotonic_ns() - event.t_features_ns) / 1e6)
    pipe.send((decisions, deliveries))
    receiver.close()
