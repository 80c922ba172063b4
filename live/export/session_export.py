"""One session in several formats: what is written, in which order, and what of the session is not in it.

The rule of this file: what is missing is of two kinds. `notes` say what was known to be gone before (gaps that recovery
wrote down, people who wanted to be forgotten); `incomplete` is what this export could not bring out of the bundle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from erc_live.live.export.exported import Advance, Export, ExportFolder
from erc_live.live.export.formats import FORMATS, SOUND
from erc_live.live.export.plain_text import file_part
from erc_live.streams.bundle_lock import is_locked
from erc_live.streams.bundle_losses import missing
from erc_live.streams.conversation_view import ConversationView, conversation_view
from erc_live.streams.session import RecordedSession, open_session

_TEXT_NS = 60_000_000_000  # what a format without sound counts in progress: as a minute of sound


@dataclass(frozen=True)
class Exported:
    """What people should know of an export, one line each."""

    notes: tuple[str, ...]
    incomplete: tuple[str, ...]


def export_session(
    path: Path, formats: Sequence[str], folder: ExportFolder, begin: Callable[[int], object], advance: Advance
) -> Exported:
    """Write a bundle in these formats of `FORMATS` into an open folder.

    Args:
        path: of the bundle.
        formats: names, in the order of the table.
        folder: where to.
        begin: called with how much there is to be written, in ns of sound.
        advance: called with each piece of it that was.

    Raises:
        SessionError: it is no bundle, cannot be read, or has no sound where that was asked for.
        ConfigError: a file is there already.
        EngineError: a library is not installed.
    """
    writers = [FORMATS[name].load(name) for name in formats]
    session = open_session(path)
    view = conversation_view(session)
    begin(_amount(session, view, formats))
    stem = file_part(path.resolve().name) or "session"
    export = Export(session, view, folder, stem, _media(session, view, stem, formats), advance=advance)
    for writer in writers:
        writer(export)
        advance(_TEXT_NS)
    return Exported(tuple(_notes(path, export)), tuple(dict.fromkeys([*export.missing, *_cut_off(path, export)])))


def _amount(session: RecordedSession, view: ConversationView, formats: Sequence[str]) -> int:
    microphones = sum(kind == "audio" for kind, _ in session.tracks())
    passes = sum(name in (*SOUND, "bids") for name in formats)
    return passes * microphones * (view.end_ns - view.start_ns) + len(formats) * _TEXT_NS


def _media(session: RecordedSession, view: ConversationView, stem: str, formats: Sequence[str]) -> tuple[str, ...]:
    """Files of sound that are written along."""
    sound = next((name for name in SOUND if name in formats), None)
    if sound is None:
        return ()
    from erc_live.live.export.sound_files import file_names  # with PyAV, which only sound needs

    return tuple(file_names(session, view, stem, sound))


def _notes(path: Path, export: Export) -> list[str]:
    notes = missing(path)
    if is_locked(path):
        notes.append("is being recorded: what comes from now on is not in the files")
    if not export.view.utterances:
        notes.append("has no utterances: nothing was classified in it")
    return notes


def _cut_off(path: Path, export: Export) -> list[str]:
    if export.session.manifest.closed or is_locked(path):
        return []
    return [f"the recording was cut off, its last seconds may be gone; 'erc-live session recover {path}' says what is"]
