"""Speech probabilities in, utterance spans out: an automaton with a table, pure and without a clock.

One probability is fed per window of `CHUNK_SAMPLES`; all positions are samples from the first of the source. What a
window means follows from two thresholds: LOUD at the onset or above, QUIET below the offset, else MIDDLE, which keeps
speech going but does not begin it. What depends on the order of events is in the table `_NEXT`; what depends on
lengths, in three of the events: ENOUGH speech, a long enough PAUSE, and FULL.

The rule of this file: no speech that lasted long enough is lost. An utterance that grows too long is cut where speech
is least likely, and the rest goes on as the next one from that very sample.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, ClosedBy, UtteranceSpan


@dataclass(frozen=True)
class SegmenterConfig:
    """Thresholds are probabilities. Times are rounded up to whole windows, the cap down.

    `pre_roll_s` is what an utterance gets from before its first loud window. Speech that spans less than `min_speech_s`
    is dropped. `end_silence_s` of quiet end an utterance: a fixed part of the delay of every one. Raises ValueError,
    the name of the field first.
    """

    onset: float = 0.5
    offset: float = 0.35
    pre_roll_s: float = 0.192
    min_speech_s: float = 0.25
    end_silence_s: float = 0.48
    max_utterance_s: float = 15.0

    def __post_init__(self) -> None:
        if not 0 < self.onset <= 1:
            raise ValueError(f"onset must be above 0 and at most 1, not {self.onset}")
        if not 0 <= self.offset <= self.onset:
            raise ValueError(f"offset must be between 0 and onset ({self.onset}), not {self.offset}")
        for name in ("pre_roll_s", "min_speech_s", "end_silence_s", "max_utterance_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 or a positive number of seconds, not {getattr(self, name)}")
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
    def silence_samples(self) -> int:
        return max(CHUNK_SAMPLES, _windows_up(self.end_silence_s))

    @property
    def max_samples(self) -> int:
        return round(self.max_utterance_s * SAMPLE_RATE_HZ) // CHUNK_SAMPLES * CHUNK_SAMPLES


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
    PAUSE = auto()  # end_silence_s since the latest speech
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
        self.reset(0)

    @property
    def position(self) -> int:
        """Samples of the source seen so far."""
        return self._position

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open: there was enough speech, and not yet enough silence after it."""
        return self._state in (_State.SPEECH, _State.TRAILING)

    def reset(self, position: int) -> None:
        """Go on from sample `position`, as after a hole in the source. Forgets what is open: flush first to keep it."""
        self._state = _State.SILENCE
        self._position = position
        self._floor = position  # no utterance starts before it
        self._start = self._first = self._speech_end = self._quiet_start = position
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
        if self._pausing and self._position - self._quiet_start >= self._config.silence_samples:
            return self._close(_Event.PAUSE, "silence")
        if self.speaking and self._position - self._start >= self._config.max_samples:
            return self._cut()
        return None

    def flush(self) -> UtteranceSpan | None:
        """The source has ended here: the open utterance, if any. Feeding may go on."""
        return self._close(_Event.FLUSH, "flush")

    @property
    def _pausing(self) -> bool:
        return self._state in (_State.DIP, _State.TRAILING)

    def _go(self, event: _Event) -> None:
        self._state = _NEXT[self._state][event]

    def _window(self, probability: float) -> None:
        """Take the next window: the table, and the marks that the lengths are measured from."""
        silent, pausing = self._state is _State.SILENCE, self._pausing
        self._go(self._level(probability))
        start, self._position = self._position, self._position + CHUNK_SAMPLES
        if self._state is _State.SILENCE:
            return
        if silent:
            self._first = start
            self._start = max(self._floor, start - self._config.pre_roll_samples)
            self._probabilities = []
        self._probabilities.append(probability)
        if not self._pausing:
            self._speech_end = self._position
        elif not pausing:
            self._quiet_start = start

    def _level(self, probability: float) -> _Event:
        if probability >= self._config.onset:
            return _Event.LOUD
        return _Event.QUIET if probability < self._config.offset else _Event.MIDDLE

    def _close(self, event: _Event, reason: ClosedBy) -> UtteranceSpan | None:
        """End what is open. After a cut there may be nothing but silence in it."""
        span = None
        if self.speaking and self._speech_end > self._start:
            span = self._span(self._speech_end, reason)
            self._floor = span.end
        self._go(event)
        return span

    def _cut(self) -> UtteranceSpan:
        """Close before the least likely window of the last third, the latest if several are, and go on from there."""
        earliest = max(self._start + self._config.max_samples * 2 // 3, self._first + CHUNK_SAMPLES)
        skipped = -(-(earliest - self._first) // CHUNK_SAMPLES)
        candidates = range(skipped, len(self._probabilities))
        index = min(reversed(candidates), key=self._probabilities.__getitem__)
        rest = self._probabilities[index:]
        span = self._span(self._first + index * CHUNK_SAMPLES, "limit")
        self._go(_Event.FULL)
        self._position = self._start = self._first = self._floor = self._speech_end = self._quiet_start = span.end
        self._probabilities = []
        for probability in rest:  # less than a third, and without a pause: nothing in it can close
            self._window(probability)
        return span

    def _span(self, end: int, reason: ClosedBy) -> UtteranceSpan:
        return UtteranceSpan(start=self._start, end=end, closed=self._position, closed_by=reason)


def _windows_up(seconds: float) -> int:
    """Samples of the whole windows that hold so many seconds."""
    return -(-round(seconds * SAMPLE_RATE_HZ) // CHUNK_SAMPLES) * CHUNK_SAMPLES
