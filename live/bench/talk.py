"""The script of a made conversation: who speaks when, with which clip. From voices and a random generator alone.

What is like real talk: who speaks next (mostly one of those who spoke just now), the gaps between turns (about as in
Heldner and Edlund 2010, Journal of Phonetics 38: median near 0.2 s, and many turns begin before the last has ended),
the pauses inside a turn, short answers while somebody else speaks, people who are interrupted and stop, a moment in
which all talk at once, and listeners who never say more than "yeah".
What is not: nobody answers what another one said, nobody stops for a person who overlaps by chance, and a clip that is
cut off ends within a word. So a model that reads the end of a turn from melody or grammar finds less here than in
real talk, and more where the clips are whole sentences.

The rule of this file: pure, and exact to the sample. A segment of the reference is where a clip sounds, moved to where
the clip was put; nobody overlaps themself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.random import Generator

from erc_live.streams.messages import SAMPLE_RATE_HZ

Kind = Literal["turn", "barge-in", "backchannel", "all at once"]
Span = tuple[int, int]  # samples, from and to

GAP_S = (0.1, 0.4)  # mean and standard deviation between two turns; below 0: the second begins first
GAP_LIMITS_S = (-0.8, 1.2)
SHARE_LONG_GAP, LONG_GAP_S = 0.12, (1.0, 3.0)
TURN_S = (2.0, 0.8)  # median, and standard deviation of the natural logarithm
PAUSE_S = (0.2, 1.0)  # between two clips of one turn
SHARE_SAME = 0.1  # of the turns are by the one who spoke just now
SHARE_PREVIOUS = 0.5  # of the others by the one before
SHARE_BARGE_IN, BARGE_IN_AT, YIELDS_S = 0.08, (0.4, 0.8), (0.2, 0.7)  # of turns, from this part on, for so long
SHARE_BACKCHANNEL, LEAST_S = 0.4, 1.5  # of the turns that are at least so long
CROWD_AT, CROWD_S = (
    (0.3, 0.8),
    0.4,
)  # part of the conversation at which all talk at once, and within how long they begin
STYLE_TURNS = (2, 6)  # an emotion lasts over so many turns, the last excluded
CALM, SHARE_CALM = ("neutral", "calm"), 0.5  # styles, and how often one of them is taken, where there are others, too
BREATH_S = 0.3  # between two turns of one person
LEAD_S = 0.5  # before the first turn and after the last
SHORTEST = SAMPLE_RATE_HZ // 10  # of a segment: what is left of a word that was cut off is none


@dataclass(frozen=True)
class SpokenClip:
    """A piece of one person's speech, and where in it that person sounds. Shapes: pcm (n,) int16.

    `style`: what the voice is like (an emotion); "" where nobody knows.
    """

    name: str
    style: str
    pcm: np.ndarray = field(repr=False, compare=False)
    sounding: tuple[Span, ...]

    @property
    def sounding_from(self) -> int:
        """Its first sample of speech."""
        return self.sounding[0][0]

    @property
    def sounding_to(self) -> int:
        """The sample after its last of speech."""
        return self.sounding[-1][1]


@dataclass(frozen=True)
class VoiceInventory:
    """What there is of one person. `narrow`: recorded in a telephone's band."""

    person: str
    clips: tuple[SpokenClip, ...]
    backchannels: tuple[SpokenClip, ...]
    narrow: bool = False


@dataclass(frozen=True)
class PlacedClip:
    """The first `length` samples of a clip, from sample `start` of the conversation on."""

    clip: SpokenClip
    start: int
    length: int

    @property
    def sounding(self) -> list[Span]:
        """Where in the conversation it sounds."""
        spans = [(a, min(b, self.length)) for a, b in self.clip.sounding]
        return [(self.start + a, self.start + b) for a, b in spans if b - a >= SHORTEST]


@dataclass(frozen=True)
class PlacedTurn:
    """What one person says without another one's turn in between."""

    person: str
    kind: Kind
    clips: tuple[PlacedClip, ...]

    @property
    def sounding(self) -> list[Span]:
        """Where in the conversation the person sounds."""
        return [span for clip in self.clips for span in clip.sounding]

    @property
    def start(self) -> int:
        """The first sample of speech."""
        return self.sounding[0][0]

    @property
    def end(self) -> int:
        """The sample after the last of speech."""
        return self.sounding[-1][1]


