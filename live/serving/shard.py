"""Many dialogues in one process: utterances in; receipts, events, and a log from which everything comes back.

    take -> wait at most 3 ms -> step of up to 64 dialogues at once -> one append to the log -> receipts, events

The log is the truth. Nothing is acknowledged or published before the append has returned, and features and events of a
batch are one record: so what a crash costs was not acknowledged, and its sender sends it again; and an event that
somebody has seen is in the log as it was seen. The state is a fold of `step` over the log, with snapshots so that the
fold is short (`shard_recovery.py`). Where the log cannot be written the process ends, for its states are ahead of the
log then.
The rule of this file: no socket, and no clock but the given one. Not safe for threads.
"""

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import msgspec
from msgspec import structs

from erc_live.live.serving import dialogue_records as records
from erc_live.live.serving.admission import Room, crowded, dialogue_of, objection, receipt
from erc_live.live.serving.going_back import go_back
from erc_live.live.serving.open_dialogue import OpenDialogue
from erc_live.live.serving.shard_outcome import DialogueMessage, ShardCounts, ShardOutcome
from erc_live.live.serving.snapshot_schedule import RETAINED, SnapshotSchedule
from erc_live.live.tracking.tracker import Tracker
from erc_live.models.errors import WeightsError
from erc_live.models.state import to_bytes
from erc_live.streams import codec
from erc_live.streams.clock import Clock
from erc_live.streams.feature_channel import DialogueInput, Receipt, message_key
from erc_live.streams.messages import EmotionEvent, Heartbeat, Hello, Relabel, SessionEnd, SourceEnd, UtteranceFeatures
from erc_live.streams.segmented_log import RecordLog

BATCH = 64  # dialogues in one step: with more, each costs as much
STEPS = 8  # before one append: a disk that is slow to sync then costs less for each
WAIT_S = 0.003  # for others to join a step
QUEUE = 1024  # final utterances that wait here; more wait with those who send them
LATE_S = 2.0  # of a final utterance that waits, from which on no dialogue is opened
FORGET_S = 24 * 3600.0  # without an utterance, after which a dialogue has ended

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """What is no provisional utterance, for which `sender` wants a receipt (b"": nobody does)."""

    sender: bytes
    message: DialogueInput
    dialogue: str
    t_ns: int


class Lot(NamedTuple):
    """What becomes one record: utterances that were classified together, and their events. `failure`: why not."""

    features: Sequence[UtteranceFeatures]
    events: Sequence[EmotionEvent]
    failure: str = ""


@dataclass(frozen=True)
class Keeping:
    """Where dialogues are kept: `log` all of them, `dead_letters` utterances that cannot be classified. `history`:
    events of a dialogue that a late subscriber is told.
    """

    log: RecordLog
    dead_letters: RecordLog
    history: int = 50


