"""What is scored already: one line for each recording, so that the same command goes on where it ended.

The first line has the settings: events of one folder are of one kind. The rule of this file: a recording is in the
journal once its events are on the disk, and never before.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from erc_live.live.errors import ConfigError
from erc_live.streams.errors import BadMessage
from erc_live.streams.journal import Log, read_log, write_whole

JOURNAL = "journal.jsonl"


class JournalHead(msgspec.Struct, frozen=True, kw_only=True, tag="settings"):
    """`settings`: all that the events depend on beside the recordings, by name."""

    settings: dict[str, Any]


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, tag="recording"):
    """A recording whose events are there. `digest`: of the recording (`ScoreTask.digest`) as it was then. `notes` and
    `damage` as of `ScoredRecording`.
    """

    recording: str
    digest: str
    utterances: int
    media_s: float
    notes: tuple[str, ...] = ()
    damage: str = ""


class ScoreJournal:
    """`entries`, by name of the recording."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        """Begin one in the folder, or go on with the one that is there.

        Raises:
            ConfigError: it is of other settings, or no journal.
            OSError: it cannot be written.
        """
        self.entries: dict[str, JournalEntry] = {}
        head = JournalHead(settings=_plain(settings))
        path = folder / JOURNAL
        if path.exists():
            before, *entries = _read(path)
            _compare(path, before, head)
            self.entries = {entry.recording: entry for entry in entries if isinstance(entry, JournalEntry)}
        lines = [msgspec.json.encode(each) + b"\n" for each in (head, *self.entries.values())]
        write_whole(path, b"".join(lines))  # without the torn end of a crash, and what was scored anew only once
        self._log = Log(path, resumed=True)

    def add(self, entry: JournalEntry) -> None:
        """When this returns, it is on the disk. Raises OSError."""
        self._log.append(msgspec.json.encode(entry))
        self.entries[entry.recording] = entry

    def close(self) -> None:
        self._log.close()


def _read(path: Path) -> tuple[JournalHead | JournalEntry, ...]:
    """The lines of a journal, of which there is one at least."""
    try:
        log = read_log(path, _decode)
    except BadMessage as error:
        raise ConfigError(f"{path}: {error}: name another folder") from error
    if log.bad or not log.values:
        raise ConfigError(f"{path}: is no journal of `erc-live score` or is damaged: name another folder, or move it")
    return log.values


def _decode(line: bytes) -> JournalHead | JournalEntry:
    try:
        value: JournalHead | JournalEntry = msgspec.json.decode(line, type=JournalHead | JournalEntry)
    except msgspec.DecodeError as error:
        raise BadMessage(str(error)) from error
    return value


def _compare(path: Path, before: JournalHead | JournalEntry, head: JournalHead) -> None:
    old = before.settings if isinstance(before, JournalHead) else {}
    names = [name for name in {**old, **head.settings} if old.get(name) != head.settings.get(name)]
    if names:
        name, others = names[0], f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise ConfigError(
            f"{path.parent}: was scored with other settings ({name}: {old.get(name)}, now {head.settings.get(name)}"
            f"{others}): name another folder, or delete {path}, and all is scored anew"
        )


def _plain(settings: Mapping[str, object]) -> dict[str, Any]:
    """As it comes back from a file."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    return plain
