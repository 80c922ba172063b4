"""Whose voice it is: stretches of speech from one shared microphone to voices, while people talk.

At each stretch everything that is remembered is partitioned anew (`partition.py`), and the groups are given the numbers
of the voices that most of their speech had before. So the first word of a conversation may be given to the only voice
there is, and is given back when more is known: `changes` says so, and the dialogue is told anew. Voices of people who
agreed to be recognised have names (`identification.py`).

Vectors are those of `live/speakers/embedding.py`; likeness is their dot product (the reason is there).
The rules of this file: only what was heard counts, in the order in which it was given; no clock and no I/O; memory is
bounded, and holds no more than the session needs.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from erc_live.live.speakers.identification import identify
from erc_live.live.speakers.partition import SAME, Stretch, mean, partition
from erc_live.streams.messages import RELABEL_REACH

MEMORY = RELABEL_REACH  # stretches of one microphone that can still change hands
MOST = 20  # voices of one microphone, where nobody says how many people there are
# How probable it is that a voice is the right one: a logistic function of how much more alike a stretch is to the other
# stretches of its voice than to the next best voice, and of its length. Fitted to made talk; see the bench's page.
ODDS, PER_LIKENESS, PER_SECOND, LONG_S = -0.6, 8.7, 0.31, 4.0
UNKNOWN = 0.5  # of what cannot be told from its sound


@dataclass(frozen=True)
class Voice:
    """Whose voice a stretch is. `voice` tells the voices of a microphone apart; `speaker_name` only if enrolled.

    `confidence`: how sure that is, 0 to 1; None where nothing was measured. It makes no other voice of it.
    """

    voice: str
    speaker_name: str | None
    confidence: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Change:
    """The utterances `moved`, in the order in which they came, are now known to be of `voice`; how sure that is."""

    moved: tuple[str, ...]
    voice: str
    speaker_name: str | None
    cause: Literal["merge", "correction"]
    confidences: tuple[float | None, ...] = field(default=(), compare=False)


class SpeakerClustering:
    """The voices of the shared microphones of one session.

    Args:
        known: people who agreed to be recognised, and their vectors.
        centre: the mean vector of many people, which `known` and voices are compared without. Shapes: (256,)
        least: how many people share a microphone, at least.
        most: how many, at most; 0 when nobody knows.
    """

    def __init__(
        self,
        known: Mapping[str, np.ndarray] | None = None,
        centre: np.ndarray | None = None,
        least: int = 1,
        most: int = 0,
    ) -> None:
        self._known = dict(known or {})
        self._centre = np.zeros(1) if centre is None else centre
        self._limits = least, most or MOST
        self._microphones: dict[str, _MicrophoneVoices] = {}
        self._numbered: dict[str, int] = {}  # by microphone: voices that others have told apart before
        self._changes: list[Change] = []

    def go_on(self, numbered: Mapping[str, int]) -> None:
        """Number the voices of each microphone after those that another process told apart: whose they are is not known
        here, and a number that came again would be taken for the same person.
        """
        self._numbered = dict(numbered)

    def assign(
        self, source: str, utterance: str, embedding: np.ndarray | None, t_start_ns: int, t_end_ns: int
    ) -> Voice:
        """Whose voice the next utterance is, as far as is known now. Voices are numbered as they are first heard.

        Shapes: embedding (256,) float32, None where nothing can be told from it.
        """
        voices = self._microphones.setdefault(source, self._new(source))
        voices.add(utterance, Stretch(embedding, (t_end_ns - t_start_ns) / 1e9))
        self._changes += voices.settle()
        return voices.latest

    def guess(self, source: str, embedding: np.ndarray | None) -> Voice:
        """Whose voice something unfinished is, as far as is known now. Leaves no trace."""
        return self._microphones.get(source, self._new(source)).guess(embedding)

    def count(self, source: str) -> int:
        """How many voices of this microphone are told apart now."""
        return self._microphones[source].count if source in self._microphones else 0

    def changes(self) -> list[Change]:
        """What has become known since the last call about utterances that had been given out, oldest first."""
        changes, self._changes = self._changes, []
        return changes

    def _new(self, source: str) -> "_MicrophoneVoices":
        return _MicrophoneVoices(source, self._known, self._centre, self._limits, self._numbered.get(source, 0))


@dataclass
class _Assignment:
    """A stretch with the number of its voice, and the voice it was published under; None: not yet."""

    utterance: str
    stretch: Stretch
    published: Voice | None = None


class _MicrophoneVoices:
    """The voices of one microphone."""

    def __init__(
        self, source: str, known: Mapping[str, np.ndarray], centre: np.ndarray, limits: tuple[int, int], numbered: int
    ) -> None:
        self._source, self._known, self._centre, self._limits = source, known, centre, limits
        self._assignments: deque[_Assignment] = deque()
        self._forgotten: dict[int, Stretch] = {}  # by number of the voice: all of it that is no longer remembered
        self._names: dict[int, str] = {}
        self._first = numbered + 1
        self._numbered = numbered

    @property
    def count(self) -> int:
        """Voices that are told apart."""
        return len({stretch.number for stretch in self._stretches()})

    @property
    def latest(self) -> Voice:
        """Whose the latest stretch is."""
        published = self._assignments[-1].published
        assert published is not None
        return published

    def add(self, utterance: str, stretch: Stretch) -> None:
        """Remember the next stretch, and forget the oldest."""
        self._assignments.append(_Assignment(utterance, stretch))
        if len(self._assignments) > MEMORY:
            oldest = self._assignments.popleft().stretch
            assert oldest.number is not None
            past = self._forgotten.get(oldest.number)
            self._forgotten[oldest.number] = oldest if past is None else _joined(past, oldest)

    def settle(self) -> list[Change]:
        """Decide anew whose everything is, and say what has changed."""
        stretches = self._stretches()
        before = {stretch.number for stretch in stretches}
        groups = partition(stretches, *self._limits)
        numbers = self._numbers(stretches, groups)
        forgotten = [*self._forgotten.values()]
        self._forgotten = {}
        for past, number in zip(forgotten, numbers, strict=False):
            other = self._forgotten.get(number)
            self._forgotten[number] = replace(past if other is None else _joined(other, past), number=number)
        for assignment, number in zip(self._assignments, numbers[len(forgotten) :], strict=True):
            assignment.stretch = replace(assignment.stretch, number=number)
        means = self._means()
        self._identify(means)
        gone = before - set(means)
        return [*self._publish(means, gone)]

    def guess(self, vector: np.ndarray | None) -> Voice:
        """The voice that is most like it; without a vector the last that was heard, or the first that will be."""
        means = {number: mean for number, mean in self._means().items() if mean is not None}
        if vector is None or not means:
            return self.latest if self._assignments else Voice(f"{self._source}#{self._first}", None)
        number = max(means, key=lambda n: float(means[n] @ vector))
        return self._voice(number, None)

    def _stretches(self) -> list[Stretch]:
        return [*self._forgotten.values(), *(assignment.stretch for assignment in self._assignments)]

    def _numbers(self, stretches: list[Stretch], groups: list[int]) -> list[int]:
        """The number of each stretch's voice: of each group the one that most of its speech had, a new one if none."""
        shared: dict[tuple[int, int], float] = {}
        for stretch, group in zip(stretches, groups, strict=True):
            if stretch.number is not None:
                pair = group, stretch.number
                shared[pair] = shared.get(pair, 0.0) + stretch.seconds
        numbers: dict[int, int] = {}
        for group, number in sorted(shared, key=lambda pair: (-shared[pair], pair)):
            if group not in numbers and number not in numbers.values():
                numbers[group] = number
        for group in dict.fromkeys(groups):
            if group not in numbers:
                self._numbered += 1
                numbers[group] = self._numbered
        return [numbers[group] for group in groups]

    def _means(self) -> dict[int, np.ndarray | None]:
        """What each voice sounds like, by its number."""
        spoken: dict[int, list[Stretch]] = {}
        for stretch in self._stretches():
            assert stretch.number is not None
            spoken.setdefault(stretch.number, []).append(stretch)
        return {number: mean(own) for number, own in sorted(spoken.items())}

    def _identify(self, means: Mapping[int, np.ndarray | None]) -> None:
        if self._known:
            before = [self._names.get(number) for number in means]
            names = identify([*means.values()], self._known, self._centre, before)
            self._names = {number: name for number, name in zip(means, names, strict=True) if name is not None}

    def _voice(self, number: int, confidence: float | None) -> Voice:
        return Voice(f"{self._source}#{number}", self._names.get(number), confidence)

    def _publish(self, means: Mapping[int, np.ndarray | None], gone: set[int | None]) -> Iterator[Change]:
        """What has changed hands, or its name, since it was said whose it is: merged voices first."""
        moved: dict[tuple[bool, Voice], list[tuple[str, float | None]]] = {}
        for assignment in self._assignments:
            stretch, was = assignment.stretch, assignment.published
            assert stretch.number is not None
            voice = self._voice(stretch.number, _confidence(stretch, means))
            if was is None or was != voice:
                assignment.published = voice
            if was is not None and was != voice:
                merged = int(was.voice.rpartition("#")[2]) in gone
                moved.setdefault((not merged, voice), []).append((assignment.utterance, voice.confidence))
        for (corrected, voice), utterances in sorted(moved.items(), key=lambda item: item[0][0]):
            yield Change(
                tuple(utterance for utterance, _ in utterances),
                voice.voice,
                voice.speaker_name,
                "correction" if corrected else "merge",
                tuple(confidence for _, confidence in utterances),
            )


def _joined(one: Stretch, other: Stretch) -> Stretch:
    return Stretch(mean([one, other]), one.seconds + other.seconds, one.number, one.count + other.count)


def _confidence(stretch: Stretch, means: Mapping[int, np.ndarray | None]) -> float:
    """How probable it is that a stretch is of its voice."""
    if stretch.vector is None or stretch.number is None:
        return UNKNOWN
    vector = stretch.vector
    own = means[stretch.number]
    others = [float(m @ vector) for number, m in means.items() if number != stretch.number and m is not None]
    margin = (0.0 if own is None else float(own @ vector)) - max([*others, 0.0] if others else [SAME])
    odds = ODDS + PER_LIKENESS * margin + PER_SECOND * min(stretch.seconds, LONG_S)
    return 1.0 / (1.0 + math.exp(-odds))
