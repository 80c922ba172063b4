"""Where the logs of a server lie: in a folder of this machine, or in streams of a NATS server.

A place has the log, and by their names others beside it, and knows whether some server has it now.
The rule of this file: what is the same in a folder and on a server is in `RecordLog`; what is not, is here.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol

from erc_live.streams.bundle_lock import is_locked
from erc_live.streams.errors import SessionError
from erc_live.streams.journal import make_private, read_whole, write_whole
from erc_live.streams.nats_connection import NatsConnection, NatsPlace
from erc_live.streams.nats_log import NatsLog
from erc_live.streams.segmented_log import FileLog, RecordLog

_LABEL = "weights"  # the file with it


class LogPlace(Protocol):
    """All methods raise SessionError where the place fails them."""

    def taken(self) -> bool:
        """Whether a server has it now."""
        ...

    def open(self, name: str = "") -> RecordLog:
        """The log, or the one of that name beside it."""
        ...

    def scratch(self) -> AbstractContextManager[RecordLog]:
        """A log of which nothing stays: to see how fast this place is."""
        ...

    def labelled(self, label: str, new: bool) -> str:
        """What the log was labelled with when it was new."""
        ...

    def close(self) -> None: ...


def log_place(place: str) -> LogPlace:
    """A folder, or `nats://...`. Raises AddressError where that is malformed, SessionError where there is no server."""
    return StreamPlace(NatsPlace.of(place)) if "://" in place else FolderPlace(Path(place))


class FolderPlace:
    """A folder, of the owner's alone; with `seize`, whoever has it is succeeded (`FileLog`)."""

    def __init__(self, folder: Path, *, seize: bool = False) -> None:
        self._folder, self._seize = folder, seize

    def __str__(self) -> str:
        return str(self._folder)

    def taken(self) -> bool:
        return is_locked(self._folder)

    def open(self, name: str = "") -> FileLog:
        return FileLog(self._folder / name, seize=self._seize)

    @contextmanager
    def scratch(self) -> Iterator[FileLog]:
        try:
            make_private(self._folder)
            with (
                tempfile.TemporaryDirectory(prefix="capacity-", dir=self._folder) as folder,
                closing(FileLog(Path(folder))) as log,
            ):
                yield log
        except OSError as error:
            raise SessionError(
                f"{self._folder}: cannot write there ({error.strerror}): make room, or name another --log"
            ) from error

    def labelled(self, label: str, new: bool) -> str:
        path = self._folder / _LABEL
        try:
            if new:
                write_whole(path, label.encode())
            return read_whole(path, 100).decode()
        except OSError as error:
            raise SessionError(f"{path}: {error.strerror}: restore it, or name another --log") from error

    def close(self) -> None:
        """Nothing is held."""


class StreamPlace:
    """A stream of a NATS server, and others whose names begin like its own. Who has it answers as long as it lives."""

    def __init__(self, place: NatsPlace) -> None:
        self._stream = place.stream
        self._connection = NatsConnection(place)
        self._log: NatsLog | None = None

    def __str__(self) -> str:
        return str(self._connection.place)

    def taken(self) -> bool:
        return self._connection.anybody(self._presence)

    def open(self, name: str = "") -> NatsLog:
        if name:
            return NatsLog(self._connection, f"{self._stream}-{name}")
        if self.taken():
            raise SessionError(
                f"{self._connection.place}: another server has it: end that one, or wait for its end with --standby"
            )
        self._connection.answer(self._presence)
        self._log = NatsLog(self._connection, self._stream)
        return self._log

    @contextmanager
    def scratch(self) -> Iterator[NatsLog]:
        name = f"{self._stream}-capacity-{os.getpid()}"
        try:
            yield NatsLog(self._connection, name)
        finally:
            self._connection.call(self._connection.streams.delete_stream(name))

    def labelled(self, label: str, new: bool) -> str:
        assert self._log is not None, "a label is of a log that is open"
        if new:
            self._log.label = label
        return self._log.label

    def close(self) -> None:
        self._connection.close()

    @property
    def _presence(self) -> str:
        return f"erc-live.owner.{self._stream}"
