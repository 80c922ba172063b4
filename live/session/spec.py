"""What a session is asked to be, and what each of its processes is told when it starts: one JSON line, nothing by
environment or inheritance.

The rule of this file: data alone. Who listens to whom stands in one table (`SUBSCRIPTIONS`), from which follows whom a
publisher waits for; what the end of a process means stands in another (`ENDINGS`).
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config

PUBLIC = "public"  # topic in the log of a session of all that subscribers are told
Kind = Literal["capture", "perception", "tracker", "recorder", "screen"]


class Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dialogue of a server that takes the features of a session, and decides in the place of its tracker."""

    dialogue: str
    endpoint: str


class SessionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asked for: which sources, how fast, and what to store."""

    session: str
    config: Config
    sources: tuple[SourceSpec, ...]
    speed: float = 1.0
    transcript: str | None = None
    hurry: bool = False  # somebody waits: rather give something up than be late (`load_shedding.py`)
    reference: str | None = None  # a transcript of what is said, to compare what was recognised with
    record: str | None = None
    jsonl: bool = False
    lines: bool = False  # for people, where no dashboard can be drawn
    picture: str | None = None  # where the last screen is saved
    feed: Feed | None = None  # None: it has a tracker of its own

    @property
    def dashboard(self) -> bool:
        """Whether the session is drawn on a screen, and not written line by line."""
        return not (self.jsonl or self.lines)


class Subscription(msgspec.Struct, frozen=True):
    """What a process subscribes to, and at whom. The supervisor publishes the log of the session: what perception and
    tracker say, in one order, and all that is public.
    """

    publishers: tuple[str, ...]
    topics: tuple[str, ...]


SUBSCRIPTIONS: dict[str, Subscription] = {
    "perception": Subscription(("capture", "supervisor"), ("audio", "video", "end", "gap")),
    # Under "features" is all that perception says of the conversation: utterances, corrections, its end.
    "tracker": Subscription(("supervisor",), ("features",)),
    "recorder": Subscription(("capture", "supervisor"), ("audio", "video", "end", "features", PUBLIC)),
    "screen": Subscription(("supervisor",), (PUBLIC, "status")),
    "lines": Subscription(("supervisor",), (PUBLIC,)),
    "supervisor": Subscription(
        ("capture", "perception", "tracker", "recorder", "screen"),
        ("status", "end", "gap", "features", "relabel", "overload", "event", "hello", "command", "annotation"),
    ),
}


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What follows for the session when a process died for good: it was started anew, and died of the same again.

    `end source`: nothing more comes of it; `end session`; `go on` without it. `required`: without it something is
    lost, so the session has failed.
    """

    then: Literal["end source", "end session", "go on"]
    required: bool = True


ENDINGS: dict[Kind, Ending] = {
    "capture": Ending(then="end source"),
    "perception": Ending(then="end session"),
    "tracker": Ending(then="end session"),
    "recorder": Ending(then="go on"),
    "screen": Ending(then="go on"),
}


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process of a session.

    It publishes at `address`, and subscribes to `topics` at `upstream`. `readers` are those who need all that it
    publishes: it is not ready before they listen. A `spare` loads what is slow to load, and listens to nobody before it
    takes the place of another one.
    """

    kind: Kind
    worker: str
    session: SessionSpec
    address: str
    upstream: tuple[str, ...]
    topics: tuple[str, ...]
    readers: tuple[str, ...]
    ending: Ending
    source: SourceSpec | None = None  # of a capture worker
    spare: bool = False
    number: int = 0  # of a screen: of the session's log, where it begins
    pair: tuple[str, str] | None = None  # the keys of the session, where others can reach its endpoints


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the media begins, in session time; and to one that takes the place of a dead one, where to go on.

    `at_ns`: from when on a device is heard. `since_ns`, by source: what ended before is worked off. `context`: who said
    what until then, the newest last. `voices`, by microphone: how many were told apart. `number` of the session's log,
    and of the next event (`seq`): before this, all was published.
    """

    t_ns: int
    anew: bool = False
    at_ns: int = 0
    since_ns: dict[str, int] = {}
    context: tuple[tuple[str, str], ...] = ()
    voices: dict[str, int] = {}
    number: int = 0
    seq: int = 0


class Plan(msgspec.Struct, frozen=True):
    """The workers of a session, in the order in which they start, and where their supervisor publishes."""

    workers: tuple[WorkerSpec, ...]
    supervisor: str


def plan(session: SessionSpec, address: Callable[[str], str]) -> Plan:
    """The workers of a session. `address` gives a worker, and the supervisor, its endpoint."""
    kinds: list[Kind] = ["screen", "tracker", "perception"]
    if session.record:
        kinds.insert(1, "recorder")
    members: list[tuple[Kind, str, SourceSpec | None]] = [(kind, kind, None) for kind in kinds]
    members += [("capture", source.name, source) for source in session.sources]
    places: dict[str, list[str]] = {"supervisor": [address("supervisor")]}
    for kind, name, _ in members:
        places.setdefault(kind, []).append(address(name))
    workers = []
    for kind, name, source in members:
        row = SUBSCRIPTIONS.get("lines" if kind == "screen" and not session.dashboard else kind, Subscription((), ()))
        workers.append(
            WorkerSpec(
                kind=kind,
                worker=name,
                session=session,
                address=address(name),
                upstream=tuple(place for publisher in row.publishers for place in places.get(publisher, ())),
                topics=row.topics,
                readers=_readers(kind, kinds),
                ending=_ending(kind, source),
                source=source,
            )
        )
    return Plan(tuple(workers), places["supervisor"][0])


def waits(session: SessionSpec, source: SourceSpec) -> bool:
    """Whether a source is read as fast as its readers can, and none of it is given up."""
    return not (source.live or session.hurry)


def _readers(kind: Kind, kinds: list[Kind]) -> tuple[str, ...]:
    """Who needs all that a process of this kind publishes."""
    if kind == "capture":
        return tuple(k for k in kinds if kind in SUBSCRIPTIONS.get(k, Subscription((), ())).publishers)
    return ("supervisor",)


def _ending(kind: Kind, source: SourceSpec | None) -> Ending:
    """Who is heard need not be seen."""
    return ENDINGS[kind] if source is None else msgspec.structs.replace(ENDINGS[kind], required=source.kind == "mic")
