"""Who has asked to be told what it missed, and whose turn it is.

The rule of this file: connections take turns, each is owed a few answers at most, and all answers together take a
bounded share of the time.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable

from erc_live.streams.public_outlet import SnapshotRequest
from erc_live.streams.relay import Allowance

_SNAPSHOTS, _SNAPSHOTS_PER_S = 2000, 800.0  # messages, 9 us each: less than 1 % of the time, which 99 % of events miss
_PENDING_OF_ONE = 4  # snapshots that one connection is owed, the newest; it needs one


class SnapshotQueue:
    """`add` requests; where one is `due`, `pop` its topic and answer on it. It is true while somebody waits.

    `pending`: answers that one connection may be owed.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, pending: int = _PENDING_OF_ONE) -> None:
        self._waiting: dict[int, deque[bytes]] = {}  # by connection, in the order of their turns
        self._allowance = Allowance(_SNAPSHOTS, _SNAPSHOTS_PER_S, now)
        self._pending = pending

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, requests: Iterable[SnapshotRequest]) -> None:
        for peer, topic in requests:
            self._waiting.setdefault(peer, deque(maxlen=self._pending)).append(topic)

    def due(self, messages: int) -> bool:
        """Whether somebody waits, and an answer of so many messages may be given now."""
        return bool(self._waiting) and self._allowance.take(min(_SNAPSHOTS, messages))

    def pop(self) -> bytes:
        """The topic that is to be answered now."""
        peer, owed = next(iter(self._waiting.items()))
        del self._waiting[peer]
        topic = owed.popleft()
        if owed:
            self._waiting[peer] = owed  # at the end of the line
        return topic
