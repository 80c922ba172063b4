"""Shards for tests: tiny weights, a log in a folder, and utterances that are always the same."""

from pathlib import Path

from erc_live.live.serving.admission import Room
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.serving.shard import DialogueShard, Keeping
from erc_live.live.serving.shard_recovery import ShardRecovery, recover
from erc_live.live.tracking.tracker import Bounds, SessionStart, Tracker
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.state import tensors
from erc_live.streams import codec
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import EmotionEvent, UtteranceFeatures
from erc_live.streams.segmented_log import FileLog


class ShardHost:
    """A shard, its folder and its clock; `crash` and `again` are what a kill and a start make of it."""

    def __init__(self, checkpoint: Checkpoint, folder: Path, dialogues: int = 100, segment: int = 1 << 20) -> None:
        self.checkpoint, self.folder, self.dialogues, self.segment = checkpoint, folder, dialogues, segment
        self.clock = ManualClock(1)
        self.start()

    def start(self) -> ShardRecovery:
        self.log = FileLog(self.folder, self.segment)
        self.dead_letters = FileLog(self.folder / "dead-letters")
        tracker = Tracker(
            self.checkpoint, SessionStart("", 0, 0), self.clock, bounds=Bounds(max(64, self.dialogues), reach=0)
        )
        self.shard = DialogueShard(tracker, Keeping(self.log, self.dead_letters), self.clock, Room(self.dialogues))
        return recover(self.shard)

    def again(self) -> ShardRecovery:
        """What was not on the disk is gone."""
        self.close()
        return self.start()

    def close(self) -> None:
        self.log.close()
        self.dead_letters.close()

    def say(self, *utterances: UtteranceFeatures) -> list[EmotionEvent]:
        """Take them, and flush until nothing waits; the events."""
        for utterance in utterances:
            answer = self.shard.take(b"me", utterance)
            assert answer is None or answer.verdict == "stored", answer
        return self.flush()

    def flush(self) -> list[EmotionEvent]:
        events = []
        while self.shard.due_s < 1:
            self.clock.t_ns += 3_000_000
            for published in self.shard.flush().published:
                message = codec.from_json(published.data)
                if isinstance(message, EmotionEvent):
                    events.append(message)
        return events

    def utterance(self, dialogue: str, number: int) -> UtteranceFeatures:
        return generated(self.checkpoint, dialogue, number, seed=sum(dialogue.encode()))

    def bits(self) -> dict[str, list[bytes]]:
        """All that is known of each dialogue, to the last bit."""
        known = {}
        for dialogue, one in self.shard.dialogues.items():
            state = [tensor.numpy().tobytes() for tensor in tensors(self.shard.tracker.state(dialogue)).values()]
            memory = self.shard.tracker.memory(dialogue)
            rest = (one.session, one.next_seq, one.places.tolist(), one.identities.tolist(), one.names, memory)
            rest += (one.inputs.tolist(), one.snapshots)
            known[dialogue] = [*state, repr(rest).encode()]
        return known
