"""A log of records that only grows at its end and is forgotten at its beginning: many dialogues are recovered from it.

It is a folder of files, each named by the number of bytes before it, so a record has one offset for ever, whatever is
forgotten. A record is a line: a checksum, a space, its bytes without a newline. What a crash left of a last line is cut
off when the log is opened; any other line that does not fit its checksum is damage, and refused.
The rule of this file: when `append` returns, the record is on the disk; when it raises, nothing of it is.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from erc_live.streams.bundle_limits import LOG_BYTES
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.errors import SessionError
from erc_live.streams.journal import Log, make_private, open_regular, sync_folder

SEGMENT = 64 << 20  # bytes, after which the next file begins
HEAD = 9  # bytes of the checksum and the space
_SUFFIX = ".log"


class LogRecord(NamedTuple):
    """`offset`: of the first byte of `data` in the log."""

    offset: int
    data: bytes


class RecordLog(Protocol):
    """What a log of records can do, wherever it lies. All methods raise SessionError where the place fails them."""

    @property
    def begin(self) -> int:
        """The offset before which all is forgotten."""
        ...

    @property
    def end(self) -> int:
        """The offset behind the last record."""
        ...

    def append(self, *data: bytes) -> list[int]:
        """Put records, without newlines in them, at the end; returns the offset of the first byte of each."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """A part of a record."""
        ...

    def read_all(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Parts of records, by offset and length: what `read` gives, in little more time than one takes."""
        ...

    def records(self) -> Iterator[LogRecord]:
        """All that is not forgotten, in order."""
        ...

    def forget(self, before: int) -> None:
        """What lies before that offset may go; the log decides when."""
        ...

    def check(self) -> None:
        """Whether it is there, and this owner's: raises SessionError where not, also while nothing is appended."""

    def close(self) -> None: ...


class FileLog:
    """A `RecordLog` in a folder, of one process at a time. Raises SessionError where it cannot be used."""

    def __init__(self, folder: Path, segment: int = SEGMENT) -> None:
        self._folder, self._segment = folder, segment
        self._reading: dict[int, int] = {}  # begin of a file -> descriptor
        self._lock: BundleLock | None = None
        try:
            make_private(folder)
            self._lock = BundleLock(folder)
            self._begins = sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}")) or [0]
            self._size = _mend(self._path(self._begins[-1]))
            self._log = Log(self._path(self._begins[-1]), resumed=True)
        except (OSError, ValueError) as error:
            self._let_go()
            raise SessionError(f"{folder}: cannot be used as a log: {error}") from error

    @property
    def begin(self) -> int:
        return self._begins[0]

    @property
    def end(self) -> int:
        return self._begins[-1] + self._size

    def append(self, *data: bytes) -> list[int]:
        """Raises SessionError when the disk does not take them."""
        lines = b"\n".join(b"%08x %b" % (zlib.crc32(one), one) for one in data)
        try:
            if self._size and self._size + len(lines) > self._segment:
                self._next_file()
            self._log.append(lines)
        except OSError as error:
            raise SessionError(
                f"{self._folder}: the disk does not take the log ({error.strerror}): make room, and start again with "
                "the same folder; what was acknowledged is in it"
            ) from error
        offsets = []
        for one in data:
            offsets.append(self.end + HEAD)
            self._size += HEAD + len(one) + 1
        return offsets

    def read(self, offset: int, length: int) -> bytes:
        """Raises SessionError if it is not there any more."""
        begin = max((b for b in self._begins if b <= offset), default=None)
        try:
            if begin is None:
                raise OSError(0, "forgotten")
            if begin not in self._reading:
                self._reading[begin] = os.open(self._path(begin), os.O_RDONLY)
            return os.pread(self._reading[begin], length, offset - begin)
        except OSError as error:
            raise SessionError(f"{self._folder}: cannot read the log at {offset}: {error.strerror}") from error

    def read_all(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Raises SessionError if one is not there any more."""
        return [self.read(*part) for part in parts]

    def records(self) -> Iterator[LogRecord]:
        """Raises SessionError where the log is damaged."""
        for begin in self._begins:
            offset = begin
            with open_regular(self._path(begin), LOG_BYTES) as file:
                for line in file:
                    data = line[HEAD:-1]
                    if line[: HEAD - 1] != b"%08x" % zlib.crc32(data):
                        raise SessionError(f"{self._path(begin)}: damaged at byte {offset - begin}: restore it or begin"
                                           " with another folder")  # fmt: skip
                    yield LogRecord(offset + HEAD, data)
                    offset += len(line)

    def forget(self, before: int) -> None:
        """Whole files go, the oldest first, and never the newest."""
        while len(self._begins) > 1 and self._begins[1] <= before:
            begin = self._begins.pop(0)
            if begin in self._reading:
                os.close(self._reading.pop(begin))
            with suppress(OSError):
                self._path(begin).unlink(missing_ok=True)

    def check(self) -> None:
        """The lock holds as long as this process: what the disk does not take, the next `append` says."""

    def close(self) -> None:
        self._log.close()
        self._let_go()

    def _next_file(self) -> None:
        begin = self.end
        log = Log(self._path(begin))
        sync_folder(self._folder)
        self._log.close()
        self._log, self._size = log, 0
        self._begins.append(begin)

    def _path(self, begin: int) -> Path:
        return self._folder / f"{begin:020}{_SUFFIX}"

    def _let_go(self) -> None:
        while self._reading:
            os.close(self._reading.popitem()[1])
        if self._lock:
            self._lock.release()


def _mend(path: Path) -> int:
    """Cut off a last line that has no end; returns the size. Raises OSError."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        whole = _end_of_lines(file, size)
        if whole < size:
            file.truncate(whole)
            os.fsync(file.fileno())
    return whole


def _end_of_lines(file: BinaryIO, size: int) -> int:
    """Where the last whole line ends."""
    end = size
    while end:
        begin = max(0, end - (1 << 16))
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