class DialogueShard:
    """Dialogues of one model, classified by `tracker` (of `reach` 0), as many as there is `room` for. `greet` completes
    a `Hello` by what people are to be told.
    """

    def __init__(
        self,
        tracker: Tracker,
        keeping: Keeping,
        clock: Clock,
        room: Room,
        greet: Callable[[Hello], Hello] = lambda hello: hello,
    ) -> None:
        self.tracker, self.keeping, self.clock = tracker, keeping, clock
        self.counts = ShardCounts()
        self.dialogues: OrderedDict[str, OpenDialogue] = OrderedDict()  # longest silent first
        self.elsewhere = 0  # dialogues of others that take of the room
        self._log, self._room = keeping.log, room
        self._hello = greet(tracker.hello())
        self._finals: deque[Waiting] = deque()
        self._pending: set[tuple[str, str, int]] = set()  # dialogue, utterance and revision of those
        self._passing: dict[str, UtteranceFeatures] = {}  # the newest provisional one of a dialogue
        self._notices: list[DialogueMessage] = []  # refusals
        self._schedule = SnapshotSchedule()

    @property
    def waiting(self) -> bool:
        """Whether something that gets a receipt waits for `flush`."""
        return bool(self._finals)

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._finals)

    @property
    def age_s(self) -> float:
        """For how long the first of them waits."""
        return self._waited_s() if self._finals else 0.0

    @property
    def space(self) -> int:
        """How many messages may be taken now."""
        return max(0, QUEUE - len(self._finals))

    @property
    def due_s(self) -> float:
        """In how many s `flush` should be called; 0: now."""
        if len(self._finals) >= BATCH or self._notices:
            return 0.0
        if self._finals:
            return max(0.0, WAIT_S - self._waited_s())
        return 0.0 if self._passing else 1.0  # what goes on waits for nobody: its final one would take its place

    def take(self, sender: bytes, message: DialogueInput) -> Receipt | None:
        """Let a message in; or say at once why not, or that it is here already."""
        now_ns = self.clock.now_ns()
        if not isinstance(message, UtteranceFeatures):
            if (dialogue := dialogue_of(message)) not in self.dialogues:  # then it has ended, and cannot go back
                ended = isinstance(message, SourceEnd)
                return receipt(message, "stored") if ended else receipt(message, "refused", "no such dialogue is open")
            self._finals.append(Waiting(sender, message, dialogue, now_ns))
        elif answer := self._turned_away(message):
            return answer
        elif not message.final:
            self.counts.dropped += message.dialogue in self._passing
            self._passing[message.dialogue] = message
        elif (key := _key(message)) not in self._pending:
            self._pending.add(key)
            self._finals.append(Waiting(sender, message, message.dialogue, now_ns))
            self.counts.dropped += self._passing.pop(message.dialogue, None) is not None
        return None

    def flush(self) -> ShardOutcome:
        """Classify what waits, 64 dialogues at a time, and put it into the log. Raises SessionError where that fails:
        nothing may be taken any more then.
        """
        outcome = ShardOutcome(published=self._notices)
        self._notices = []
        snapshots = self._snapshots(self._schedule.due(self.clock.now_ns(), self._log.end))
        lots: list[Lot] = []
        ends: list[SourceEnd] = []
        moves: list[Waiting] = []
        for _ in range(STEPS):
            chosen = [] if ends or moves else self._chosen()  # what follows builds on these
            if not chosen:
                break
            utterances = [w.message for w in chosen if isinstance(w.message, UtteranceFeatures)]
            ends += [w.message for w in chosen if isinstance(w.message, SourceEnd)]
            moves = [w for w in chosen if isinstance(w.message, Relabel)]
            lots += self._classified(utterances)
            outcome.receipts += [
                (w.sender, receipt(w.message, "stored"))
                for w in chosen
                if w.sender and not isinstance(w.message, Relabel)
            ]
            self._pending.difference_update(_key(message) for message in utterances)
        self._write(snapshots, [*lots, *self._provisional()], ends, outcome)
        for waiting in moves:
            self._go_back(waiting, outcome)
        self._log.forget(self._schedule.needed(self._log.end) - RETAINED)  # who goes back needs more
        self._end_silent()
        return outcome

    def past(self, dialogue: str) -> list[bytes]:
        """What a late subscriber to a dialogue is told, as JSON; [] where it is not open."""
        known = self.dialogues.get(dialogue)
        if known is None or not known.next_seq:
            return []
        hello = structs.replace(
            self._hello, session=known.session, speakers=known.names, last_seq=known.next_seq - 1, published={}
        )
        places = [records.where(place) for place in known.places]
        kept = [(offset, length) for offset, length in places if offset >= self._log.begin]
        return [codec.to_json(hello), *self._log.read_all(kept)]

    def alive(self, dialogue: str) -> bytes:
        """The sign of life of a dialogue, as JSON; b"" where it is not open."""
        known = self.dialogues.get(dialogue)
        if known is None or not known.next_seq:
            return b""
        now_ns = self.clock.now_ns()
        return codec.to_json(Heartbeat(session=known.session, t_ns=now_ns, last_seq=known.next_seq - 1, published={}))

    def open(self, dialogue: str, known: OpenDialogue, needed: int) -> None:
        """From now on a dialogue is here, which is recovered from that offset of the log on."""
        self.dialogues[dialogue] = known
        self._schedule.begin(dialogue, needed)

    def close(self, dialogue: str) -> None:
        """It is here no more."""
        self.dialogues.pop(dialogue, None)
        self._passing.pop(dialogue, None)
        self._schedule.forget(dialogue)
        self.tracker.take_out(dialogue)

    def stored(self, event: EmotionEvent | records.EventHead, place: int, features: int | None = None) -> None:
        """An event of a dialogue that is here stands in the log, and the features that it came from."""
        known, now_ns = self.dialogues[event.dialogue], self.clock.now_ns()
        known.stored(event, place, self.keeping.history, features)
        if event.final:
            known.t_ns = now_ns
            self.dialogues.move_to_end(event.dialogue)
            self._schedule.stored(event.dialogue, now_ns)

    def _turned_away(self, features: UtteranceFeatures) -> Receipt | None:
        known = self.dialogues.get(features.dialogue)
        if known and features.final and known.knows(features.utterance, features.revision):
            self.counts.repeated += 1
            return receipt(features, "stored")
        why = objection(features, self.tracker.memory(features.dialogue))
        try:
            self.tracker.check_encoders(features)
        except WeightsError as error:
            why = why or str(error)
        full = "" if known or why else self._full()
        if not (why or full):
            if known is None:
                self._begin(features.dialogue)
            return None
        self.counts.refused += features.final
        if full:
            self._notify(features.dialogue, full)
        return receipt(features, "full" if full else "refused", why or full)

    def _full(self) -> str:
        if self._finals and self._waited_s() > LATE_S:
            return f"utterances wait for {self._waited_s():.1f} s, more than {LATE_S:g} s: try again later"
        return crowded(len(self.dialogues) + self.elsewhere, self._room)

    def _notify(self, dialogue: str, why: str) -> None:
        """Say to who waits for a dialogue that it does not begin."""
        if len(self._notices) >= BATCH:
            return
        session, t_ns = f"{dialogue}-refused", self.clock.now_ns()
        hello = structs.replace(self._hello, session=session, published={})
        end = SessionEnd(session=session, t_ns=t_ns, utterances=0, reason=f"refused: {why}")
        self._notices += [
            DialogueMessage("hello", dialogue, codec.to_json(hello)),
            DialogueMessage("session_end", dialogue, codec.to_json(end)),
        ]

    def _begin(self, dialogue: str) -> None:
        self.open(dialogue, OpenDialogue(f"{dialogue}-{time.time_ns():x}", self.clock.now_ns()), self._log.end)

    def _waited_s(self) -> float:
        return (self.clock.now_ns() - self._finals[0].t_ns) / 1e9

    def _chosen(self) -> list[Waiting]:
        """The first of each dialogue, in the order in which they came."""
        chosen: dict[str, Waiting] = {}
        later: list[Waiting] = []
        while self._finals and len(chosen) < BATCH:
            waiting = self._finals.popleft()
            if waiting.dialogue in chosen:
                later.append(waiting)
            else:
                chosen[waiting.dialogue] = waiting
        self._finals.extendleft(reversed(later))
        return list(chosen.values())

    def _classified(self, utterances: list[UtteranceFeatures]) -> list[Lot]:
        """All together; each alone where that fails."""
        if not utterances:
            return []
        try:
            return [Lot(utterances, self.tracker.observe_all(utterances))]
        except Exception:  # whatever it is, it must not stop the others
            log.exception("a step of %d dialogues failed; each is tried alone", len(utterances))
            return [self._alone(utterance) for utterance in utterances]

    def _alone(self, utterance: UtteranceFeatures) -> Lot:
        try:
            return Lot([utterance], [self.tracker.observe(utterance)])
        except Exception as error:  # for the second time: it is the utterance
            why = f"{type(error).__name__}: {error}"
            self.counts.failed += 1
            letter = b'{"why":%b,"features":%b}' % (msgspec.json.encode(why), codec.to_json(utterance))
            self.keeping.dead_letters.append(letter)
            return Lot([utterance], [self.tracker.abstain(utterance)], why)

    def _provisional(self) -> list[Lot]:
        """Of utterances that go on, where there is time for them."""
        passing, self._passing = list(self._passing.values()), {}
        taken = passing[:BATCH] if len(self._finals) < BATCH else []
        try:
            events = self.tracker.observe_all(taken) if taken else []
        except Exception:  # the final one will say what is wrong
            log.exception("a step of %d provisional utterances failed", len(taken))
            events = []
        self.counts.dropped += len(passing) - len(events)
        return [Lot((), events)] if events else []

    def _write(
        self,
        snapshots: Sequence[records.EncodedSnapshot],
        lots: list[Lot],
        ends: list[SourceEnd],
        outcome: ShardOutcome,
    ) -> None:
        """Number the events, put all into the log after the snapshots, which know nothing of them, and publish it."""
        data, events = [snapshot.data for snapshot in snapshots], []
        for lot in lots:
            numbered = [self._numbered(event) for event in lot.events]
            encoded = [codec.to_json(event) for event in numbered]
            features = [codec.to_json(f) for f in lot.features]
            record = records.batch(features, encoded, lot.failure)
            inputs = list(zip(record.features, map(len, features), strict=True))
            events.append(list(zip_longest(numbered, encoded, record.events, inputs)))
            data.append(record.data)
        ended = {end.source: self._end(end) for end in ends if end.source in self.dialogues}  # some say it twice
        data += [records.ended(dialogue, message) for dialogue, message in ended.items()]
        offsets = self._log.append(*data) if data else []
        self._snapshots_stored(snapshots, offsets)
        for offset, lot_events in zip(offsets[len(snapshots) :], events, strict=False):
            for event, encoded_event, start, said in lot_events:
                features_place = records.place(offset + said[0], said[1]) if said else None
                self.stored(event, records.place(offset + start, len(encoded_event)), features_place)
                self.counts.stored += event.final
                outcome.published.append(DialogueMessage("event", event.dialogue, encoded_event))
        for dialogue, message in ended.items():
            self.close(dialogue)
            outcome.published.append(DialogueMessage("session_end", dialogue, message))

    def _numbered(self, event: EmotionEvent) -> EmotionEvent:
        if event.dialogue not in self.dialogues:  # it had ended meanwhile, and begins anew
            self._begin(event.dialogue)
        known = self.dialogues[event.dialogue]
        seq, known.next_seq = known.next_seq, known.next_seq + 1
        return structs.replace(event, seq=seq, session=known.session, t_published_ns=self.clock.now_ns())

    def _end(self, end: SourceEnd) -> bytes:
        known, count = self.dialogues[end.source], self.tracker.memory(end.source).utterances
        message = SessionEnd(session=known.session, t_ns=self.clock.now_ns(), utterances=count, reason=end.reason[:200])
        return codec.to_json(message)

    def _end_silent(self) -> None:
        """The longest silent one has ended when its time is up."""
        dialogue = next(iter(self.dialogues), None)
        now_ns = self.clock.now_ns()
        if dialogue is not None and now_ns - self.dialogues[dialogue].t_ns > FORGET_S * 1e9:
            end = SourceEnd(source=dialogue, t_ns=now_ns, reason=f"silent for {FORGET_S / 3600:g} h")
            self.dialogues.move_to_end(dialogue)
            self._finals.append(Waiting(b"", end, dialogue, now_ns))

    def _snapshots(self, dialogues: Sequence[str]) -> list[records.EncodedSnapshot]:
        """Of dialogues as they are now."""
        snapshots = []
        for dialogue in dialogues:
            memory, state = self.tracker.memory(dialogue), to_bytes(self.tracker.state(dialogue))
            data = msgspec.json.encode(self.dialogues[dialogue].snapshot(dialogue, memory, state))
            snapshots.append(records.EncodedSnapshot(dialogue, memory.utterances, data))
        return snapshots

    def _snapshots_stored(self, snapshots: Sequence[records.EncodedSnapshot], offsets: Sequence[int]) -> None:
        for (dialogue, utterances, data), offset in zip(snapshots, offsets, strict=False):
            self.dialogues[dialogue].snapshot_stored(utterances, records.place(offset, len(data)))
            self._schedule.begin(dialogue, offset)

    def _go_back(self, waiting: Waiting, outcome: ShardOutcome) -> None:
        """A voice turned out to be another one: the dialogue is what it was before that."""
        relabel, known = waiting.message, self.dialogues.get(waiting.dialogue)
        assert isinstance(relabel, Relabel)
        if known is None:  # it had ended meanwhile
            why = "no such dialogue is open"
        elif known.knows(*message_key(relabel)):
            why = ""
        elif not (why := go_back(self.tracker, self._log, known, relabel)):
            known.remember(*message_key(relabel))
            (snapshot,) = self._snapshots([waiting.dialogue])
            self._snapshots_stored([snapshot], self._log.append(snapshot.data))
            outcome.published.append(DialogueMessage("relabel", waiting.dialogue, codec.to_json(relabel)))
        self.counts.refused += bool(why)
        outcome.receipts.append((waiting.sender, receipt(relabel, "refused" if why else "stored", why)))


def _key(features: UtteranceFeatures) -> tuple[str, str, int]:
    return features.dialogue, features.utterance, features.revision
