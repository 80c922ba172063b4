"""MCAP, the log format of robotics (mcap.dev): the messages of the session as JSON, each topic with its schema.

Topics: `/utterances` (the events that count), `/annotations`, `/alerts`, `/gaps`, `/session` (all that befell it).
The rule of this file: messages are those of the event stream, unchanged, so what reads that reads this. Both times of a
message are Unix time in ns: of an utterance when it begins, of anything else when it happened.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from mcap.writer import Writer

from erc_live.live.export.exported import Export
from erc_live.streams import codec
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import EmotionEvent, Gap, Hello, Overload, Relabel, SessionEnd, SessionState, WorkerLost

_BEFELL = SessionState | Overload | WorkerLost | Relabel
_TOPICS: dict[type[PublicMessage], str] = {
    Hello: "/session",
    EmotionEvent: "/utterances",
    Annotation: "/annotations",
    Alert: "/alerts",
    Gap: "/gaps",
    SessionState: "/session",
    Overload: "/session",
    WorkerLost: "/session",
    Relabel: "/session",
    SessionEnd: "/session",
}


def write(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    with export.folder.path(f"{export.stem}.mcap").open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library="erc-live")
        channels = {kind: _channel(writer, kind, topic) for kind, topic in _TOPICS.items()}
        for t_ns, message in sorted(_messages(export), key=lambda pair: pair[0]):
            at = max(0, export.view.wall_ns(t_ns))
            writer.add_message(channels[type(message)], at, codec.to_json(message), at)
        writer.finish()  # type: ignore[no-untyped-call]


def _channel(writer: Writer, kind: type[PublicMessage], topic: str) -> int:
    schema = writer.register_schema(kind.__name__, "jsonschema", msgspec.json.encode(_object_schema(kind)))
    return int(writer.register_channel(topic, "json", schema))


def _object_schema(kind: type[PublicMessage]) -> dict[str, Any]:
    """The schema of a message with its object at the top, where viewers look for the fields."""
    schema = codec.json_schema(kind)
    definitions = schema.pop("$defs")
    return {**definitions.pop(kind.__name__), "$defs": definitions}


def _messages(export: Export) -> Iterator[tuple[int, PublicMessage]]:
    view = export.view
    yield from ((message.t_ns, message) for message in export.session.events if isinstance(message, _BEFELL))
    if view.hello is not None:
        yield view.hello.t_ns, view.hello
    for each in view.utterances:
        yield each.event.t_start_ns, each.event
        yield from ((annotation.t_ns, annotation) for annotation in each.annotations)
    yield from ((annotation.t_ns, annotation) for annotation in (*view.names, *view.marks))
    yield from ((alert.t_ns, alert) for alert in view.alerts)
    yield from ((gap.t_start_ns, gap) for gap in view.gaps)
    if view.end is not None:
        yield view.end.t_ns, view.end
