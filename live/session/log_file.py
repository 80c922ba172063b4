"""The log of a session: one JSON object per line, of the supervisor and of what its processes write to standard error.

A file that grows too large is put aside, and the oldest deleted, so that a session that runs for weeks does not fill a
disk. A session that is to leave nothing on the disk has its last lines in memory instead. The rule of this file: a line
is whole, and says when, how grave and of which process.
"""

import json
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

MOST_BYTES = 5_000_000  # of one file
OLD_FILES = 2
TAIL = 50  # lines that are kept in memory where there is no file

_PROJECT = logging.getLogger("erc_live")


class JsonLines(logging.Formatter):
    """A record as a JSON object. `worker` comes from `extra={"worker": ...}`; without, it is the supervisor."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "worker": getattr(record, "worker", "supervisor"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class MemoryTail(logging.Handler):
    """The last lines, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=TAIL)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class SessionLog:
    """`place`: where people find it. Where there is no file, `tail` has the last lines, else nothing."""

    def __init__(self, path: Path | None, handler: logging.Handler) -> None:
        self.place = "its log, which is printed if the session fails" if path is None else str(path)
        self._handler = handler

    @property
    def tail(self) -> tuple[str, ...]:
        return tuple(self._handler.lines) if isinstance(self._handler, MemoryTail) else ()


@contextmanager
def session_log(path: Path | None) -> Iterator[SessionLog]:
    """What this process logs goes to a new file, or into memory, until the end of the block."""
    handler = MemoryTail() if path is None else _file(path)
    handler.setFormatter(JsonLines())
    root, level = logging.getLogger(), _PROJECT.level
    root.addHandler(handler)
    _PROJECT.setLevel(logging.INFO)
    try:
        yield SessionLog(path, handler)
    finally:
        _PROJECT.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def _file(path: Path) -> logging.Handler:
    path.touch(mode=0o600)  # what was said may be in a traceback
    return RotatingFileHandler(path, maxBytes=MOST_BYTES, backupCount=OLD_FILES, encoding="utf-8")
