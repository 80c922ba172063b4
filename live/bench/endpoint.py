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
  apart. *As annotated* is the same share where every pause inside of an annotated segment counts as speech.
- *Missed end*: the utterance goes on into the next turn. It has no delay. A gap just above `pause_s` is missed by
  design where silence is awaited for longer.
- *Unheard end*: nothing heard of the end of the turn: the detector's fault, and no matter of waiting.
- Utterances that the end of the recording closed tell nothing: their ends are not counted.

The probabilities of speech are computed once for each microphone, and every setting is run over them.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.recordings import MicrophoneTrack, Recording, joined, sounding
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.perception.vad import SileroVad
from erc_live.live.screen.percentile import percentile
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, UtteranceSpan
from erc_live.streams.segmenter import Segmenter, SegmenterConfig

SILENCES_S = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)  # settings beside the adaptive one
PAUSE_S = 0.5
COLLAR_S = 0.25  # what references may be off by, as in the scoring of diarisation
ADAPTIVE = "adaptive"

TimeSpan = tuple[float, float]  # seconds since the start of the recording


@dataclass(frozen=True)
class TurnReference:
    """Who can be heard when: the turns, and the turns if no annotated segment had a pause."""

    turns: tuple[TimeSpan, ...]
    annotated: tuple[TimeSpan, ...]
    duration_s: float
    pause_s: float

    @classmethod
    def of(cls, track: MicrophoneTrack, pause_s: float) -> "TurnReference":
        """The reference of one microphone."""
        turns, annotated = (
            tuple(joined([(s.start_s, s.end_s) for s in segments], pause_s))
            for segments in (sounding(track.pcm, track.segments), track.segments)
        )
        return cls(turns, annotated, track.duration_s, pause_s)


@dataclass
class Tally:
    """What happened with one setting, so far; delays in s."""

    delays: list[float] = field(default_factory=list)
    missed: int = 0
    unheard: int = 0
    closed: int = 0
    false: int = 0
    false_as_annotated: int = 0
    splits: int = 0
    from_nothing: int = 0


@dataclass(frozen=True)
class SettingFigures:
    """The figures of a setting; shares of 1. `silence_s` is None where it adapts, delays where no end was met."""

    setting: str
    silence_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    false_share: float
    false_share_as_annotated: float
    ends: int
    missed: int
    unheard: int
    closed: int
    false: int
    splits: int
    from_nothing: int


@dataclass(frozen=True)
class Endpoints:
    """Figures of all settings, and what they were measured on. `core_share`: processor time of detector and adaptive
    segmenter, of the duration of the sound.
    """

    recordings: tuple[str, ...]
    duration_s: float
    pause_s: float
    core_share: float
    rows: tuple[SettingFigures, ...]

    @property
    def adaptive(self) -> SettingFigures:
        """The setting that is used."""
        return self.rows[-1]

    def targets(self) -> list[tuple[str, float, float]]:
        """What is demanded of the adaptive setting: name, value, at most."""
        row, found = self.adaptive, []
        if row.p50_ms is not None and row.p95_ms is not None:
            found = [("delay p50, ms", row.p50_ms, 450.0), ("delay p95, ms", row.p95_ms, 900.0)]
        cut = ("false cut-offs, %", 100 * row.false_share, 5.0)
        return [*found, cut, ("share of a core, %", 100 * self.core_share, 2.0)]

    def plain(self) -> dict[str, Any]:
        """The report as JSON values."""
        targets = [{"name": n, "value": v, "at_most": limit, "met": v <= limit} for n, v, limit in self.targets()]
        return dataclasses.asdict(self) | {"targets": targets}


