"""A log of records that only grows at its end and is forgotten at its beginning: many dialogues are recovered from it.

It is a folder of files, each named by the number of bytes before it and the epoch of its owner, so a record has one
offset for ever, whatever is forgotten. A record is a line: a checksum, a space, its bytes without a newline. What does
not fit its checksum is damage, and refused.

An owner takes a new epoch (`owner_epoch.py`), then looks where the last whole line ends, and begins a file of its own
there. A file counts as far as the next one begins. So an owner that was thought dead, and hung or was cut off, blocks
nobody: what it still writes lies behind the end of its file, or in a file that begins behind it, and is not in the log;
and because it looks at the epoch again after its bytes are on the disk, it acknowledges nothing that its successor did
not see. What a crash left of a last line lies behind the end, too.
The rule of this file: when `append` returns, the record is on the disk, and every later owner reads it.
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
from erc_live.streams.owner_epoch import OwnerEpoch

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


class _Segment(NamedTuple):
    """A file of the log: its first byte in it, and the epoch of who wrote it."""

    begin: int
    epoch: int
    path: Path


class FileLog:
    """A `RecordLog` in a folder, of one process at a time. Raises SessionError where it cannot be used.

    Another process that has it is respected; with `seize`, it is succeeded, and appends nothing from then on.
    """

    def __init__(self, folder: Path, segment: int = SEGMENT, *, seize: bool = False) -> None:
        self._folder, self._segment = folder, segment
        self._reading: dict[int, int] = {}  # begin of a file -> descriptor
        self._lock: BundleLock | None = None
        try:
            make_private(folder)
            self._lock = None if seize else BundleLock(folder)
            self._owner = OwnerEpoch(folder)
            self._segments = _counting(folder)
            self._begin_file(_end(self._segments[-1]) if self._segments else 0)
        except (OSError, ValueError) as error:
            self._let_go()
            raise SessionError(f"{folder}: cannot be used as a log: {error}") from error

    @property
    def begin(self) -> int:
        return self._segments[0].begin

    @property
    def end(self) -> int:
        return self._segments[-1].begin + self._size

    def append(self, *data: bytes) -> list[int]:
        """Raises SessionError when the disk does not take them, or another owner has succeeded this one: nothing of
        them is acknowledged then.
        """
        self._owner.check()
        lines = b"\n".join(b"%08x %b" % (zlib.crc32(one), one) for one in data)
        try:
            if self._size and self._size + len(lines) > self._segment:
                self._log.close()
                self._begin_file(self.end)
            self._log.append(lines)
        except OSError as error:
            raise SessionError(
                f"{self._folder}: the disk does not take the log ({error.strerror}): make room, and start again with "
                "the same folder; what was acknowledged is in it"
            ) from error
        self._owner.check()
        offsets = []
        for one in data:
            offsets.append(self.end + HEAD)
            self._size += HEAD + len(one) + 1
        return offsets

    def read(self, offset: int, length: int) -> bytes:
        """Raises SessionError if it is not there any more."""
        segment = next((one for one in reversed(self._segments) if one.begin <= offset), None)
        try:
            if segment is None:
                raise OSError(0, "forgotten")
            if segment.begin not in self._reading:
                self._reading[segment.begin] = os.open(segment.path, os.O_RDONLY)
            return os.pread(self._reading[segment.begin], length, offset - segment.begin)
        except OSError as error:
            raise SessionError(f"{self._folder}: cannot read the log at {offset}: {error.strerror}") from error

    def read_all(self, parts: Sequence[tuple[int, int]]) -> list[bytes]:
        """Raises SessionError if one is not there any more."""
        return [self.read(*part) for part in parts]

    def records(self) -> Iterator[LogRecord]:
        """Raises SessionError where the log is damaged."""
        ends = [*(segment.begin for segment in self._segments[1:]), self.end]
        for segment, end in zip(self._segments, ends, strict=True):
            offset = segment.begin
            with open_regular(segment.path, LOG_BYTES) as file:
                while offset < end:
                    line = file.readline()
                    data = line[HEAD:-1]
                    if offset + len(line) > end or line[: HEAD - 1] != b"%08x" % zlib.crc32(data):
                        raise SessionError(f"{segment.path}: damaged at byte {offset - segment.begin}: restore it or "
                                           "begin with another folder")  # fmt: skip
                    yield LogRecord(offset + HEAD, data)
                    offset += len(line)

    def forget(self, before: int) -> None:
        """Whole files go, the oldest first, and never the newest."""
        while len(self._segments) > 1 and self._segments[1].begin <= before:
            self._owner.check()  # what an owner of before needs no more, its successor may read just now
            begin, _, path = self._segments.pop(0)
            if begin in self._reading:
                os.close(self._reading.pop(begin))
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def check(self) -> None:
        """The lock holds as long as this process: what the disk does not take, the next `append` says."""

    def close(self) -> None:
        self._log.close()
        self._let_go()

    def _begin_file(self, begin: int) -> None:
        path = self._folder / f"{begin:020}.{self._owner.epoch:08}{_SUFFIX}"
        self._log, self._size = Log(path), 0
        sync_folder(self._folder)
        self._segments.append(_Segment(begin, self._owner.epoch, path))

    def _let_go(self) -> None:
        while self._reading:
            os.close(self._reading.popitem()[1])
        if self._lock:
            self._lock.release()


def _counting(folder: Path) -> list[_Segment]:
    """The files that are the log, in order: each ends where the next one begins, and what an owner began behind the
    begin of its successor's does not count. Raises OSError, ValueError.
    """
    segments: list[_Segment] = []
    for segment in sorted(
        map(_named, folder.glob(f"*{_SUFFIX}")), key=lambda one: (one.epoch, one.begin), reverse=True
    ):
        if not segments or segment.begin < segments[-1].begin:
            segments.append(segment)
        else:
            segment.path.unlink(missing_ok=True)  # nothing of it is in the log
    return segments[::-1]


def _named(path: Path) -> _Segment:
    """Without an epoch in its name it is older than all that have one."""
    begin, _, epoch = path.stem.partition(".")
    return _Segment(int(begin), int(epoch or 0), path)


def _end(segment: _Segment) -> int:
    """Behind its last whole line, which is on the disk then, whoever wrote it. Raises OSError."""
    with segment.path.open("r+b") as file:
        end = _end_of_lines(file, file.seek(0, os.SEEK_END))
        os.fsync(file.fileno())
        return segment.begin + end


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
