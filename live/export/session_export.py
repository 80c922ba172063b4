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
from erc_live.streams.conversation_view import conversation_view
from erc_live.streams.session import open_session


@dataclass(frozen=True)
class Exported:
    """What people should know of an export, one line each."""

    notes: tuple[str, ...]
    incomplete: tuple[str, ...]


def export_session(
    path: Path, formats: Sequence[str], folder: ExportFolder, begin: Callable[[int], None], advance: Advance
) -> Exported:
    """Write a bundle in these formats of `FORMATS` into an open folder.

    Args:
        path: of the bundle.
        formats: names, in the order of the table.
        folder: where to.
        begin: called with how much sound there is to be written, in ns; 0: none.
        advance: called with each piece of it that was.

    Raises:
        SessionError: it is no bundle, cannot be read, or has no sound where that was asked for.
        ConfigError: a file is there already.
        EngineError: a library is not installed.
    """
    writers = [FORMATS[name].load(name) for name in formats]
    session = open_session(path)
    view = conversation_view(session)
    stem = file_part(path.resolve().name) or "session"
    sound = next((name for name in SOUND if name in formats), None)
    sound_files: tuple[str, ...] = ()
    if sound is not None or "bids" in formats:
        from erc_live.live.export.sound_files import file_names

        sound_files = tuple(file_names(session, view, stem, sound)) if sound is not None else ()
        microphones = sum(kind == "audio" for kind, _ in session.tracks())
        passes = sum(name in (*SOUND, "bids") for name in formats)
        begin(microphones * passes * (view.end_ns - view.start_ns))
    export = Export(session, view, folder, stem, sound_files, advance=advance)
    for writer in writers:
        writer(export)
    return Exported(tuple(_notes(path, export)), tuple(dict.fromkeys([*export.missing, *_cut_off(path, export)])))


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
    return [
        f"the recording was cut off, and its last seconds may be gone; 'erc-live session recover {path}' says what is"
    ]
