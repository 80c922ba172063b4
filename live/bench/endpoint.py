"""What `bench endpoint` measures: how long after the end of speech an utterance is closed, against how often too early.

The definitions, for one microphone:

- *Reference speech*: the stretches in which somebody is known to speak (RTTM, or one file per person), of whomever,
  overlapping or not, as far as they can be heard (`recordings.sounding`): annotated segments hold pauses of more than a
  second, and who is silent for that long has stopped. It knows nothing of the detector.
- *Turn*: reference speech without a gap of `pause_s` or more. Its last sample is a *true end*. An end with less than
  `pause_s` of recording after it is not known to be one, and is not counted.
- *Delay* of an end: from it to the first closing of an utterance that has some of the turn in it, be it by silence or
  because it got too long. It may be negative, by `COLLAR_S` at most.
- *False cut-off*: an utterance closed by silence while its turn goes on for more than `COLLAR_S`. Their share is of all
  utterances closed by silence that have reference speech in them. A cut at the length limit is meant, and counted
  apart. The 95 % interval is by bootstrap over these utterances; those of one speaker are alike, so it is too narrow.
- *Held turn*: turns of one person with gaps of less than `HOLD_S`, in which nobody else began. Who pauses within a
  sentence holds the turn, and no silence tells that from an end. *Cut while held* is the share of false cut-offs where
  the turns are held ones.
- *Missed end*: the utterance goes on into the next turn. It has no delay. A gap just above `pause_s` is missed by
  design where silence is awaited for longer.
- *Unheard end*: nothing heard of the end of the turn: the detector's fault, and no matter of waiting.
- Utterances that the end of the recording closed tell nothing: their ends are not counted.

The settings: fixed silences; pauses alone, as in a session without turn detector; and both, as in one with it. The
probabilities of speech are computed once for each microphone, and of a complete turn once for each place in it.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from erc_live.live.bench.recordings import MicrophoneTrack, Recording, SpeakerSegment, joined, sounding
from erc_live.live.errors import ConfigError
from erc_live.live.perception.endpointing import TurnDetector
from erc_live.live.perception.vad import SileroVad
from erc_live.live.screen.percentile import percentile
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, UtteranceSpan
from erc_live.streams.segmenter import Segmenter, SegmenterConfig

SILENCES_S = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)  # fixed, beside the settings of the configuration
PAUSE_S = 0.5
HOLD_S = 2.0
COLLAR_S = 0.25  # what references may be off by, as in the scoring of diarisation
PAUSES_ALONE, WITH_DETECTOR, DETECTOR_LATER = "pauses", "detector", ">= 0.3 s"
LATER_S = 0.3  # at which others publish their share of false cut-offs
_RESAMPLES = 10_000  # of the bootstrap
_SAME_S = 0.05  # who speaks within this of the edge of a turn, speaks at it

TimeSpan = tuple[float, float]  # seconds since the start of the recording


@dataclass(frozen=True)
class TurnReference:
    """Who can be heard when: the turns, and the turns as they are held over longer gaps."""

    turns: tuple[TimeSpan, ...]
    held: tuple[TimeSpan, ...]
    duration_s: float
    pause_s: float

    @classmethod
    def of(cls, track: MicrophoneTrack, pause_s: float, others: Sequence[MicrophoneTrack] = ()) -> "TurnReference":
        """The reference of one microphone. `others` hear the rest of the conversation."""
        own = sounding(track.pcm, track.segments)
        turns = joined([(s.start_s, s.end_s) for s in own], pause_s)
        held = _held(turns, own, [segment for other in others for segment in other.segments])
        return cls(tuple(turns), tuple(held), track.duration_s, pause_s)


def _held(turns: Sequence[TimeSpan], own: Sequence[SpeakerSegment], rest: Sequence[SpeakerSegment]) -> list[TimeSpan]:
    """Turns joined where they are held. `own`: who speaks in them; `rest`: who speaks into other microphones."""
    found: list[TimeSpan] = []
    for start, end in turns:
        if found and _goes_on(found[-1][1], start, own, rest):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _goes_on(end: float, start: float, own: Sequence[SpeakerSegment], rest: Sequence[SpeakerSegment]) -> bool:
    """Whether one person speaks before and after a short gap, and nobody else in it."""
    before = {s.speaker for s in own if s.start_s < end <= s.end_s + _SAME_S}
    after = {s.speaker for s in own if s.start_s - _SAME_S <= start < s.end_s}
    others = any(s.start_s < start and end < s.end_s for s in rest)
    return start - end < HOLD_S and bool(before & after) and not others


@dataclass(frozen=True)
class _Setting:
    name: str
    config: SegmenterConfig
    silence_s: float | None = None
    asks: bool = False


@dataclass
class Tally:
    """What happened with one setting, so far; delays in s."""

    delays: list[float] = field(default_factory=list)
    missed: int = 0
    unheard: int = 0
    closed: int = 0
    false: int = 0
    held: int = 0
    splits: int = 0
    from_nothing: int = 0


@dataclass(frozen=True)
class SettingFigures:
    """The figures of a setting; shares of 1. `silence_s` is None where it is not fixed, delays where no end was met."""

    setting: str
    silence_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    false_share: float
    false_interval: tuple[float, float]
    held_share: float
    ends: int
    missed: int
    unheard: int
    closed: int
    false: int
    splits: int
    from_nothing: int


@dataclass(frozen=True)
class Endpoints:
    """Figures of all settings, that of a session last, and what they were measured on. `core_share`: processor time of
    both detectors and the segmenter, of the duration of the sound. The turn detector was asked `turns_asked` times, and
    each took `turn_ms` of it, None where there is none.
    """

    recordings: tuple[str, ...]
    duration_s: float
    pause_s: float
    core_share: float
    turns_asked: int
    turn_ms: float | None
    rows: tuple[SettingFigures, ...]

    @property
    def used(self) -> SettingFigures:
        """The setting of a session."""
        return self.rows[-1]

    def targets(self) -> list[tuple[str, float, float]]:
        """What is demanded of the setting that is used: name, value, at most."""
        row, found = self.used, []
        if row.p50_ms is not None and row.p95_ms is not None:
            found = [("delay p50, ms", row.p50_ms, 450.0), ("delay p95, ms", row.p95_ms, 900.0)]
        cut = ("false cut-offs, %", 100 * row.false_share, 6.0)
        return [*found, cut, ("share of a core, %", 100 * self.core_share, 2.0)]

    def plain(self) -> dict[str, Any]:
        """The report as JSON values."""
        targets = [{"name": n, "value": v, "at_most": limit, "met": met(v, limit)} for n, v, limit in self.targets()]
        return dataclasses.asdict(self) | {"targets": targets}


def met(value: float, limit: float) -> bool:
    """Whether a figure is at most what is demanded; to a tenth, as it is printed."""
    return round(value, 1) <= limit


def bench_endpoint(
    recordings: Sequence[Recording],
    config: SegmenterConfig,
    detector: TurnDetector | None,
    silences_s: Sequence[float] = SILENCES_S,
    pause_s: float = PAUSE_S,
    progress: Callable[[str], None] = lambda _text: None,
) -> Endpoints:
    """Run every setting over every microphone.

    Args:
        recordings: with their references.
        config: of a session; fixed settings differ in the silence that they wait for.
        detector: of complete turns; None: pauses alone decide.
        silences_s: that end an utterance, each a setting of its own.
        pause_s: a gap this long in the reference is the end of a turn.
        progress: called with what is being listened to.

    Raises:
        ConfigError: a silence or `pause_s` is out of range.
        EngineError: the speech detector cannot run.
        MediaError: a recording cannot be read.
    """
    if not 0 < pause_s < math.inf:
        raise ConfigError(f"--pause {pause_s}: it must be more than 0 s")
    settings = _settings(config, sorted(set(silences_s)), with_detector=detector is not None)
    tallies = [Tally() for _ in settings]
    duration_s = cpu_s = turns_s = 0.0
    asked = 0
    for track, others in _tracks(recordings, progress):
        begun_s = time.process_time()
        probabilities = listen(track.pcm)
        listened_s = time.process_time()
        complete = None if detector is None else _completeness(detector, track.pcm)
        segment(probabilities, config, complete)  # first, so that nothing that it asks was asked before
        turns_s += time.process_time() - listened_s
        cpu_s += time.process_time() - begun_s
        asked += 0 if complete is None else complete.cache_info().misses
        duration_s += track.duration_s
        reference = TurnReference.of(track, pause_s, others)
        for setting, tally in zip(settings, tallies, strict=True):
            spans = segment(probabilities, setting.config, complete if setting.asks else None)
            count(tally, spans, reference)
    return Endpoints(
        recordings=tuple(recording.name for recording in recordings),
        duration_s=duration_s,
        pause_s=pause_s,
        core_share=cpu_s / duration_s,
        turns_asked=asked,
        turn_ms=1000 * turns_s / asked if asked else None,
        rows=tuple(_row(setting, tally) for setting, tally in zip(settings, tallies, strict=True)),
    )


def listen(pcm: np.ndarray) -> list[float]:
    """The probability of speech in each whole window. Shapes: pcm (n,) int16."""
    detector = SileroVad()
    whole = pcm[: len(pcm) // CHUNK_SAMPLES * CHUNK_SAMPLES]
    return [detector(window) for window in whole.reshape(-1, CHUNK_SAMPLES)]


def segment(
    probabilities: Sequence[float], config: SegmenterConfig, complete: Callable[[int], float] | None = None
) -> list[UtteranceSpan]:
    """The utterances of a whole recording. `complete`: the turn detector's probability at a sample; None: without."""
    segmenter = Segmenter(config)
    spans: list[UtteranceSpan | None] = []
    for probability in probabilities:
        spans.append(segmenter.feed(probability))
        if complete is not None and segmenter.in_question:
            segmenter.judge(complete(segmenter.position))
    return [span for span in (*spans, segmenter.flush()) if span is not None]


