"""What a worker is told when it starts: one JSON line, nothing by environment or inheritance."""

from collections.abc import Callable
from typing import Literal

import msgspec

from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config
from erc_live.streams.session import Manifest, Source, new_manifest

Kind = Literal["capture", "perception", "tracker", "recorder", "screen"]


class SessionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asked for: which sources, how fast, and what to keep."""

    session: str
    config: Config
    sources: tuple[SourceSpec, ...]
    speed: float = 1.0
    transcript: str | None = None
    hurry: bool = False  # somebody waits: rather give something up than be late (`load_shedding.py`)
    reference: str | None = None  # a transcript of what is said, to compare what was recognised with
    record: str | None = None
    as_lines: bool = False
    picture: str | None = None  # where the last screen is saved


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process of a session.

    `addresses` maps every worker (and "events", the public stream) to its endpoint. `consumers` says, for each topic
    that the worker publishes, how many subscribers it waits for before it is ready: a message sent to nobody is lost.
    """

    kind: Kind
    worker: str
    session: SessionSpec
    addresses: dict[str, str]
    consumers: dict[str, int]
    source: SourceSpec | None = None  # of a capture worker

    def captures(self) -> list[str]:
        """Endpoints of all capture workers."""
        return [self.addresses[source.name] for source in self.session.sources]


def plan(session: SessionSpec, address: Callable[[str], str]) -> tuple[WorkerSpec, ...]:
    """The workers of a session, each with who listens to it. `address` gives a worker its endpoint."""
    captures = [source.name for source in session.sources]
    names = [*captures, "perception", "tracker", "screen", *(["recorder"] if session.record else []), "supervisor"]
    recorders = 1 if session.record else 0

    def worker(kind: Kind, name: str, consumers: dict[str, int], source: SourceSpec | None = None) -> WorkerSpec:
        return WorkerSpec(
            kind=kind, worker=name, session=session, addresses=addresses, consumers=consumers, source=source
        )

    addresses = {name: address(name) for name in names} | {"events": session.config.events.endpoint}
    media = {"mic": "audio", "camera": "video"}
    return (
        worker("screen", "screen", {}),
        *([worker("recorder", "recorder", {})] if session.record else []),
        worker("tracker", "tracker", {"event": 2 + recorders}),  # the screen and the supervisor
        worker("perception", "perception", {"features": 1 + recorders}),
        *(worker("capture", s.name, {f"{media[s.kind]}.{s.name}": 1 + recorders}, s) for s in session.sources),
    )


def manifest(session: SessionSpec, t_ns: int, wall_ns: int) -> Manifest:
    """What the recording of a session says of it; `t_ns` and `wall_ns` are the instant at which the media begins."""
    sources = [
        Source(name=source.name, kind="audio" if source.kind == "mic" else "video", speaker=source.speaker or "")
        for source in session.sources
    ]
    return new_manifest(session.session, t_ns, wall_ns, sources, msgspec.to_builtins(session.config))
