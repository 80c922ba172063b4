"""What a shard has handed to its log and is not on the disk yet, and all that waits for that.

    step -> put -> on the disk, while the next steps are computed -> released: receipts, events

A step builds on those before it at once; who sends and who subscribes learns of it when it is on the disk. Until then
its dialogues look to them as they did before.
The rule of this file: nothing that follows from a write is released before it is in the log, and all in the order of
the writes.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from erc_live.live.serving.open_dialogue import OpenDialogue
from erc_live.live.serving.shard_outcome import ShardOutcome
from erc_live.streams.feature_channel import Receipt
from erc_live.streams.log_writer import LogWriter

AHEAD = 32  # steps that are computed ahead of the disk; then the shard waits for it


class PublicState(NamedTuple):
    """A dialogue as subscribers know it: how many events it has had, and the names of its speakers."""

    known: OpenDialogue
    next_seq: int
    names: tuple[str, ...]

    @classmethod
    def of(cls, known: OpenDialogue) -> "PublicState":
        """As it is now."""
        return cls(known, known.next_seq, known.names)


@dataclass
class PendingWrite:
    """A step: `messages` that it takes in, and what is sent when it is on the disk. `before`: the dialogues that it
    changes, as they were. `stored`: final utterances in it. The log ends at `end` behind it, and is needed from
    `needed` on.
    """

    messages: int
    begun_ns: int
    outcome: ShardOutcome = field(default_factory=ShardOutcome)
    before: dict[str, PublicState] = field(default_factory=dict)
    stored: int = 0
    end: int = 0
    needed: int = 0

    def changes(self, dialogue: str, known: OpenDialogue) -> None:
        """To be called before the first change of a dialogue that subscribers see."""
        self.before.setdefault(dialogue, PublicState.of(known))


class PendingWrites:
    """Those of one shard, in order. Raises what the log raises."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._writes: deque[PendingWrite] = deque()
        self.released = writer.end  # of the log, up to which all may be read by others

    def add(self, write: PendingWrite) -> None:
        """All of it is put; waits for the disk where that has fallen far behind."""
        write.end = self._writer.end
        self._writes.append(write)
        if len(self._writes) > AHEAD:
            self._writer.wait(self._writes[-AHEAD].end)

    def hold(self, sender: bytes, receipt: Receipt) -> bool:
        """Whether a receipt has to wait: it may follow from what is not on the disk yet, and is released with that.
        That there is no room now is said at once, also where a disk hangs.
        """
        held = bool(self._writes) and receipt.verdict != "full"
        if held:
            self._writes[-1].outcome.receipts.append((sender, receipt))
        return held

    def public(self, dialogue: str, now: OpenDialogue | None) -> PublicState | None:
        """A dialogue as subscribers know it; `now`: as it is, if it is open."""
        pending = (write.before[dialogue] for write in self._writes if dialogue in write.before)
        return next(pending, PublicState.of(now) if now else None)

    def landed(self) -> Iterator[PendingWrite]:
        """Those that are on the disk, once."""
        stored = self._writer.stored
        while self._writes and self._writes[0].end <= stored:
            self.released = self._writes[0].end
            yield self._writes.popleft()
