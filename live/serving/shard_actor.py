"""A shard in a process of its own, wherever Ray has put it: bytes in, receipts and the public streams out.

It loads what a shard needs before it is told which one it is; so a spare takes the place of one that died as soon as it
has read that one's log. The log is taken over without asking whoever had it (`owner_epoch.py`): that one may hang, or
run on behind a network that has been cut, and can append nothing any more.
The rules of this file: no Ray in it; and torch is loaded in the calls, for the gateway imports it.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from erc_live.live.config import Config
from erc_live.streams.feature_channel import FeatureFrames, Receipt, read_features

if TYPE_CHECKING:
    from erc_live.live.serving.serve_loop import ShardParts
    from erc_live.live.serving.shard import DialogueShard
    from erc_live.streams.segmented_log import RecordLog


Room = tuple[int, str]  # dialogues at once, and why not more; as of `admission.Room`


class ShardQuestion(NamedTuple):
    """What a subscriber wants to know of a dialogue; as of `DialogueSource`."""

    what: Literal["past", "alive"]
    dialogue: str


class ShardOpened(NamedTuple):
    """A shard that is ready, and what it recovered; as of `ShardRecovery`. `published`: events that stand in its log,
    which ends at `end`, and that nobody was told; as of `ShardReply`.
    """

    process: int
    dialogues: list[str]
    replayed: int
    differing: int
    room: Room
    end: int
    published: "list[Published]"


Published = tuple[str, str, bytes]  # as of `DialogueOutlet.publish`


@dataclass
class ShardReply:
    """What became of a turn: `receipts` by sender; what is to be `published`; `answers` to the questions, as they are
    after that. `counts`: of this turn, by the names of `ShardCounts`; `ended`: dialogues, and not begun anew since;
    `dialogues` that are open, and the `end` of the log, after it.
    """

    receipts: list[tuple[bytes, Receipt]] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    dialogues: int = 0
    end: int = 0


class ShardActor:
    """`load`, then `open` one log, then as many turns as there are. Not safe for threads."""

    def __init__(self) -> None:
        self._parts: ShardParts | None = None

    def load(self, config: Config, dialogues: int, folder: Path) -> int:
        """All that a shard of so many dialogues needs but its log; returns the process. `folder`: where it will lie.

        Raises WeightsError, SessionError.
        """
        from erc_live.live.serving.log_place import FolderPlace
        from erc_live.live.serving.serve_loop import Serving, load_shard

        self._loading = config, dialogues, folder
        self._parts = load_shard(Serving(config, "", FolderPlace(folder), dialogues))
        return os.getpid()

    def open(self, folder: Path, room: Room | None, since: int | None) -> ShardOpened:
        """Take over the shard whose log lies there; with so much room, or as measured here. `since`: where the log
        ended when something was published the last time. Raises SessionError, and again what `load` has raised.
        """
        from erc_live.live.serving import admission
        from erc_live.live.serving.log_place import FolderPlace
        from erc_live.live.serving.serve_loop import open_shard

        if self._parts is None:
            self.load(*self._loading)
        assert self._parts is not None
        room = room or (self._parts.room.dialogues, self._parts.room.reason)
        loaded = self._parts._replace(room=admission.Room(*room))
        place = FolderPlace(folder, seize=True)
        log = place.open()
        self._stack = ExitStack()
        self._stack.callback(log.close)
        self.shard, found = open_shard(self._loading[0], loaded, log, place, self._stack)
        missed = [] if since is None else list(_events(log, since))
        open_ = list(self.shard.dialogues)
        return ShardOpened(os.getpid(), open_, found.replayed, found.differing, room, log.end, missed)

    def close(self) -> None:
        """Let go of the log. The end of the process does it, too."""
        self._stack.close()

    def turn(self, messages: list[FeatureFrames], questions: list[ShardQuestion], elsewhere: int = 0) -> ShardReply:
        """Take what came, classify it and put it on the disk; and end who is silent, also where nothing came. Raises
        SessionError where that fails: nothing may be taken any more then. `elsewhere`: dialogues that take of its room.
        """
        from erc_live.live.serving.shard_outcome import ShardCounts

        shard, reply = self.shard, ShardReply()
        shard.elsewhere = elsewhere
        for sender, frames in messages:
            _, message, refusal = read_features(sender, frames)
            answer = refusal if message is None else shard.take(sender, message)
            if answer is not None:
                reply.receipts.append((sender, answer))
        _flush(shard, reply)
        reply.answers = [getattr(shard, what)(dialogue) for what, dialogue in questions]
        reply.counts, shard.counts = vars(shard.counts), ShardCounts()
        ends = [dialogue for topic, dialogue, _ in reply.published if topic == "session_end"]
        reply.ended = [dialogue for dialogue in ends if dialogue not in shard.dialogues]
        reply.dialogues, reply.end = len(shard.dialogues), shard.keeping.log.end
        return reply


def _events(log: "RecordLog", since: int) -> Iterator[Published]:
    """What the log says from there on."""
    from erc_live.live.serving import dialogue_records as records

    for offset, data in log.records():
        match records.decode(data) if offset >= since else None:
            case records.BatchRecord() as record:
                for event in record.events:
                    yield "event", records.event_head(event).dialogue, bytes(event)
            case records.Ended() as record if record.message:
                yield "session_end", record.dialogue, bytes(record.message)


def _flush(shard: "DialogueShard", reply: ShardReply) -> None:
    while True:
        outcome = shard.flush()
        reply.receipts += outcome.receipts
        reply.published += [(topic, dialogue, data) for topic, dialogue, data in outcome.published]
        if not shard.waiting:
            return
