"""A session on its way to the disk: what the bundle says of it, and the place where its messages go."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from erc_live.live.session.recording_registry import register
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.bundle_limits import NAME_LETTERS
from erc_live.streams.errors import SessionError
from erc_live.streams.record import Recorder
from erc_live.streams.session import Manifest, RecordedSource, new_manifest, read_manifest

log = logging.getLogger(__name__)


@contextmanager
def recorder(session: SessionSpec, t_ns: int) -> Iterator[Recorder | None]:
    """What writes messages to the bundle that the session asks for; None if it asks for none. `t_ns`: the instant, now,
    at which the media begins.

    Where a recorder of this very session died, the new one goes on in its bundle: `stored` says what is there, and what
    it is told once more of that is passed over. Raises SessionError where the folder cannot be written.
    """
    if session.record is None:
        yield None
        return
    folder = Path(session.record)
    begun = _was_begun(session, folder)
    with Recorder.resume(folder) if begun else Recorder(folder, _manifest(session, t_ns)) as bundle:
        try:
            register(folder, session.session)
        except OSError as error:
            log.warning("%s: recording.keep_days and forget will not know of it: %s", folder, error)
        yield bundle


def _was_begun(session: SessionSpec, folder: Path) -> bool:
    """Whether the folder holds the beginning of this session."""
    try:
        manifest = read_manifest(folder)
    except SessionError:
        return False
    return manifest.session == session.session and not manifest.closed


def _manifest(session: SessionSpec, t_ns: int) -> Manifest:
    sources = [
        RecordedSource(
            name=source.name,
            kind="audio" if source.kind == "mic" else "video",
            speaker=(source.speaker or "")[:NAME_LETTERS],
        )
        for source in session.sources
    ]
    return new_manifest(session.session, t_ns, time.time_ns(), sources, msgspec.to_builtins(session.config))