def count(tally: Tally, spans: Sequence[UtteranceSpan], reference: TurnReference) -> None:
    """Add what happened in one recording."""
    for span in spans:
        turn = _turn_of(span, reference.turns)
        tally.splits += span.closed_by == "limit"
        tally.from_nothing += turn is None
        if turn is not None and span.closed_by == "silence":
            tally.closed += 1
            tally.false += _cuts(span, turn)
            held = _turn_of(span, reference.held)
            tally.held += held is not None and _cuts(span, held)
    following = [*(start for start, _ in reference.turns[1:]), math.inf]
    for turn, after in zip(reference.turns, following, strict=False):
        if turn[1] + reference.pause_s <= reference.duration_s:
            _count_end(tally, [span for span in spans if _overlap(span, turn)], turn, after)


def _count_end(tally: Tally, spans: Sequence[UtteranceSpan], turn: TimeSpan, after_s: float) -> None:
    """How the end of a turn was met by the utterances that have some of it; the next turn starts at `after_s`."""
    closing = next((span for span in spans if _s(span.closed) >= turn[1] - COLLAR_S), None)
    if closing is None:
        tally.unheard += 1
    elif closing.closed_by == "flush":
        return
    elif _s(closing.end) > after_s:
        tally.missed += 1
    else:
        tally.delays.append(_s(closing.closed) - turn[1])


