"""What waits for a recogniser: one queue of limited length, the oldest first, final utterances before provisional ones.

The rule of this file: no clock of its own, and nothing leaves it but by being taken, or by being told that it waited
for too long.
"""

import math
from collections import deque
from dataclasses import dataclass
from itertools import chain

MOST = 256  # of each kind: with 15 s each, 120 MB of sound
OWN = 8  # of one sender; a session has one at a time
PARTIAL_S = 1.0  # after which a provisional utterance is dropped: the next one of the same speaker is due


@dataclass
class PoolRequest:
    """Sound that somebody wants the words of, since `since_s`; after `until_s` nobody waits for them. `losses`:
    processes that died of it.
    """

    sender: bytes
    number: int
    sound: bytes
    partial: bool
    since_s: float
    until_s: float = math.inf
    losses: int = 0

    def __post_init__(self) -> None:
        if self.partial:
            self.until_s = min(self.until_s, self.since_s + PARTIAL_S)

    @property
    def key(self) -> tuple[bytes, int]:
        return self.sender, self.number


class RequestQueue:
    """`add` what comes, `take` what is next."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._final: deque[PoolRequest] = deque()
        self._partial: deque[PoolRequest] = deque()

    def __len__(self) -> int:
        return len(self._final) + len(self._partial)

    def __contains__(self, key: tuple[bytes, int]) -> bool:
        return any(request.key == key for request in chain(self._final, self._partial))

    def add(self, request: PoolRequest) -> str:
        """Why it is not taken; "" if it is."""
        queue = self._partial if request.partial else self._final
        if len(queue) >= self._most:
            return f"{self._most} {'provisional ' * request.partial}utterances wait already: try later"
        if sum(other.sender == request.sender for other in queue) >= OWN:
            return f"{OWN} utterances of this sender wait already: try later"
        queue.append(request)
        return ""

    def put_back(self, request: PoolRequest) -> None:
        """What was taken is next again."""
        (self._partial if request.partial else self._final).appendleft(request)

    def take(self) -> PoolRequest | None:
        queue = self._final or self._partial
        return queue.popleft() if queue else None

    def expire(self, now_s: float) -> list[PoolRequest]:
        """What nobody waits for any more, taken out."""
        expired = [request for request in chain(self._final, self._partial) if now_s >= request.until_s]
        for request in expired:
            (self._partial if request.partial else self._final).remove(request)
        return expired

    def waiting_s(self, now_s: float) -> float:
        """For how long the oldest has waited; 0 where nothing waits."""
        return max((now_s - queue[0].since_s for queue in (self._final, self._partial) if queue), default=0.0)
