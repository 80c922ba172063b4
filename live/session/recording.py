"""A session on its way to the disk: what the bundle says of it, and the place where its messages go."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from erc_live.live.session.spec import SessionSpec
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest


@contextmanager
def recorder(session: SessionSpec, t_ns: int) -> Iterator[Recorder | None]:
    """What writes messages to the bundle that the session asks for; None if it asks for none. `t_ns`: the instant, now,
    at which the media begins. Raises SessionError where the folder cannot be written.
    """
    if session.record is None:
        yield None
        return
    sources = [
        RecordedSource(
            name=source.name, kind="audio" if source.kind == "mic" else "video", speaker=source.speaker or ""
        )
        for source in session.sources
    ]
    manifest = new_manifest(session.session, t_ns, time.time_ns(), sources, msgspec.to_builtins(session.config))
    with Recorder(Path(session.record), manifest) as bundle:
        yield bundle
