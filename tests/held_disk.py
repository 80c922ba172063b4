"""A disk whose syncs return when the test says so: what is written is there for who reads it, and not synced."""

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PATIENCE_S = 60.0


class HeldDisk:
    """In the place of `os.fsync`. `begun` counts the syncs."""

    def __init__(self) -> None:
        self.begun = 0
        self._waiting = threading.Semaphore(0)  # syncs that have begun, and that nobody has let go
        self._answers: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()
        self._free = False

    def __call__(self, descriptor: int) -> None:
        self.begun += 1
        if self._free:
            return
        self._waiting.release()
        if error := self._answers.get():
            raise error

    def wait(self) -> None:
        """Until a sync has begun: its bytes are written."""
        assert self._waiting.acquire(timeout=PATIENCE_S)
        self._waiting.release()

    def let_go(self, error: OSError | None = None) -> None:
        """Of one sync, which fails with the error."""
        assert self._waiting.acquire(timeout=PATIENCE_S)
        self._answers.put(error)

    def free(self) -> None:
        """No sync waits any more."""
        self._free = True
        self._answers.put(None)


@contextmanager
def held_disk() -> Iterator[HeldDisk]:
    """From now on, to the end of the block."""
    disk = HeldDisk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", disk)
        try:
            yield disk
        finally:
            disk.free()
