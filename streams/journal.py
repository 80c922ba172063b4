"""Files that survive a crash: logs of lines, and files that are there as a whole or not at all.

The rule of this file: nothing counts before it was synced. A log line counts once its newline is on disk; a whole file
once it has lost its ending `.part`.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from erc_live.streams.errors import BadMessage

PART = ".part"
T = TypeVar("T")


class Log:
    """A file of lines that only grows."""

    def __init__(self, path: Path) -> None:
        """A new file. Raises OSError, also when it exists."""
        self._file = path.open("xb", buffering=0)

    def append(self, line: bytes) -> None:
        """When this returns, the line is on disk. Raises OSError, and then takes back what it wrote of the line."""
        end = self._file.tell()
        rest = memoryview(line + b"\n")
        try:
            while rest:  # a full disk takes a part and no error
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):
                self._file.truncate(end)
            raise

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class LogContents(Generic[T]):
    """The lines that can be read and what they say, the numbers (from 1) of those that cannot, and a torn end."""

    entries: tuple[tuple[bytes, T], ...]
    bad: tuple[int, ...]
    torn: bytes

    @property
    def values(self) -> tuple[T, ...]:
        return tuple(value for _, value in self.entries)


def read_log(path: Path, decode: Callable[[bytes], T]) -> LogContents[T]:
    """The log as it is. `decode` raises BadMessage for what it cannot read. Raises OSError."""
    *lines, torn = path.read_bytes().split(b"\n")
    entries, bad = [], []
    for number, line in enumerate(lines, 1):
        try:
            entries.append((line, decode(line)))
        except BadMessage:
            bad.append(number)
    return LogContents(tuple(entries), tuple(bad), torn)


def write_part(path: Path, data: bytes, mode: int = 0o666) -> None:
    """The first half of `write_whole`: the data are on disk, under a name that says that the file is not there yet."""
    part = part_of(path)
    try:
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        part.unlink(missing_ok=True)  # a full disk gets its space back
        raise


def commit_part(path: Path) -> None:
    """The second half: the file is there. Raises OSError."""
    part_of(path).replace(path)
    sync_folder(path.parent)


def write_whole(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write or replace a file at one stroke; `mode` as that of `os.open`, less the umask. Raises OSError."""
    write_part(path, data, mode)
    commit_part(path)


def part_of(path: Path) -> Path:
    return path.with_name(path.name + PART)


def sync_folder(path: Path) -> None:
    """Names of new files are kept in their folder, which is synced apart from them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
