"""Crosstalk: what a microphone hears of the people who sit at the others. Found in the sound alone, causally.

One microphone per person in one room hears everybody, so each word would be said twice, once under a wrong name. The
remedy is as old as meetings are recorded: compare the levels of the microphones (Boakye and Stolcke 2006). Here they
are compared in small pieces of time and frequency, of which two voices rarely share one (Yilmaz and Rickard 2004): a
piece belongs to the microphone in which it is louder. The probability that somebody speaks is multiplied by the share
of the sound that is the microphone's own. So crosstalk is silence to whatever listens: it opens no utterance, and ends
none late. Who talks while others do keeps what is theirs. Whole utterances are not compared: one that holds both the
neighbour's words and one's own answer must not be dropped, nor kept whole.

Microphones differ in gain, so "louder" is learnt: the difference in level of two microphones lies about one value when
one person speaks and about another when the other does, and the limit is between. Until both have spoken, the
microphones are believed to be alike.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from erc_live.streams.messages import CHUNK_SAMPLES, AudioChunk, samples_to_ns

WINDOWS = 12  # that are compared, 384 ms: fewer are in doubt more often, more notice a change of turn late
SPEECH = 0.3  # probability above which a microphone hears a voice
MEMORY = 4  # windows for which a voice that was heard is there: detectors differ in when they notice
_BINS, _POOL = slice(6, 126), 3  # of 31 Hz each: 190 Hz to 3.9 kHz, three to a piece
_ECHO = 10 ** (-2 / 10)  # what is left of an echo after 16 ms: 60 dB less in half a second
_FLOOR = 1_000.0  # energy of a piece that is no sound: noise of two units of a sample
_APART_DB = 8.0  # how far the levels of a stranger's voice are believed to be apart, either way
_MARGIN_DB = 8.0  # echoes are louder than the direct sound in places; more than this is somebody else
_MOST_DB = 40.0  # no two microphones that hear the same are further apart
_RATE = 0.03  # weight of the latest stretch in a learnt difference: a second of speech decides
_HANN = np.hanning(CHUNK_SAMPLES + 1)[:CHUNK_SAMPLES]


class Balance:
    """How much louder one microphone is than another, in dB: when its own person speaks, and when the other's does."""

    def __init__(self) -> None:
        self._own, self._other = _APART_DB, -_APART_DB

    @property
    def middle(self) -> float:
        """Below this, it is the other's person that is heard."""
        return (self._own + self._other) / 2

    def limits(self) -> tuple[float, float]:
        """What a piece of sound has to exceed to be the one's own, and fall below to be the other's."""
        low = min(self.middle, self._other + _MARGIN_DB)
        return low, max(self.middle, self._own - _MARGIN_DB)

    def observe(self, difference_db: float) -> None:
        """Learn from a stretch in which both hear a voice."""
        difference_db = min(max(difference_db, -_MOST_DB), _MOST_DB)
        if difference_db > self.middle:
            self._own += _RATE * (difference_db - self._own)
        else:
            self._other += _RATE * (difference_db - self._other)


def difference_db(mine: np.ndarray, theirs: np.ndarray) -> float:
    """By how much the one is louder. Shapes: energies as of `energies`."""
    return float(10 * np.log10((mine.sum() + _FLOOR) / (theirs.sum() + _FLOOR)))


def own_share(mine: np.ndarray, theirs: np.ndarray, limit_db: float) -> float:
    """The share of my energy in pieces that are louder than theirs by more than the limit; 1 where I hear nothing.

    What they heard one step later counts, too, for clocks differ; what they heard before, as an echo. Shapes: energies
    as of `energies`.
    """
    sound = np.where(mine > _FLOOR, mine, 0.0)
    total = float(sound.sum())
    claimed = theirs.copy()
    claimed[:-1] = np.maximum(claimed[:-1], theirs[1:])
    for step in range(1, len(claimed)):
        claimed[step] = np.maximum(claimed[step], _ECHO * claimed[step - 1])
    own = sound > claimed * 10 ** (limit_db / 10)
    return float(sound[own].sum()) / total if total > 0 else 1.0


def energies(sound: np.ndarray) -> np.ndarray:
    """Energy in pieces of time and frequency. Shapes: (n,) -> (n / 256 - 1, 40), n a multiple of 256."""
    frames = sliding_window_view(sound, CHUNK_SAMPLES)[:: CHUNK_SAMPLES // 2] * _HANN
    power = np.square(np.abs(np.fft.rfft(frames)))[:, _BINS]
    return np.asarray(power.reshape(len(power), -1, _POOL).sum(2))


@dataclass
class _Recent:
    """The last windows of a microphone, and how likely each is speech."""

    windows: deque[AudioChunk]
    speech: deque[float]

    def until(self, t_end_ns: int) -> np.ndarray:
        """The sound before a time, silence where nothing was heard. Shapes: (n,)"""
        sound = np.zeros(WINDOWS * CHUNK_SAMPLES)
        for window in self.windows:
            first = len(sound) - round((t_end_ns - window.t_ns) / samples_to_ns(1))
            begin, end = max(first, 0), min(first + len(window.pcm), len(sound))
            if begin < end:
                sound[begin:end] = window.pcm[begin - first : end - first]
        return sound


class Crosstalk:
    """`own` for each window of each microphone, in the order of their ends, gives the probability that its person
    speaks.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._recent = {source: _Recent(deque(maxlen=WINDOWS + 2), deque(maxlen=MEMORY)) for source in sources}
        self._balances = {(a, b): Balance() for a in sources for b in sources if a < b}

    def own(self, window: AudioChunk, probability: float) -> float:
        """`probability` that somebody speaks in this window, less what is crosstalk."""
        mine = self._recent[window.source]
        mine.windows.append(window)
        mine.speech.append(probability)
        if probability < SPEECH:
            return probability
        others = (source for source in self._recent if source != window.source)
        return probability * min((self._share(window.source, other) for other in others), default=1.0)

    def _share(self, source: str, other: str) -> float:
        """How much of what `source` hears now is not the person at `other`."""
        mine, theirs = self._recent[source], self._recent[other]
        if max(theirs.speech, default=0.0) < SPEECH or theirs.windows[-1].t_end_ns < mine.windows[-1].t_ns:
            return 1.0  # it hears nobody, or nothing any more
        t_end_ns = min(mine.windows[-1].t_end_ns, theirs.windows[-1].t_end_ns)
        a, b = energies(mine.until(t_end_ns)), energies(theirs.until(t_end_ns))
        louder_db = difference_db(a, b)
        sign, balance = (1, self._balances[source, other]) if source < other else (-1, self._balances[other, source])
        balance.observe(sign * louder_db)
        if louder_db >= sign * balance.middle:
            return 1.0
        low, high = balance.limits()
        return own_share(a, b, low if sign > 0 else -high)