@dataclass(frozen=True)
class TalkScript:
    """A conversation: its turns in the order of their beginnings, and its length in samples."""

    voices: tuple[VoiceInventory, ...]
    listeners: tuple[str, ...]
    turns: tuple[PlacedTurn, ...]
    length: int


def write_script(
    voices: Sequence[VoiceInventory], listeners: Sequence[str], length_s: float, generator: Generator
) -> TalkScript:
    """A conversation of at least `length_s`, in which every person says something.

    Args:
        voices: of the people, listeners included; at least one is no listener.
        listeners: names of those who only give short answers.
        length_s: the last turn begins before, so it becomes some seconds longer.
        generator: of all that is random.
    """
    writer = _ScriptWriter(voices, listeners, generator)
    crowd = length_s * generator.uniform(*CROWD_AT) if len(writer.talkers) > 1 else np.inf
    while writer.now_s < length_s or writer.silent() or crowd < np.inf:
        if crowd < writer.now_s and writer.interrupts is None:
            writer.all_at_once()
            crowd = np.inf
        else:
            writer.next_turn()
    turns = sorted(writer.turns, key=lambda turn: (turn.start, turn.person))
    last = max(clip.start + clip.length for turn in turns for clip in turn.clips)
    return TalkScript(tuple(voices), tuple(listeners), tuple(turns), last + round(LEAD_S * SAMPLE_RATE_HZ))


class _ScriptWriter:
    """The conversation so far. `now`: the sample after the last turn; `_free`: from where on a person may speak."""

    def __init__(self, voices: Sequence[VoiceInventory], listeners: Sequence[str], generator: Generator) -> None:
        self._random = generator
        self._stacks = {voice.person: _ClipStacks(voice, generator) for voice in voices}
        self.talkers = [voice.person for voice in voices if voice.person not in listeners]
        self._weights = dict(zip(self.talkers, generator.dirichlet([3.0] * len(self.talkers)), strict=True))
        self._free = {voice.person: _samples(LEAD_S) for voice in voices}
        self._before: list[str] = []  # who spoke last, and before that
        self.interrupts: tuple[str, int] | None = None  # who is about to, and from which sample on
        self.now = _samples(LEAD_S)
        self.turns: list[PlacedTurn] = []

    @property
    def now_s(self) -> float:
        """The end of the last turn, s."""
        return self.now / SAMPLE_RATE_HZ

    def silent(self) -> set[str]:
        """Who has not said anything."""
        return self._free.keys() - {turn.person for turn in self.turns}

    def next_turn(self) -> None:
        """Somebody speaks, perhaps into the end of the turn before, and others may give short answers meanwhile."""
        if self.interrupts is not None:
            person, at = self.interrupts
            turn = self._take(person, "barge-in", at)
        else:
            person = self._next_speaker()
            turn = self._take(person, "turn", self.now + self._gap())
        self.interrupts = None
        if self._random.random() < SHARE_BARGE_IN:
            turn = self._interrupted(turn)
        self._add(turn)
        self._before = [person, *(name for name in self._before if name != person)][:2]
        self._answer(turn)

    def all_at_once(self) -> None:
        """Everybody but the listeners begins a turn within `CROWD_S`."""
        first = max(self.now, *(self._free[person] for person in self.talkers))
        for person in self.talkers:
            self._add(self._take(person, "all at once", first + _samples(self._random.uniform(0, CROWD_S))))

    def _add(self, turn: PlacedTurn) -> None:
        self.turns.append(turn)
        self._free[turn.person] = max(self._free[turn.person], turn.end + _samples(BREATH_S))
        self.now = max(self.now, turn.end)

    def _next_speaker(self) -> str:
        """Mostly another one than just now, and often the one before; else one by how much each likes to talk."""
        others = [name for name in self.talkers if name not in self._before[:1]]
        if not others or (self._before and self._random.random() < SHARE_SAME):
            return self._before[0] if self._before else self.talkers[0]
        if len(self._before) > 1 and self._random.random() < SHARE_PREVIOUS:
            return self._before[1]
        weights = np.array([self._weights[name] for name in others])
        return others[int(self._random.choice(len(others), p=weights / weights.sum()))]

    def _gap(self) -> int:
        if self._random.random() < SHARE_LONG_GAP:
            return _samples(self._random.uniform(*LONG_GAP_S))
        return _samples(float(np.clip(self._random.normal(*GAP_S), *GAP_LIMITS_S)))

    def _take(self, person: str, kind: Kind, at: int) -> PlacedTurn:
        """A turn whose speech begins at `at`, or as soon as the person has finished."""
        stacks = self._stacks[person]
        wanted = _samples(float(self._random.lognormal(np.log(TURN_S[0]), TURN_S[1])))
        stacks.next_turn()
        at = first = max(at, self._free[person])
        clips: list[PlacedClip] = []
        while not clips or at - first < wanted:
            at += _samples(self._random.uniform(*PAUSE_S)) if clips else 0
            clip = stacks.next_clip()
            clips.append(_placed(clip, at))
            at += clip.sounding_to - clip.sounding_from
        return PlacedTurn(person, kind, _without_overlap(clips))

    def _interrupted(self, turn: PlacedTurn) -> PlacedTurn:
        """The turn, cut off a little after another person began to speak; the other's turn is the next."""
        others = [name for name in self.talkers if name != turn.person]
        at = turn.start + round((turn.end - turn.start) * self._random.uniform(*BARGE_IN_AT))
        others = [name for name in others if self._free[name] <= at]
        if not others:
            return turn
        cut = at + _samples(self._random.uniform(*YIELDS_S))
        clips = [PlacedClip(c.clip, c.start, min(c.length, cut - c.start)) for c in turn.clips]
        left = tuple(clip for clip in clips if clip.sounding)
        if not left or left[-1].sounding[-1][1] <= at:  # the one who is interrupted has to be speaking
            return turn
        self.interrupts = (others[int(self._random.integers(len(others)))], at)
        return PlacedTurn(turn.person, turn.kind, left)

    def _answer(self, turn: PlacedTurn) -> None:
        """A short answer of somebody else within the turn, now and then; those who have only listened come first."""
        listeners = self.silent() - {*self.talkers}
        long = turn.end - turn.start >= _samples(LEAST_S)
        if not long or not (listeners or self._random.random() < SHARE_BACKCHANNEL):
            return
        at = turn.start + round((turn.end - turn.start) * self._random.uniform(0.2, 0.8))
        taken = {turn.person, self.interrupts[0] if self.interrupts else ""}
        others = [name for name in self._free if name not in taken and self._free[name] <= at]
        others = [name for name in others if name in listeners] or others
        if others:
            person = others[int(self._random.integers(len(others)))]
            answer = _placed(self._stacks[person].next_backchannel(), at)
            self._add(PlacedTurn(person, "backchannel", (answer,)))


