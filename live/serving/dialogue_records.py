"""What the log of a server says: a state is what these records make of it, one after the other.

    Batch     final utterances that were classified together, and all events that this gave, in their order
    Snapshot  a dialogue after all that stands before
    Ended     a dialogue that is no more

Rows of a batch round alike only among as many others, at their places; so a batch is one record, and is computed again
as it was. Each is one JSON object; features and events in it are as in a recorded session (`streams/codec.py`).
The rule of this file: pure.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

LENGTH_BITS = 20  # of a place: where an event stands in the log, and how long it is


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True, tag="Batch"):
    """`failure`: why the one utterance in it could not be classified; its event abstains. `features` may be fewer than
    `events`: those of provisional utterances leave no trace.
    """

    failure: str
    features: list[msgspec.Raw]
    events: list[msgspec.Raw]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """All that is known of a dialogue. `places`: of its newest events; `identities`: of its newest final ones; `state`:
    safetensors, in JSON as base64; `inputs`: places of the features of newest final ones; `snapshots`: earlier ones,
    each after so many utterances, and its place.
    """

    dialogue: str
    session: str
    next_seq: int
    names: tuple[str, ...]
    places: list[int]
    identities: list[int]
    utterances: int
    speakers: tuple[str, ...]
    last_label: dict[int, str]
    state: bytes
    inputs: list[int] = []
    snapshots: list[tuple[int, int]] = []


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """`message`: the `SessionEnd` that says so; of a log that is older, there is none."""

    dialogue: str
    message: msgspec.Raw = msgspec.Raw(b"")


DialogueRecord = BatchRecord | Snapshot | Ended


class EventHead(msgspec.Struct, frozen=True, kw_only=True):
    """Of an `EmotionEvent` on the disk, what recovery needs."""

    session: str
    dialogue: str
    utterance: str
    revision: int
    seq: int
    final: bool
    speaker: int
    speaker_name: str
    probs: dict[str, float]


class EncodedSnapshot(NamedTuple):
    """A `Snapshot` of a dialogue after so many utterances."""

    dialogue: str
    utterances: int
    data: bytes


def ended(dialogue: str, message: bytes) -> bytes:
    """An `Ended`."""
    return msgspec.json.encode(Ended(dialogue=dialogue, message=msgspec.Raw(message)))


def decode(data: bytes) -> DialogueRecord:
    """Raises msgspec.DecodeError."""
    record: DialogueRecord = msgspec.json.decode(data, type=DialogueRecord)
    return record


def event_head(event: msgspec.Raw) -> EventHead:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(event, type=EventHead)


def open_dialogues(log: Iterable[bytes]) -> set[str]:
    """Those that have begun and not ended, which recovery brings back. Raises msgspec.DecodeError."""
    begun: set[str] = set()
    for data in log:
        match decode(data):
            case Snapshot(dialogue=dialogue):
                begun.add(dialogue)
            case Ended(dialogue=dialogue):
                begun.discard(dialogue)
            case BatchRecord(events=events):
                begun.update(event_head(event).dialogue for event in events)
    return begun


class EncodedBatch(NamedTuple):
    """A `BatchRecord`, and where in it each of its features and events begins."""

    data: bytes
    features: list[int]
    events: list[int]


def batch(features: Sequence[bytes], events: Sequence[bytes], failure: str = "") -> EncodedBatch:
    """A `BatchRecord` of JSON objects."""
    begin = b'{"type":"Batch","failure":%b,"features":[' % msgspec.json.encode(failure)
    middle = begin + b",".join(features) + b'],"events":['
    data = middle + b",".join(events) + b"]}"
    return EncodedBatch(data, _starts(len(begin), features), _starts(len(middle), events))


def _starts(begin: int, parts: Sequence[bytes]) -> list[int]:
    """Where each part begins, the first at `begin`, where a comma is between them."""
    starts = []
    for part in parts:
        starts.append(begin)
        begin += len(part) + 1
    return starts


def place(offset: int, length: int) -> int:
    """Where an event stands, in one number."""
    return offset << LENGTH_BITS | length


def where(packed: int) -> tuple[int, int]:
    """Offset and length of `place`."""
    return packed >> LENGTH_BITS, packed & (1 << LENGTH_BITS) - 1
