"""What every reader of a corpus gives: utterances, dialogues, and a split of them with its labels.

Times, files and labels mean the same in every corpus, so that features, training and scoring need not know where a
dialogue comes from:
- `start_s` and `end_s` are seconds since the conversation began;
- a media file that one utterance names is a clip of that utterance, all of it; a file that several utterances
  of a dialogue name is a recording of the conversation, of which each has the piece from `start_s` to `end_s`;
- an empty text means that nothing was transcribed, and a label of None that nobody labelled the utterance, which is
  then context only;
- vectors that a corpus brings, made by encoders of its own, take the place of those that would be made of its words and
  media. A dialogue names them, and an utterance that lacks one lacks that modality.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from erc_live.models.card import BROUGHT
from erc_live.models.errors import CorpusError

SPLITS = ("train", "dev", "test")

# The seven labels of MELD, in the order of the shipped weights; DailyDialog and RAVDESS use the same words.
SEVEN = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")

GENDERS = ("male", "female")  # that a corpus may name of its speakers, in the order of the classes of HGF-MiLaG

# Seconds, dB, dB, Hz, Hz, Hz, syllables per second of sounding time, dB; of the whole utterance.
PROSODY = (
    "duration",
    "avg_intensity",
    "intensity_variation",
    "avg_pitch",
    "pitch_std",
    "pitch_range",
    "articulation_rate",
    "mean_hnr",
)


Vector: TypeAlias = "array[float]"  # of type "f": four bytes a number, and compared as lists are


@dataclass(frozen=True)
class FeatureKind:
    """Vectors that a corpus brings for a modality: what they are called, and how many numbers one has."""

    name: str
    width: int

    @property
    def fingerprint(self) -> str:
        """Stands on the card of weights where else the encoder stands."""
        return f"{BROUGHT}{self.name}, {self.width} numbers"


@dataclass(frozen=True)
class Utterance:
    """What one speaker says at a time; `prosody` is in the order of `PROSODY`, NaN where it was not measured. `valence`
    and `arousal` are what raters said, in [-1, 1], None where they were not asked. `vectors` are those that the corpus
    brings, by modality. `gender` is that of the speaker, one of `GENDERS`, None where the corpus does not say.
    `spoken`: the words as they were said, where `text` is what a recogniser made of them.
    """

    speaker: str
    text: str
    label: str | None
    start_s: float | None = None
    end_s: float | None = None
    audio: Path | None = None
    video: Path | None = None
    prosody: tuple[float, ...] | None = None
    valence: float | None = None
    arousal: float | None = None
    vectors: Mapping[str, Vector] = field(default_factory=dict, hash=False)
    gender: str | None = None
    spoken: str | None = None


@dataclass(frozen=True)
class Dialogue:
    """One conversation, its utterances first to last; `name` is unique within its corpus split. `features` say what the
    vectors of its utterances are, by modality. `occasion` is what it shares with others and would give away between
    what teaches and what scores: an episode, a session of the same two people; None: nothing.
    """

    name: str
    utterances: tuple[Utterance, ...]
    features: Mapping[str, FeatureKind] = field(default_factory=dict, hash=False)
    occasion: str | None = None

    @property
    def group(self) -> str:
        """What must not be parted: its occasion, or itself."""
        return self.name if self.occasion is None else self.occasion

    @cached_property
    def recordings(self) -> frozenset[Path]:
        """The files that more than one utterance names: recordings of the conversation, not clips."""
        once: set[Path] = set()
        twice: set[Path] = set()
        for utterance in self.utterances:
            files = {file for file in (utterance.audio, utterance.video) if file is not None}
            twice |= once & files
            once |= files
        return frozenset(twice)

    def span(self, utterance: Utterance, file: Path) -> tuple[float, float | None]:
        """Where in its `file` an utterance of this dialogue lies, in seconds: (0, None) is all of it."""
        if file in self.recordings and utterance.start_s is not None:
            return utterance.start_s, utterance.end_s
        return 0.0, None


@dataclass(frozen=True)
class Split:
    """A part of a corpus; every label in `dialogues` is one of `labels`, whose order is the corpus' own."""

    corpus: str
    name: str
    labels: tuple[str, ...]
    dialogues: tuple[Dialogue, ...]

    @property
    def features(self) -> Mapping[str, FeatureKind]:
        """What the vectors that the corpus brings are, by modality."""
        return self.dialogues[0].features if self.dialogues else {}

    def checked(self) -> "Split":
        """The same split. Raises CorpusError when not all of its dialogues bring the same vectors."""
        for other in self.dialogues:
            if other.features != self.features:
                raise CorpusError(
                    f"{self.corpus}, {self.name}: all dialogues must bring the same vectors; {other.name!r} brings "
                    f"{_described(other.features)}, and {self.dialogues[0].name!r} {_described(self.features)}"
                )
        return self

    def relabelled(self, names: Mapping[str, str | None]) -> "Split":
        """The split with other names for some labels, all at once; None takes a label away, its utterances stay."""

        def named(label: str | None) -> str | None:
            return None if label is None else names.get(label, label)

        labels = dict.fromkeys(new for label in self.labels if (new := named(label)) is not None)
        dialogues = tuple(
            replace(one, utterances=tuple(replace(turn, label=named(turn.label)) for turn in one.utterances))
            for one in self.dialogues
        )
        return replace(self, labels=tuple(labels), dialogues=dialogues)


def _described(features: Mapping[str, FeatureKind]) -> str:
    return "; ".join(f"{modality} {kind.name}, {kind.width} numbers" for modality, kind in features.items()) or "none"