def _turn_of(span: UtteranceSpan, turns: Sequence[TimeSpan]) -> TimeSpan | None:
    """The turn that the utterance ends in, or after."""
    return next((turn for turn in reversed(turns) if _overlap(span, turn)), None)


def _cuts(span: UtteranceSpan, turn: TimeSpan) -> bool:
    return _s(span.closed) < turn[1] - COLLAR_S


def _overlap(span: UtteranceSpan, turn: TimeSpan) -> bool:
    return _s(span.start) < turn[1] and turn[0] < _s(span.end)


def _s(samples: int) -> float:
    return samples / SAMPLE_RATE_HZ


def _tracks(
    recordings: Sequence[Recording], progress: Callable[[str], None]
) -> Iterator[tuple[MicrophoneTrack, list[MicrophoneTrack]]]:
    """Each microphone, and the others of its recording."""
    for recording in recordings:
        progress(recording.name)
        tracks = recording.tracks()
        yield from ((track, [other for other in tracks if other is not track]) for track in tracks)


def _completeness(detector: TurnDetector, pcm: np.ndarray) -> "functools._lru_cache_wrapper[float]":
    return functools.cache(lambda position: detector(pcm[:position]))


def _settings(config: SegmenterConfig, silences_s: Sequence[float], *, with_detector: bool) -> list[_Setting]:
    """All of them, that of a session last."""
    fixed = [_Setting(f"{silence:g} s", _fixed(config, silence), silence) for silence in silences_s]
    alone = _Setting(PAUSES_ALONE, config)
    if not with_detector:
        return [*fixed, alone]
    later = replace(config, end_silence_min_s=LATER_S, end_silence_s=max(LATER_S, config.end_silence_s))
    return [*fixed, alone, _Setting(DETECTOR_LATER, later, asks=True), _Setting(WITH_DETECTOR, config, asks=True)]


def _fixed(config: SegmenterConfig, silence_s: float) -> SegmenterConfig:
    try:
        return replace(config, end_silence_min_s=silence_s, end_silence_s=silence_s)
    except ValueError as error:
        raise ConfigError(f"--silence {silence_s:g}: {error}") from error


def _interval(false: int, closed: int) -> tuple[float, float]:
    """95 % of the shares that other utterances of the kind might have given."""
    shares = np.random.default_rng(0).binomial(closed, false / closed, _RESAMPLES) / closed  # drawn with replacement
    return float(np.quantile(shares, 0.025)), float(np.quantile(shares, 0.975))


def _row(setting: _Setting, tally: Tally) -> SettingFigures:
    p50, p95 = (1000 * percentile(tally.delays, q) if tally.delays else None for q in (50, 95))
    closed = max(tally.closed, 1)
    return SettingFigures(
        setting=setting.name,
        silence_s=setting.silence_s,
        p50_ms=p50,
        p95_ms=p95,
        false_share=tally.false / closed,
        false_interval=_interval(tally.false, closed),
        held_share=tally.held / closed,
        ends=len(tally.delays),
        missed=tally.missed,
        unheard=tally.unheard,
        closed=tally.closed,
        false=tally.false,
        splits=tally.splits,
        from_nothing=tally.from_nothing,
    )
