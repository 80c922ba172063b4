"""Speech probabilities in, utterance spans out: an automaton with a table, pure and without a clock.

One probability is fed per window of `CHUNK_SAMPLES`; all positions are samples from the first of the source. What a
window means follows from two thresholds: LOUD at the onset or above, QUIET below the offset, else MIDDLE, which keeps
speech going but does not begin it. What depends on the order of events is in the table `_NEXT`; what depends on
lengths, in three of the events: ENOUGH speech, a long enough PAUSE, and FULL.

How long a pause is enough depends on whether the speaker seems to have finished: the floor if so, the ceiling if not,
and halfway where nobody knows. Who can tell is asked once in each pause, shortly before the floor (`in_question`,
`judge`). A quiet window counts by how far its probability is below the onset, for a voice that fades or is far away is
in doubt for longer.

The rule of this file: no speech that lasted long enough is lost. In the last third of the longest utterance ever
shorter pauses are enough, so that it ends in one and is answered at once; without any it is cut where speech is least
likely in its last second, and the rest goes on as the next one from that very sample.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from statistics import fmean

from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, ClosedBy, UtteranceSpan

_COMPLETE = 0.2  # probability from which on a turn counts as complete: `live/bench/README.md` has the others
_ASK_AHEAD = 1  # windows before the shortest pause: who is asked may take so long to answer
_NEAR = 2  # windows on either side that a cut looks at
_LONG = 2 / 3  # of the longest utterance: from here on shorter pauses are enough
_CUT = SAMPLE_RATE_HZ // CHUNK_SAMPLES  # windows, a second: a cut that goes further back makes its event as much later


@dataclass(frozen=True)
class SegmenterConfig:
    """Thresholds are probabilities. Times are rounded up to whole windows, the cap down.

    `pre_roll_s` is what an utterance gets from before its first loud window. Speech that spans less than `min_speech_s`
    is dropped. `end_silence_min_s` of quiet end a turn that seems complete, `end_silence_s` any. Raises ValueError, the
    name of the field first.
    """

    onset: float = 0.3
    offset: float = 0.2
    pre_roll_s: float = 0.192
    min_speech_s: float = 0.25
    end_silence_min_s: float = 0.2
    end_silence_s: float = 0.4
    max_utterance_s: float = 15.0

    def __post_init__(self) -> None:
        if not 0 < self.onset <= 1:
            raise ValueError(f"onset must be above 0 and at most 1, not {self.onset}")
        if not 0 <= self.offset <= self.onset:
            raise ValueError(f"offset must be between 0 and onset ({self.onset}), not {self.offset}")
        for name in ("pre_roll_s", "min_speech_s", "end_silence_min_s", "end_silence_s", "max_utterance_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or a positive number of seconds, not {getattr(self, name)}")
        if self.end_silence_min_s > self.end_silence_s:
            raise ValueError(f"end_silence_min_s must not be more than end_silence_s, {self.end_silence_s}")
        if self.max_samples <= self.pre_roll_samples + self.min_samples + self.silence_samples:
            raise ValueError(
                f"max_utterance_s must be more than pre_roll_s, min_speech_s and end_silence_s together, "
                f"not {self.max_utterance_s}"
            )

    @property
    def pre_roll_samples(self) -> int:
        return _windows_up(self.pre_roll_s)

    @property
    def min_samples(self) -> int:
        return max(CHUNK_SAMPLES, _windows_up(self.min_speech_s))

    @property
    def silence_min_samples(self) -> int:
        return max(CHUNK_SAMPLES, _windows_up(self.end_silence_min_s))

    @property
    def silence_samples(self) -> int:
        return max(CHUNK_SAMPLES, _windows_up(self.end_silence_s))

    @property
    def max_samples(self) -> int:
        return round(self.max_utterance_s * SAMPLE_RATE_HZ) // CHUNK_SAMPLES * CHUNK_SAMPLES


@dataclass(frozen=True)
class Running:
    """The utterance that is being said, in samples: `start` as in `UtteranceSpan`; `end` just after the latest speech;
    `quiet` since then, 0 while there is speech. Silence now would make it the span from `start` to `end`.
    """

    start: int
    end: int
    quiet: int


class _State(Enum):
    SILENCE = auto()
    ONSET = auto()  # speech, perhaps only a click
    DIP = auto()  # quiet after that
    SPEECH = auto()  # an utterance
    TRAILING = auto()  # quiet after that


class _Event(Enum):
    LOUD = auto()
    MIDDLE = auto()
    QUIET = auto()
    ENOUGH = auto()  # min_speech_s from the onset to the latest speech
    PAUSE = auto()  # enough quiet since the latest speech
    FULL = auto()  # max_utterance_s since the start
    FLUSH = auto()  # the caller says so


_NEXT = {
    _State.SILENCE: {
        _Event.LOUD: _State.ONSET,
        _Event.MIDDLE: _State.SILENCE,
        _Event.QUIET: _State.SILENCE,
        _Event.FLUSH: _State.SILENCE,
    },
    _State.ONSET: {
        _Event.LOUD: _State.ONSET,
        _Event.MIDDLE: _State.ONSET,
        _Event.QUIET: _State.DIP,
        _Event.ENOUGH: _State.SPEECH,
        _Event.FLUSH: _State.SILENCE,  # dropped
    },
    _State.DIP: {
        _Event.LOUD: _State.ONSET,
        _Event.MIDDLE: _State.DIP,
        _Event.QUIET: _State.DIP,
        _Event.PAUSE: _State.SILENCE,  # dropped
        _Event.FLUSH: _State.SILENCE,  # dropped
    },
    _State.SPEECH: {
        _Event.LOUD: _State.SPEECH,
        _Event.MIDDLE: _State.SPEECH,
        _Event.QUIET: _State.TRAILING,
        _Event.FULL: _State.SPEECH,  # closed, and the rest is the next one
        _Event.FLUSH: _State.SILENCE,  # closed
    },
    _State.TRAILING: {
        _Event.LOUD: _State.SPEECH,
        _Event.MIDDLE: _State.TRAILING,
        _Event.QUIET: _State.TRAILING,
        _Event.PAUSE: _State.SILENCE,  # closed
        _Event.FULL: _State.SPEECH,  # closed, and the rest is the next one
        _Event.FLUSH: _State.SILENCE,  # closed
    },
}


class Segmenter:
    """Finds the utterances of one source."""

    def __init__(self, config: SegmenterConfig) -> None:
        self._config = config
        self._shortest, self._longest = (
            n // CHUNK_SAMPLES for n in (config.silence_min_samples, config.silence_samples)
        )
        self._complete: float | None = None  # probability that the turn was, before this pause; None: nobody knows
        self.reset(0)

    @property
    def position(self) -> int:
        """Samples of the source seen so far."""
        return self._position

    @property
    def pending(self) -> int:
        """Sample from which on sound may still be part of an utterance that was not given out."""
        return self._position if self._state is _State.SILENCE else self._start

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open: there was enough speech, and not yet enough silence after it."""
        return self._state in (_State.SPEECH, _State.TRAILING)

    @property
    def running(self) -> Running | None:
        """The open utterance; None where there is none, or nothing but silence in it after a cut."""
        if not self.speaking or self._speech_end == self._start:
            return None
        return Running(self._start, self._speech_end, self._position - self._speech_end)

    @property
    def in_question(self) -> bool:
        """Whether `judge` should be told now if the speaker seems to have finished; at most once in a pause."""
        due = self._shortest < self._longest and self._quiet >= self._shortest - _ASK_AHEAD
        return due and self._complete is None and self._state is _State.TRAILING and self.running is not None

    def judge(self, complete: float) -> None:
        """Take the probability that the turn was complete before this pause. Holds until there is speech again."""
        self._complete = complete

    def reset(self, position: int) -> None:
        """Go on from sample `position`, as after a hole in the source. Forgets what is open: flush first to keep it."""
        self._state = _State.SILENCE
        self._position = position
        self._floor = position  # no utterance starts before it
        self._start = self._first = self._speech_end = position
        self._quiet = math.inf  # windows since the latest speech, each by how surely it is quiet
        self._complete = None
        self._probabilities: list[float] = []  # of the windows from `_first` on

    def feed(self, probability: float) -> UtteranceSpan | None:
        """The next window of `CHUNK_SAMPLES`; returns the utterance it closed. Raises ValueError outside [0, 1]."""
        if not 0 <= probability <= 1:
            raise ValueError(f"a probability is between 0 and 1, not {probability}")
        self._window(probability)
        if self._state is _State.ONSET and self._speech_end - self._first >= self._config.min_samples:
            self._go(_Event.ENOUGH)
        if self._state is _State.SILENCE:
            return None
        if self._pausing and self._quiet >= self._enough:
            return self._close(_Event.PAUSE, "silence")
        if self.running and self._pausing and self._quiet >= self._enough_when_long:
            return self._cut((self._speech_end - self._first) // CHUNK_SAMPLES)
        if self.speaking and self._position - self._start >= self._config.max_samples:
            return self._cut(self._least_likely)
        return None

    def flush(self) -> UtteranceSpan | None:
        """The source has ended here: the open utterance, if any. Feeding may go on."""
        self._quiet = math.inf
        return self._close(_Event.FLUSH, "flush")

    @property
    def _pausing(self) -> bool:
        return self._state in (_State.DIP, _State.TRAILING)

    @property
    def _enough(self) -> float:
        """Windows of quiet that end what is open."""
        if self._complete is None:
            return (self._shortest + self._longest) / 2
        return self._shortest if self._complete >= _COMPLETE else self._longest

    @property
    def _enough_when_long(self) -> float:
        """Windows of quiet at which an utterance of this length is cut: at the limit a single one, early none are."""
        left = self._config.max_samples - (self._position - self._start)
        share = left / ((1 - _LONG) * self._config.max_samples)
        return max(1.0, share * self._enough) if share < 1 else math.inf

    def _go(self, event: _Event) -> None:
        self._state = _NEXT[self._state][event]

    def _window(self, probability: float) -> None:
        """Take the next window: the table, and the marks that the lengths are measured from."""
        silent = self._state is _State.SILENCE
        self._go(self._level(probability))
        start, self._position = self._position, self._position + CHUNK_SAMPLES
        if self._pausing or self._state is _State.SILENCE:
            self._quiet += 1 - probability / self._config.onset
        else:
            self._quiet, self._complete = 0.0, None
            self._speech_end = self._position
        if self._state is _State.SILENCE:
            return
        if silent:
            self._first = start
            self._start = max(self._floor, start - self._config.pre_roll_samples)
            self._probabilities = []
        self._probabilities.append(probability)

    def _level(self, probability: float) -> _Event:
        if probability >= self._config.onset:
            return _Event.LOUD
        return _Event.QUIET if probability < self._config.offset else _Event.MIDDLE

    def _close(self, event: _Event, reason: ClosedBy) -> UtteranceSpan | None:
        """End what is open. After a cut there may be nothing but silence in it."""
        span = None
        if self.running:
            span = self._span(self._speech_end, reason)
            self._floor = span.end
        self._go(event)
        return span

    @property
    def _least_likely(self) -> int:
        """Number of the window, from `_first`, where speech is least likely in the last second; the latest of equals.

        A pause is less likely speech than a weak sound of the same depth, so a window counts with its neighbours.
        """
        near = self._probabilities
        likely = {i: fmean(near[max(i - _NEAR, 0) : i + _NEAR + 1]) for i in range(max(len(near) - _CUT, 1), len(near))}
        return min(reversed(likely), key=likely.__getitem__)

    def _cut(self, index: int) -> UtteranceSpan:
        """Close before this window, counted from `_first`, and go on from there."""
        rest = self._probabilities[index:]
        span = self._span(self._first + index * CHUNK_SAMPLES, "limit")
        self._go(_Event.FULL)
        self._position = self._start = self._first = self._floor = self._speech_end = span.end
        self._quiet, self._complete = 0.0, None
        self._probabilities = []
        for probability in rest:  # without a long enough pause: nothing in it can close
            self._window(probability)
        return span

    def _span(self, end: int, reason: ClosedBy) -> UtteranceSpan:
        return UtteranceSpan(start=self._start, end=end, closed=self._position, closed_by=reason)


def _windows_up(seconds: float) -> int:
    """Samples of the whole windows that hold so many seconds."""
    return -(-round(seconds * SAMPLE_RATE_HZ) // CHUNK_SAMPLES) * CHUNK_SAMPLES
