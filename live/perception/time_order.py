"""Recordings in the order of time, however fast each of them comes.

Files are read as fast as their reader wants them, each at its own pace; what perception makes of them must not depend
on that. So what comes early waits until all others have come as far: the order is that of `streams/replay.py`, in which
one process reads them all. Devices need no such thing: they all deliver now.
The rule of this file: no clock; times of the media alone decide.
"""

from collections import deque
from collections.abc import Iterable

from erc_live.streams.messages import SourceEnd
from erc_live.streams.replay import Replayed, order_of


class TimeOrder:
    """`take` what comes of each of `sources`, get what no other can still come before, in order.

    A source is waited for until its `SourceEnd`.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        self._waiting: dict[str, deque[Replayed]] = {source: deque() for source in sources}
        self._ended: set[str] = set()

    def take(self, message: Replayed) -> list[Replayed]:
        """The next message of its source; one of a source that is not waited for is due at once."""
        queue = self._waiting.get(message.source)
        if queue is None or message.source in self._ended:
            return [message]
        queue.append(message)
        if isinstance(message, SourceEnd):
            self._ended.add(message.source)
        due: list[Replayed] = []
        while all(queue or source in self._ended for source, queue in self._waiting.items()):
            queues = [queue for queue in self._waiting.values() if queue]
            if not queues:
                break
            due.append(min(queues, key=lambda queue: order_of(queue[0])).popleft())
        return due