class _ClipStacks:
    """Clips of one person, each taken once before any is taken again; one style for several turns."""

    def __init__(self, voice: VoiceInventory, generator: Generator) -> None:
        self._voice = voice
        self._random = generator
        self._styles = sorted({clip.style for clip in voice.clips})
        self._style, self._turns = "", 0
        self._stacks: dict[str | None, list[SpokenClip]] = {}

    def next_turn(self) -> None:
        """Another turn begins, perhaps in another style."""
        if not self._turns:
            calm = [style for style in self._styles if style in CALM]
            styles = calm if calm and self._random.random() < SHARE_CALM else self._styles
            self._style = styles[int(self._random.integers(len(styles)))]
            self._turns = int(self._random.integers(*STYLE_TURNS))
        self._turns -= 1

    def next_clip(self) -> SpokenClip:
        return self._next(self._style, [clip for clip in self._voice.clips if clip.style == self._style])

    def next_backchannel(self) -> SpokenClip:
        return self._next(None, self._voice.backchannels)

    def _next(self, stack: str | None, clips: Sequence[SpokenClip]) -> SpokenClip:
        if not self._stacks.get(stack):
            self._stacks[stack] = [clips[i] for i in self._random.permutation(len(clips))]
        return self._stacks[stack].pop()


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HZ)


def _placed(clip: SpokenClip, at: int) -> PlacedClip:
    """The whole clip, so that its speech begins at sample `at`."""
    return PlacedClip(clip, at - clip.sounding_from, len(clip.pcm))


def _without_overlap(clips: Sequence[PlacedClip]) -> tuple[PlacedClip, ...]:
    """The clips of one turn, none longer than to where the next one begins, which is in a pause."""
    ends = [min(before.start + before.length, after.start) for before, after in pairwise(clips)]
    ends.append(clips[-1].start + clips[-1].length)
    return tuple(PlacedClip(c.clip, c.start, end - c.start) for c, end in zip(clips, ends, strict=True))
