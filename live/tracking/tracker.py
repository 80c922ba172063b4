"""From utterance features to emotion events: the sans-I/O core of the tracker worker, the only bridge from message to
tensor.

One dialogue or thousands: their states lie in `slots.py`, and `observe_all` takes the next utterance of many together.
A final utterance moves the state of its dialogue; a provisional one is classified from it and leaves no trace. So a
provisional event may be wrong, late or missing without consequence: replay at maximum speed leaves them out, and the
final events are the same. Because copies of old states are kept for a while, the dialogue can go back to before any
recent utterance, when it turns out that somebody else spoke. Only the past is ever read: the event of an utterance
depends on it and on the utterances of its dialogue observed before it. Speakers are numbered here, by first appearance,
so that a perception worker that was started again cannot renumber them. `classification.py` has the arithmetic.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from msgspec import structs
from torch import Tensor

from erc_live.live.tracking.classification import Classifier, NextUtterance
from erc_live.live.tracking.slots import Slots
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.dimensions import DIMENSIONS, Coordinates, learnt_dimensions, located
from erc_live.models.modalities import MODALITIES
from erc_live.streams.clock import Clock
from erc_live.streams.messages import (
    RELABEL_REACH,
    SCHEMA,
    EmotionEvent,
    Hello,
    Modality,
    Relabel,
    UtteranceFeatures,
    UtteranceFields,
)

NOTICE = (
    "Emotions are estimated from what is said and how it sounds: estimated expressed emotion, not anybody's "
    "inner state. People must be told that this runs."
)


@dataclass(frozen=True)
class SessionStart:
    """`t_ns` (session time) and `wall_ns` (Unix time) are the same instant: the first of the media."""

    session: str
    t_ns: int
    wall_ns: int


@dataclass(frozen=True)
class DialogueMemory:
    """What the tracker remembers of one dialogue beside its state. Speakers are numbered by first appearance."""

    utterances: int = 0
    speakers: tuple[str, ...] = ()  # by number: a name, else the voice
    last_label: Mapping[int, str] = field(default_factory=dict)  # by number

    def turn(self, features: UtteranceFeatures) -> tuple[NextUtterance, "DialogueMemory"]:
        """The utterance with the number of its speaker, who may be new."""
        voice = features.speaker_name or features.voice or features.source
        speakers = self.speakers if voice in self.speakers else (*self.speakers, voice)
        return NextUtterance(features, speakers.index(voice)), replace(self, speakers=speakers)

    def after(self, speaker: int, label: str | None) -> "DialogueMemory":
        """With one utterance more; without a label, nothing is known of it."""
        last_label = self.last_label if label is None else {**self.last_label, speaker: label}
        return replace(self, utterances=self.utterances + 1, last_label=last_label)


@dataclass(frozen=True)
class Bounds:
    """How much is remembered. `capacity`: dialogues whose states are on the device; `reach`: utterances that `go_back`
    may take back, each of which costs a copy of a state.
    """

    capacity: int = 4
    reach: int = RELABEL_REACH


@dataclass(frozen=True)
class _Past:
    """An utterance that was observed, and what its dialogue was before it."""

    utterance: str
    memory: DialogueMemory
    state: Any


class _NetworkAnswer(NamedTuple):
    """What the network says of one utterance: numbers, for tensors of a few of them cost more than a step."""

    probs: list[float]
    entropy: float
    dimensions: list[float]


class Tracker:
    """`observe` utterances in order; get events. `seq` counts the events of the whole stream. `coordinates`: valence
    and arousal of labels that `models/dimensions.py` does not know, or places elsewhere.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        start: SessionStart,
        clock: Clock,
        device: str = "cpu",
        coordinates: Coordinates = MappingProxyType({}),
        bounds: Bounds = Bounds(),
    ) -> None:
        self._classifier = Classifier(checkpoint, device)
        self.slots: Slots[Any] = Slots(self._classifier.model, bounds.capacity, clock)
        self._checkpoint = checkpoint
        self._labels = checkpoint.card.labels
        self._learnt = learnt_dimensions(checkpoint.model.config)
        self._start = start
        self._clock = clock
        self._coordinates = coordinates
        self._reach = bounds.reach
        self._memories: dict[str, DialogueMemory] = {}
        self._before: dict[str, deque[_Past]] = {}  # dialogue -> last utterances
        self._seq = 0
        self._encoders: Mapping[Modality, str] | None = None  # of the last utterance, which fit the weights
        self.spoilt = 0  # vectors that held a value that is no number, and counted as missing

    def observe(self, features: UtteranceFeatures) -> EmotionEvent:
        """Classify one utterance. Raises WeightsError if other encoders made its features than the weights were
        trained on.
        """
        return self.observe_all([features])[0]

    def observe_all(self, batch: Sequence[UtteranceFeatures]) -> list[EmotionEvent]:
        """Classify the next utterance of several dialogues together, each dialogue at most once.

        Raises:
            WeightsError: as `observe`.
            ValueError: a vector has another width than the model takes, or a dialogue comes twice. No state has
                changed, as with WeightsError.
        """
        turns, memories, spoilt = [], [], 0
        for features in batch:
            self.check_encoders(features)
            usable = self._classifier.usable(features)
            turn, memory = self.memory(features.dialogue).turn(usable)
            turns.append(turn)
            memories.append(memory)
            spoilt += usable is not features and len(self._classifier.spoilt(features))
        for features in batch:
            if features.dialogue not in self.slots:
                self.slots.join(features.dialogue)
        states = [self._copy(features) for features in batch]
        probs, dimensions = self._classifier.together(turns, self.slots)
        self.spoilt += spoilt
        events = []
        for turn, memory, state, answer in zip(turns, memories, states, _answers(probs, dimensions), strict=True):
            event = self._event(turn, memory, answer)
            if turn.features.final:
                self._go_on(turn, memory, state, event)
            self._seq += 1
            events.append(event)
        return events

    def check_encoders(self, features: UtteranceFeatures) -> None:
        """Raise WeightsError if other encoders made the features than the weights were trained on."""
        if features.encoders != self._encoders:
            self._checkpoint.check_encoders(features.encoders)
            self._encoders = features.encoders

    def memory(self, dialogue: str) -> DialogueMemory:
        """What is remembered of a dialogue; that of one in which nothing was said yet."""
        return self._memories.get(dialogue) or DialogueMemory()

    def state(self, dialogue: str) -> Any:
        """A copy of the state of a dialogue, in host memory; that of one in which nothing was said yet."""
        if dialogue not in self.slots:
            self.slots.join(dialogue)
        return self.slots.copy(dialogue)

    def put_in(self, dialogue: str, memory: DialogueMemory, state: Any) -> None:
        """Go on with a dialogue from what is known of it, in the place of what was here."""
        self.take_out(dialogue)
        self.slots.join(dialogue, state)
        self._memories[dialogue] = memory

    def take_out(self, dialogue: str) -> None:
        """Forget a dialogue, if it is here."""
        if dialogue in self.slots:
            self.slots.leave(dialogue)
        self._memories.pop(dialogue, None)
        self._before.pop(dialogue, None)

    def abstain(self, features: UtteranceFeatures) -> EmotionEvent:
        """The event of an utterance that cannot be classified: all labels alike, not certain, and nowhere on the
        dimensions that were learnt. The dialogue goes on as if nothing had been said, but the utterance is counted.
        """
        turn, memory = self.memory(features.dialogue).turn(structs.replace(features, vectors={}))
        alike = torch.full((1, len(self._labels)), 1 / len(self._labels), dtype=torch.float64)
        (answer,) = _answers(alike, torch.full((1, len(DIMENSIONS)), torch.nan))
        event = self._event(turn, memory, answer)
        event = structs.replace(event, certain=False, shift=None, **dict.fromkeys(self._learnt))
        self._memories[features.dialogue] = memory.after(turn.speaker, None)
        self._seq += 1
        return event

    def remember(self, features: UtteranceFeatures) -> None:
        """Take an utterance that was classified before, by another process: the dialogue goes on from it."""
        if features.final:
            seq = self._seq
            self.observe(features)
            self._seq = seq

    def go_back(self, relabel: Relabel) -> None:
        """Forget the first of the utterances that moved, and all after it: they are observed anew, each once more.

        Numbers of speakers stay as they are. What lies further back than `RELABEL_REACH` utterances stays, too.
        """
        before = self._before.get(relabel.dialogue, deque())
        first = next((i for i, past in enumerate(before) if past.utterance in relabel.moved), None)
        if first is None:
            return
        memory = replace(before[first].memory, speakers=self._memories[relabel.dialogue].speakers)
        self._memories[relabel.dialogue] = memory
        self.slots.leave(relabel.dialogue)
        self.slots.join(relabel.dialogue, before[first].state)
        while len(before) > first:
            before.pop()

    def go_on(self, seq: int) -> None:
        """Number events from `seq` on: those before were another process's."""
        self._seq = seq

    def hello(self) -> Hello:
        """How the stream introduces itself; the publisher adds who has spoken and how far it has come."""
        return Hello(
            schema=SCHEMA,
            session=self._start.session,
            t_ns=self._start.t_ns,
            wall_ns=self._start.wall_ns,
            labels=self._labels,
            speakers=(),
            model=self._checkpoint.fingerprint,
            notice=NOTICE,
            last_seq=-1,
            learnt=self._learnt,
        )

    def _copy(self, features: UtteranceFeatures) -> Any:
        """The state before a final utterance, where it may be asked for again."""
        return self.state(features.dialogue) if self._reach and features.final else None

    def _go_on(self, turn: NextUtterance, memory: DialogueMemory, state: Any, event: EmotionEvent) -> None:
        """Remember a final utterance; `state` is that before it."""
        dialogue = turn.features.dialogue
        if self._reach:
            before = self._before.setdefault(dialogue, deque(maxlen=self._reach))
            before.append(_Past(turn.features.utterance, self.memory(dialogue), state))
        self._memories[dialogue] = memory.after(turn.speaker, event.label)

    def _event(self, turn: NextUtterance, memory: DialogueMemory, answer: _NetworkAnswer) -> EmotionEvent:
        features, speaker = turn.features, turn.speaker
        likeliest = max(answer.probs)
        label = self._labels[answer.probs.index(likeliest)]
        last = memory.last_label.get(speaker)
        distribution = dict(zip(self._labels, answer.probs, strict=True))
        valence, arousal = located(distribution, self._coordinates, answer.dimensions)
        return EmotionEvent(
            **{name: getattr(features, name) for name in UtteranceFields.__struct_fields__},
            schema=SCHEMA,
            seq=self._seq,
            session=self._start.session,
            index=memory.utterances,
            speaker=speaker,
            speaker_name=features.speaker_name or f"Speaker {speaker + 1}",
            label=label,
            probs=distribution,
            entropy=answer.entropy,
            shift=None if last is None else label != last,
            certain=self._classifier.certain(features, likeliest),
            modalities=tuple(modality for modality in MODALITIES if modality in features.vectors),
            model=self._checkpoint.fingerprint,
            t_logits_ns=self._clock.now_ns(),
            valence=valence,
            arousal=arousal,
        )


def _answers(probs: Tensor, dimensions: Tensor) -> Iterator[_NetworkAnswer]:
    """Of each utterance. Shapes: probs (N, labels), dimensions (N, 2)"""
    entropies = torch.special.entr(probs).sum(1)
    return map(_NetworkAnswer, probs.tolist(), entropies.tolist(), dimensions.tolist())
