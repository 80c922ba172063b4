"""Who may write to a bundle: one process at a time, by a lock that ends with the process, however that ends.

The rule of this file: the system holds the lock, not the file, so what a dead process leaves behind locks nobody out.
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from erc_live.streams.errors import SessionError
from erc_live.streams.journal import open_private

LOCK = "recording.lock"
_TRIES, _PAUSE_S = 5, 0.02  # whoever only asks whether there is a lock holds it for an instant


class BundleLock:
    """Held from its making until `release`. A context manager."""

    def __init__(self, folder: Path) -> None:
        """Raises SessionError when another process writes to the bundle, OSError when nothing can be written there."""
        self._path = folder / LOCK
        for _ in range(_TRIES):
            self._descriptor = open_private(self._path, os.O_RDWR | os.O_CREAT)
            if _lock(self._descriptor) and self._is_there():
                return
            os.close(self._descriptor)
            time.sleep(_PAUSE_S)
        raise SessionError(f"{folder}: is being recorded, or changed by another command: wait until that has ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """May be called twice."""
        if self._descriptor < 0:
            return
        with suppress(OSError):  # Windows removes no open file; one that stays locks nobody out
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _is_there(self) -> bool:
        """Whether the locked file is the one of that name, and not one that its last owner has just removed."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        return False


def is_locked(folder: Path) -> bool:
    """Whether some process writes to the bundle now."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
