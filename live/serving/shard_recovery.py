"""A shard after a crash: every dialogue from its last snapshot, and what stands in the log after it.

Batches are computed again as they were, each row at its place among as many others; rows of dialogues whose snapshot is
later, or that have ended, are computed along and thrown away. So each state has the bits that it had. What was
published then is not published again: it is compared with what comes out now.
The rule of this file: it reads the log, and writes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import structs

from erc_live.live.serving import dialogue_records as records
from erc_live.live.serving.open_dialogue import OpenDialogue
from erc_live.live.serving.shard import BATCH, DialogueShard
from erc_live.live.tracking.tracker import DialogueMemory
from erc_live.models.errors import StateError
from erc_live.models.state import from_bytes
from erc_live.streams import codec
from erc_live.streams.errors import BadMessage, SessionError
from erc_live.streams.messages import EmotionEvent, UtteranceFeatures
from erc_live.streams.segmented_log import RecordLog

_SNAPSHOT = b'{"type":"Snapshot"'
_ENDED = b'{"type":"Ended"'
_FILLER = "~"  # no id of a dialogue begins like that


@dataclass
class ShardRecovery:
    """`dialogues` that are here again; `replayed` utterances, of which `differing` came out other than they were
    published: then this is another machine, or other libraries, than those that wrote the log.
    """

    dialogues: int = 0
    replayed: int = 0
    differing: int = 0


class _Head(msgspec.Struct):
    dialogue: str


def recover(shard: DialogueShard) -> ShardRecovery:
    """Fill an empty shard from its log. Raises SessionError where the log is damaged or of another network."""
    recovery = ShardRecovery()
    try:
        since = _snapshots(shard.keeping.log)
        for offset, data in shard.keeping.log.records():
            record = records.decode(data)
            match record:
                case records.Snapshot() if since.get(record.dialogue) == offset:
                    _restore(shard, record, offset, len(data))
                case records.Ended() if since.get(record.dialogue, -1) < offset:
                    shard.close(record.dialogue)
                case records.BatchRecord():
                    _replay(shard, record, offset, _counting(since, offset), recovery)
    except (msgspec.MsgspecError, StateError, BadMessage, ValueError) as error:
        raise SessionError(f"the log cannot be replayed: {error}: restore it, or begin with another folder") from error
    for filler in (_FILLER, *(f"{_FILLER}{number}" for number in range(BATCH))):
        shard.tracker.take_out(filler)
    recovery.dialogues = len(shard.dialogues)
    return recovery


def _counting(since: Mapping[str, int], offset: int) -> Callable[[str], bool]:
    """Whether a record at that offset says something of a dialogue that its snapshot does not."""
    return lambda dialogue: since.get(dialogue, -1) < offset


def _snapshots(log: RecordLog) -> dict[str, int]:
    """By dialogue, the offset of the newest snapshot that counts."""
    since: dict[str, int] = {}
    for offset, data in log.records():
        if data.startswith(_SNAPSHOT):
            since[msgspec.json.decode(data, type=_Head).dialogue] = offset
        elif data.startswith(_ENDED):
            since.pop(msgspec.json.decode(data, type=_Head).dialogue, None)
    return since


def _restore(shard: DialogueShard, snapshot: records.Snapshot, offset: int, length: int) -> None:
    known = OpenDialogue.of(snapshot, shard.clock.now_ns())
    known.snapshot_stored(snapshot.utterances, records.place(offset, length))
    shard.open(snapshot.dialogue, known, offset)
    memory = DialogueMemory(snapshot.utterances, snapshot.speakers, snapshot.last_label)
    like = shard.tracker.state(_FILLER)
    shard.tracker.put_in(snapshot.dialogue, memory, from_bytes(snapshot.state, like))


def _replay(
    shard: DialogueShard,
    batch: records.BatchRecord,
    offset: int,
    counts: Callable[[str], bool],
    recovery: ShardRecovery,
) -> None:
    """Take in a batch; of which dialogues its rows `count`."""
    heads = [records.event_head(event) for event in batch.events]
    event_places, inputs = _places(batch, offset)
    if not any(counts(head.dialogue) for head in heads):
        return
    again = _classified(shard, batch, counts)
    for number, (head, place) in enumerate(zip(heads, event_places, strict=True)):
        if not counts(head.dialogue):
            continue
        if head.dialogue not in shard.dialogues:
            shard.open(head.dialogue, OpenDialogue(head.session, shard.clock.now_ns()), offset)
        shard.dialogues[head.dialogue].next_seq = head.seq + 1
        shard.stored(head, place, inputs[number] if number < len(inputs) else None)
        if number < len(again):
            recovery.replayed += 1
            recovery.differing += again[number].probs != head.probs


def _places(batch: records.BatchRecord, offset: int) -> tuple[list[int], list[int]]:
    """Where the events stand, and the features: the record is written as `records.batch` does."""
    features, events = ([bytes(part) for part in parts] for parts in (batch.features, batch.events))
    record = records.batch(features, events, batch.failure)
    starts = (record.events, events), (record.features, features)
    first, second = ([records.place(offset + at, len(part)) for at, part in zip(*one, strict=True)] for one in starts)
    return first, second


def _classified(shard: DialogueShard, batch: records.BatchRecord, counts: Callable[[str], bool]) -> list[EmotionEvent]:
    """The events of its final utterances, computed as they were then."""
    rows = []
    for number, data in enumerate(batch.features):
        features = codec.from_json(bytes(data))
        assert isinstance(features, UtteranceFeatures)
        if not counts(features.dialogue):
            features = structs.replace(features, dialogue=f"{_FILLER}{number}", final=False)
        rows.append(features)
    if batch.failure:
        return [shard.tracker.abstain(row) for row in rows if row.final]
    return shard.tracker.observe_all(rows) if rows else []
