"""From utterance features to emotion events: the sans-I/O core of the tracker worker, the only bridge from message to
tensor.

The state of a dialogue is a value. A final utterance replaces it; a provisional one is classified from it and leaves no
trace. So a provisional event may be wrong, late or missing without consequence: replay at maximum speed leaves them
out, and the final events are the same. Because old values are kept for a while, the dialogue can go back to before any
recent utterance, when it turns out that somebody else spoke. Only the past is ever read: the event of an utterance
depends on it and on the utterances observed before it. Speakers are numbered here, by first appearance, so that a
perception worker that was started again cannot renumber them. `classification.py` has the arithmetic.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from erc_live.live.tracking.classification import Classifier
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.dimensions import Coordinates, expected
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
class _DialogueMemory:
    """What the tracker remembers of one dialogue. Speakers are numbered by first appearance."""

    state: Any  # of the network
    utterances: int = 0
    speakers: tuple[str, ...] = ()  # by number: a name, else the voice
    last_label: Mapping[int, str] = field(default_factory=dict)  # by number


@dataclass(frozen=True)
class _Past:
    """An utterance that was observed, and what its dialogue was before it."""

    utterance: str
    dialogue: _DialogueMemory


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
    ) -> None:
        self._classifier = Classifier(checkpoint, device)
        self._checkpoint = checkpoint
        self._labels = checkpoint.card.labels
        self._start = start
        self._clock = clock
        self._coordinates = coordinates
        self._dialogues: dict[str, _DialogueMemory] = {}
        self._before: dict[str, deque[_Past]] = {}  # dialogue -> last utterances
        self._seq = 0
        self._encoders: Mapping[Modality, str] | None = None  # of the last utterance, which fit the weights
        self.spoilt = 0  # vectors that held a value that is no number, and counted as missing

    def observe(self, features: UtteranceFeatures) -> EmotionEvent:
        """Classify one utterance. Raises WeightsError if other encoders made its features than the weights were
        trained on.
        """
        if features.encoders != self._encoders:
            self._checkpoint.check_encoders(features.encoders)
            self._encoders = features.encoders
        self.spoilt += len(self._classifier.spoilt(features))
        features = self._classifier.usable(features)
        dialogue = self._dialogues.get(features.dialogue) or _DialogueMemory(self._classifier.model.initial_state(1))
        voice = features.speaker_name or features.voice or features.source
        speakers = dialogue.speakers if voice in dialogue.speakers else (*dialogue.speakers, voice)
        speaker = speakers.index(voice)
        with torch.inference_mode():
            probs, state = self._classifier(features, speaker, dialogue.state)
        event = self._event(features, dialogue, speaker, probs[0])
        if features.final:
            before = self._before.setdefault(features.dialogue, deque(maxlen=RELABEL_REACH))
            before.append(_Past(features.utterance, dialogue))
            last_label = {**dialogue.last_label, speaker: event.label}
            self._dialogues[features.dialogue] = _DialogueMemory(state, dialogue.utterances + 1, speakers, last_label)
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
        dialogue = replace(before[first].dialogue, speakers=self._dialogues[relabel.dialogue].speakers)
        self._dialogues[relabel.dialogue] = dialogue
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
        )

    def _event(
        self, features: UtteranceFeatures, dialogue: _DialogueMemory, speaker: int, probs: Tensor
    ) -> EmotionEvent:
        label = self._labels[int(probs.argmax())]
        last = dialogue.last_label.get(speaker)
        distribution = dict(zip(self._labels, probs.tolist(), strict=True))
        valence, arousal = expected(distribution, self._coordinates) or (None, None)
        return EmotionEvent(
            **{name: getattr(features, name) for name in UtteranceFields.__struct_fields__},
            schema=SCHEMA,
            seq=self._seq,
            session=self._start.session,
            index=dialogue.utterances,
            speaker=speaker,
            speaker_name=features.speaker_name or f"Speaker {speaker + 1}",
            label=label,
            probs=distribution,
            entropy=float(torch.special.entr(probs).sum()),
            shift=None if last is None else label != last,
            certain=self._classifier.certain(features, float(probs.max())),
            modalities=tuple(modality for modality in MODALITIES if modality in features.vectors),
            model=self._checkpoint.fingerprint,
            t_logits_ns=self._clock.now_ns(),
            valence=valence,
            arousal=arousal,
        )
