"""What is exported, and where to: a session with its view, and a folder that gets all files of an export or none.

The rule of this file: nothing that is there is replaced unless that was asked for, and whatever happens, no
half-written file stays behind. What is exported is personal data: each file is its owner's only, as in the bundle.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from erc_live.live.errors import ConfigError
from erc_live.streams.conversation_view import ConversationView
from erc_live.streams.errors import SessionError
from erc_live.streams.journal import FILE_MODE, FOLDER_MODE
from erc_live.streams.session import RecordedSession

Advance = Callable[[int], object]  # by so many ns of sound


class ExportFolder:
    """Files are written beside their place (`path`), and all take it when the block is left well. A context manager."""

    def __init__(self, folder: Path, force: bool = False) -> None:
        self.written: list[Path] = []  # where they will be
        self._folder = folder
        self._force = force
        self._new = not folder.exists()

    def __enter__(self) -> Self:
        """Raises SessionError where nothing can be written."""
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._staging = Path(tempfile.mkdtemp(prefix=".export-", dir=self._folder))
        except OSError as error:
            raise SessionError(f"{self._folder}: cannot be written to: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            if self._new and not any(self._folder.iterdir()):
                self._folder.rmdir()
        if isinstance(error, OSError):
            raise SessionError(f"{self._folder}: cannot be written: {error.strerror}; nothing was exported") from error

    def path(self, name: str) -> Path:
        """Where to write the file that will have this name in the folder (it may lead into folders below).

        Raises ConfigError when there is such a file.
        """
        target = self._folder / name
        if target.exists() and not self._force:
            raise ConfigError(f"{target}: is there already: --force replaces it, or name another folder with -o")
        path = self._staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.written.append(target)
        return path

    def _commit(self) -> None:
        for target in self.written:
            part = self._staging / target.relative_to(self._folder)
            part.chmod(FILE_MODE)
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)


@dataclass(frozen=True)
class Export:
    """One session on its way out. `stem` begins the names of its files.

    `sound_files` are those of the sound that is exported along, for formats that name it; `missing` collects what could
    not be read, one line each.
    """

    session: RecordedSession
    view: ConversationView
    folder: ExportFolder
    stem: str
    sound_files: tuple[str, ...] = ()
    missing: list[str] = field(default_factory=list)
    advance: Advance = lambda _: None

    def write_text(self, name: str, text: str) -> None:
        """A file of text. Raises as `ExportFolder.path`."""
        self.folder.path(name).write_text(text, encoding="utf-8", newline="")
