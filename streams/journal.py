"""Files that survive a crash: logs of lines, and files that are there as a whole or not at all.

The rule of this file: nothing counts before it was synced. A log line counts once its newline is on disk; a whole file
once it has lost its ending `.part`. And all of it is its owner's only, whatever the umask says and was there before.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Generic, TypeVar

from erc_live.streams.bundle_limits import LINE_BYTES, LOG_BYTES
from erc_live.streams.errors import BadMessage

PART = ".part"
FILE_MODE, FOLDER_MODE = 0o600, 0o700
# What only some systems know, or need.
_BINARY = getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would be waited for
T = TypeVar("T")


class Log:
    """A file of lines that only grows."""

    def __init__(self, path: Path, resumed: bool = False) -> None:
        """A new file, or one that ends with a whole line and goes on. Raises OSError, also when a new one exists."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if resumed else os.O_EXCL)
        self._file = os.fdopen(open_private(path, flags), "ab" if resumed else "wb", buffering=0)

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
class LogLine:
    """A line without its end. `torn`: it has none. `too_long`: this is its beginning only."""

    number: int  # from 1
    text: bytes
    torn: bool
    too_long: bool


@dataclass(frozen=True)
class LogContents(Generic[T]):
    """What the lines say that can be read, the numbers (from 1) of those that cannot, and whether the end is torn."""

    values: tuple[T, ...]
    bad: tuple[int, ...]
    torn: bool


def log_lines(path: Path) -> Iterator[LogLine]:
    """The lines of a log, in a memory that does not depend on their lengths. Raises OSError, BadMessage if it is too
    large.
    """
    with open_regular(path, LOG_BYTES) as file:
        number = 0
        while line := file.readline(LINE_BYTES):
            number, piece = number + 1, line
            while not piece.endswith(b"\n") and len(piece) == LINE_BYTES:
                piece = file.readline(LINE_BYTES)
            too_long = piece is not line
            yield LogLine(number, line.removesuffix(b"\n"), not piece.endswith(b"\n"), too_long)


def read_log(path: Path, decode: Callable[[bytes], T]) -> LogContents[T]:
    """The log as it is. `decode` raises BadMessage for what it cannot read. Raises OSError, BadMessage if it is too
    large.
    """
    values, bad, torn = [], [], False
    for line in log_lines(path):
        if line.torn:
            torn = True
            continue
        try:
            if line.too_long:
                raise BadMessage(f"longer than {LINE_BYTES} bytes")
            values.append(decode(line.text))
        except BadMessage:
            bad.append(line.number)
    return LogContents(tuple(values), tuple(bad), torn)


def write_part(path: Path, data: bytes) -> None:
    """The first half of `write_whole`: the data are on disk, under a name that says that the file is not there yet."""
    part = part_of(path)
    part.unlink(missing_ok=True)  # of a writer that died; and so that the file is new, and nobody's but ours
    try:
        with open(part, "xb", opener=open_private) as file:
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


def write_whole(path: Path, data: bytes) -> None:
    """Write or replace a file at one stroke. Raises OSError."""
    write_part(path, data)
    commit_part(path)


def part_of(path: Path) -> Path:
    return path.with_name(path.name + PART)


def make_private(folder: Path) -> str:
    """Make the folder if it is not there, and its owner's only. What people should know of that, in one line, or "".

    Raises OSError.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    before = stat.S_IMODE(folder.stat().st_mode)
    if os.name == "nt" or before == FOLDER_MODE:  # there, a folder is as private as the one that it is in
        return ""
    folder.chmod(FOLDER_MODE)
    return f"{folder}: only you can open it from now on: its mode was {before:03o} and is {FOLDER_MODE:03o}"


def sync_folder(path: Path) -> None:
    """Names of new files are kept in their folder, which is synced apart from them."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: Path, most_bytes: int) -> BufferedReader:
    """A file to read, and no pipe, device or link to one elsewhere. Raises OSError, BadMessage if it is larger."""
    file = os.fdopen(os.open(path, os.O_RDONLY | _BINARY | _NO_LINK), "rb")
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if found.st_size > most_bytes:
        file.close()
        raise BadMessage(f"is larger than {most_bytes} bytes")
    return file


def read_whole(path: Path, most_bytes: int) -> bytes:
    """Raises OSError, BadMessage if it is larger."""
    with open_regular(path, most_bytes) as file:
        return file.read()


def sha256(path: Path) -> str:
    """Raises OSError, BadMessage if no file of a bundle is that large."""
    with open_regular(path, LOG_BYTES) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_private(name: str | Path, flags: int) -> int:
    """As `os.open`; the file is its owner's only."""
    descriptor = os.open(name, flags | _BINARY, FILE_MODE)
    if os.name != "nt":
        os.fchmod(descriptor, FILE_MODE)
    return descriptor
