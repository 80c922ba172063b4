"""Appends to a log beside what its owner computes, in a thread: while one append is on its way, the next is collected.

    put -> wait for the append before -> all that was put meanwhile is one append -> stored

So whoever puts waits for no disk, and a disk that is slow to sync costs each record less (group commit).
The rules of this file: records stand in the log in the order in which they were put, where `put` has said; nothing
counts before `stored` says that it is there; and after an append that failed there is none, for behind a hole nothing
may stand.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from erc_live.streams.segmented_log import RecordLog

MOST = 512  # records, after which an append takes no further ones: a NATS server takes 1000 messages at once


class LogWriter:
    """The only one that appends to `log`. All methods but `close` are of one thread, and raise what an append raised.

    `end`: of the log, behind all that was put. `on_stored` is called in the thread of the appends after each of them,
    and when one has failed.
    """

    def __init__(self, log: RecordLog) -> None:
        self.log, self.end = log, log.end
        self.on_stored: Callable[[], None] = lambda: None
        self._stored = log.end
        self._put: deque[tuple[Sequence[bytes], int]] = deque()  # records that wait, and where the log ends behind them
        self._error: Exception | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._append, name="log", daemon=True)
        self._thread.start()

    @property
    def stored(self) -> int:
        """The offset up to which all is in the log: what was put before it may be given away."""
        with self._changed:
            self._check()
            return self._stored

    def put(self, *data: bytes) -> list[int]:
        """Hand over records, at least one, as of `RecordLog.append`; returns the offsets that they will have."""
        offsets = []
        with self._changed:
            self._check()
            for one in data:
                offsets.append(self.end + self.log.head)
                self.end = offsets[-1] + len(one) + 1
            self._put.append((data, self.end))
            self._changed.notify_all()
        return offsets

    def wait(self, end: int | None = None) -> None:
        """Until all before that offset is in the log; without one, all that was put."""
        end = self.end if end is None else end
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._stored >= end)
            self._check()

    def close(self) -> None:
        """The append that is on its way is the last one; what was put behind it never was."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _check(self) -> None:
        if self._error:
            raise self._error

    def _append(self) -> None:
        error: Exception | None = None
        while not error:
            records, end = self._next()
            if not records:
                return
            try:
                self.log.append(*records)
            except Exception as failure:  # whatever it is: the owner has to learn it, and is in another thread
                error = failure
            with self._changed:
                self._stored, self._error = self._stored if error else end, error
                self._changed.notify_all()
            self.on_stored()

    def _next(self) -> tuple[list[bytes], int]:
        """What is appended next, and where the log ends behind it; no records at the end."""
        records: list[bytes] = []
        with self._changed:
            end = self._stored
            self._changed.wait_for(lambda: self._put or self._closing)
            while self._put and len(records) < MOST and not self._closing:
                data, end = self._put.popleft()
                records += data
        return records, end
