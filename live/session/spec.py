"""What a session is asked to be, and what each of its processes is told when it starts: one JSON line, nothing by
environment or inheritance.

The rule of this file: data alone. Who listens to whom stands in one table (`SUBSCRIPTIONS`), from which follow what a
process subscribes to and how many subscribers it waits for; what the end of a process means stands in another
(`ENDINGS`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config
from erc_live.streams.subscribe import LIVE_TOPICS
from erc_live.streams.topics import TOPICS

Kind = Literal["capture", "perception", "tracker", "recorder", "screen"]


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
    picture: str | None = None  # where the last screen is saved


class Subscription(msgspec.Struct, frozen=True):
    """What a process subscribes to, and at whom. "events" is the public stream, which the tracker publishes."""

    publishers: tuple[str, ...]
    topics: tuple[str, ...]


SUBSCRIPTIONS: dict[str, Subscription] = {
    "perception": Subscription(("capture", "supervisor"), ("audio", "video", "end", "gap")),
    "tracker": Subscription(("capture", "perception", "supervisor"), ("features", "relabel", "overload", "end", "gap")),
    "recorder": Subscription(
        ("capture", "perception", "events", "supervisor"), tuple(topic.name for topic in TOPICS if topic.recorded)
    ),
    "screen": Subscription(
        ("capture", "perception", "tracker", "recorder", "events", "supervisor"), ("hello", *LIVE_TOPICS, "status")
    ),
    # From the public stream alone: the tracker passes on what others publish, and it comes once.
    "lines": Subscription(("events",), ("hello", *LIVE_TOPICS)),
    "supervisor": Subscription(
        ("capture", "perception", "tracker", "recorder", "events"), ("status", "end", "event", "session_end")
    ),
}

# Topics of which nothing may be lost: who publishes them is not ready before everybody listens.
AWAITED = {
    "capture": ("audio", "video"),
    "perception": ("features",),
    "events": ("event",),
}


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What it means for the session that a process died. `restarts`: how often it is started anew at most.

    Then: `end source`, nothing more comes of it; `end session`; `go on` without it; `stop` the session in order, as the
    person wants who closed it. `required`: without it something is lost, so the session has failed.
    """

    then: Literal["end source", "end session", "go on", "stop"]
    restarts: int = 0
    required: bool = True


RESTARTS = 3
ENDINGS: dict[Kind, Ending] = {
    "capture": Ending(then="end source"),  # of a file, which would begin again; a device is another matter (`plan`)
    "perception": Ending(then="end source", restarts=RESTARTS),
    "tracker": Ending(then="end session"),  # with it the state of the dialogue is lost
    "recorder": Ending(then="go on"),
    "screen": Ending(then="stop"),
}


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process of a session.

    `address` is where it publishes, `events` where the public stream is. It subscribes to `topics` at `upstream`.
    `consumers` says, for each topic that it publishes and of which nothing may be lost, how many subscribers it waits
    for before it is ready.
    """

    kind: Kind
    worker: str
    session: SessionSpec
    address: str
    events: str
    upstream: tuple[str, ...]
    topics: tuple[str, ...]
    consumers: dict[str, int]
    ending: Ending
    source: SourceSpec | None = None  # of a capture worker


class Plan(msgspec.Struct, frozen=True):
    """The workers of a session, in the order in which they start, and what their supervisor is told."""

    workers: tuple[WorkerSpec, ...]
    supervisor: str  # where it publishes
    upstream: tuple[str, ...]
    topics: tuple[str, ...]


def plan(session: SessionSpec, address: Callable[[str], str]) -> Plan:
    """The workers of a session. `address` gives a worker, and the supervisor, its endpoint."""
    kinds: list[Kind] = ["screen", "tracker", "perception"]
    if session.record:
        kinds.insert(1, "recorder")
    members: list[tuple[Kind, str, SourceSpec | None]] = [(kind, kind, None) for kind in kinds]
    members += [("capture", source.name, source) for source in session.sources]
    places: dict[str, list[str]] = {"events": [session.config.events.endpoint], "supervisor": [address("supervisor")]}
    for kind, name, _ in members:
        places.setdefault(kind, []).append(address(name))
    readers = [_subscription(kind, session) for kind in (*kinds, "supervisor")]
    own = {kind: iter(endpoints) for kind, endpoints in places.items()}
    workers = tuple(
        WorkerSpec(
            kind=kind,
            worker=name,
            session=session,
            address=next(own[kind]),
            events=session.config.events.endpoint,
            upstream=_upstream(_subscription(kind, session), places),
            topics=_subscription(kind, session).topics,
            consumers=_consumers(kind, source, readers),
            ending=_ending(kind, source),
            source=source,
        )
        for kind, name, source in members
    )
    watching = SUBSCRIPTIONS["supervisor"]
    return Plan(workers, places["supervisor"][0], _upstream(watching, places), watching.topics)


def _subscription(kind: str, session: SessionSpec) -> Subscription:
    nothing = Subscription((), ())
    return SUBSCRIPTIONS.get("lines" if kind == "screen" and session.jsonl else kind, nothing)


def _upstream(subscription: Subscription, places: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(place for publisher in subscription.publishers for place in places.get(publisher, ()))


def _consumers(kind: Kind, source: SourceSpec | None, readers: Sequence[Subscription]) -> dict[str, int]:
    """How many of the readers listen to each topic of which nothing may be lost."""
    publisher = "events" if kind == "tracker" else kind
    topics = AWAITED.get(publisher, ())
    counts = {
        topic: sum(publisher in reader.publishers and topic in reader.topics for reader in readers) for topic in topics
    }
    if source is None:
        return counts
    medium = "audio" if source.kind == "mic" else "video"
    return {f"{medium}.{source.name}": counts[medium]}


def _ending(kind: Kind, source: SourceSpec | None) -> Ending:
    """Of a device: opened anew, it goes on where it is now. Who is heard need not be seen."""
    if source is None:
        return ENDINGS[kind]
    restarts = RESTARTS if source.live else 0
    return msgspec.structs.replace(ENDINGS[kind], restarts=restarts, required=source.kind == "mic")