def bench_endpoint(
    recordings: Sequence[Recording],
    config: SegmenterConfig,
    silences_s: Sequence[float] = SILENCES_S,
    pause_s: float = PAUSE_S,
    progress: Callable[[str], None] = lambda _text: None,
) -> Endpoints:
    """Run every setting over every microphone.

    Args:
        recordings: with their references.
        config: the adaptive setting; the others differ in the silence that they wait for.
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
    settings = [*(_fixed(config, silence) for silence in sorted(set(silences_s))), config]
    tallies = [Tally() for _ in settings]
    duration_s = cpu_s = 0.0
    for track in _tracks(recordings, progress):
        begun_s = time.process_time()
        probabilities = listen(track.pcm)
        segment(probabilities, config)
        cpu_s += time.process_time() - begun_s
        duration_s += track.duration_s
        reference = TurnReference.of(track, pause_s)
        for setting, tally in zip(settings, tallies, strict=True):
            count(tally, segment(probabilities, setting), reference)
    names = [*(f"{setting.end_silence_s:g} s" for setting in settings[:-1]), ADAPTIVE]
    rows = tuple(
        _row(name, None if name == ADAPTIVE else setting.end_silence_s, tally)
        for name, setting, tally in zip(names, settings, tallies, strict=True)
    )
    return Endpoints(tuple(r.name for r in recordings), duration_s, pause_s, cpu_s / duration_s, rows)


def listen(pcm: np.ndarray) -> list[float]:
    """The probability of speech in each whole window. Shapes: pcm (n,) int16."""
    detector = SileroVad()
    whole = pcm[: len(pcm) // CHUNK_SAMPLES * CHUNK_SAMPLES]
    return [detector(window) for window in whole.reshape(-1, CHUNK_SAMPLES)]


def segment(probabilities: Sequence[float], config: SegmenterConfig) -> list[UtteranceSpan]:
    """The utterances of a whole recording."""
    segmenter = Segmenter(config)
    spans = [*(segmenter.feed(probability) for probability in probabilities), segmenter.flush()]
    return [span for span in spans if span is not None]


def count(tally: Tally, spans: Sequence[UtteranceSpan], reference: TurnReference) -> None:
    """Add what happened in one recording."""
    for span in spans:
        turn = _turn_of(span, reference.turns)
        tally.splits += span.closed_by == "limit"
        tally.from_nothing += turn is None
        if turn is not None and span.closed_by == "silence":
            tally.closed += 1
            tally.false += _cuts(span, turn)
            annotated = _turn_of(span, reference.annotated)
            tally.false_as_annotated += annotated is not None and _cuts(span, annotated)
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


def _tracks(recordings: Sequence[Recording], progress: Callable[[str], None]) -> Iterator[MicrophoneTrack]:
    for recording in recordings:
        progress(recording.name)
        yield from recording.tracks()


def _fixed(config: SegmenterConfig, silence_s: float) -> SegmenterConfig:
    try:
        return replace(config, end_silence_min_s=silence_s, end_silence_s=silence_s)
    except ValueError as error:
        raise ConfigError(f"--silence {silence_s:g}: {error}") from error


def _row(name: str, silence_s: float | None, tally: Tally) -> SettingFigures:
    p50, p95 = (1000 * percentile(tally.delays, q) if tally.delays else None for q in (50, 95))
    closed = max(tally.closed, 1)
    return SettingFigures(
        setting=name,
        silence_s=silence_s,
        p50_ms=p50,
        p95_ms=p95,
        false_share=tally.false / closed,
        false_share_as_annotated=tally.false_as_annotated / closed,
        ends=len(tally.delays),
        missed=tally.missed,
        unheard=tally.unheard,
        closed=tally.closed,
        false=tally.false,
        splits=tally.splits,
        from_nothing=tally.from_nothing,
    )


def render(report: Endpoints) -> RenderableType:
    """Tables that fit 80 columns."""
    names = ", ".join(report.recordings)
    head = f"{names}: {report.duration_s:.0f} s of sound. Silence that ends a turn: {report.pause_s:g} s"
    figures = _table("end silence", "p50 ms", "p95 ms", "false", "annotated", "ends", "missed", "unheard", "closed")
    for row in report.rows:
        shares = (f"{row.false_share:.1%}", f"{row.false_share_as_annotated:.1%}")
        counts = (str(n) for n in (row.ends, row.missed, row.unheard, row.closed))
        figures.add_row(row.setting, _ms(row.p50_ms), _ms(row.p95_ms), *shares, *counts)
    row = report.adaptive
    apart = f"{ADAPTIVE}: {row.splits} cut at the length limit, {row.from_nothing} without reference speech"
    targets = _table("targets", "measured", "at most", "")
    for name, value, limit in report.targets():
        targets.add_row(name, f"{value:.1f}", f"{limit:g}", "met" if value <= limit else "MISSED")
    return Group(Text(head), figures, Text(apart), targets)


def plot(target: Path, report: Endpoints) -> None:
    """Draw delay over false cut-offs: one line for the median, one for the 95th percentile, a star where it adapts.

    Raises EngineError without matplotlib, ConfigError where the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineError("plots need matplotlib: pip install 'erc-live[bench]'") from error
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    fixed, row = [r for r in report.rows[:-1] if r.p50_ms is not None], report.adaptive
    for name, colour, dash in (("p50_ms", "#0072b2", "o-"), ("p95_ms", "#d55e00", "s--")):
        delays = [getattr(r, name) for r in fixed]
        axes.plot([100 * r.false_share for r in fixed], delays, dash, color=colour, label=f"fixed, {name[:3]}")
        if row.p50_ms is not None:
            label = f"{ADAPTIVE}, {name[:3]}"
            axes.plot(100 * row.false_share, getattr(row, name), "*", ms=14, color=colour, label=label)
    for r in fixed:
        axes.annotate(r.setting, (100 * r.false_share, r.p50_ms), (4, -12), textcoords="offset points", fontsize=8)
    axes.axvline(5, color="#999999", linewidth=0.8)
    axes.set(xlabel="false cut-offs, % of the utterances closed", ylabel="ms after the end of speech", ylim=(0, None))
    axes.legend(frameon=False)
    try:
        figure.savefig(target)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--plot {target}: {error}") from error


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
