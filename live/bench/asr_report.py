"""What `bench asr` found, for programs, for people in 80 columns, and as a picture."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.asr import AsrReport, ClipScore, RecogniserResult
from erc_live.live.bench.model_report import COLOURS
from erc_live.live.bench.word_errors import LEAST_UTTERANCES, Errors, interval, together
from erc_live.live.errors import ConfigError, EngineError
from erc_live.streams.plural import counted

MOST_CLIPS = 12  # recordings that are told one by one: those with the most errors
_INVENTED = 6  # texts that are shown of what was heard where nobody speaks

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class SpeechFigures:
    """One recogniser on all recordings in which somebody speaks."""

    errors: Errors
    interval: Interval
    utterances: int
    wordless: int
    rtf: float
    cpu_share: float


@dataclass(frozen=True)
class NonSpeechFigures:
    """One recogniser on all recordings in which nobody speaks. `words`: invented; `with_words`: utterances of them."""

    hours: float
    utterances: int
    with_words: int
    words: int
    texts: tuple[str, ...]

    @property
    def words_per_hour(self) -> float:
        """The figure that is compared."""
        return self.words / self.hours


@dataclass(frozen=True)
class Difference:
    """How much higher the word error rate of a recogniser is than that of the first."""

    name: str
    points: float
    interval: Interval

    @property
    def significant(self) -> bool:
        """Whether it is one: the interval has no 0 in it."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def speech(report: AsrReport, number: int) -> SpeechFigures | None:
    """The figures of a recogniser, None where nobody speaks."""
    clips = [clip for clip in report.clips if clip.speech]
    if not clips:
        return None
    results = [clip.results[number] for clip in clips]
    duration_s = sum(clip.duration_s for clip in clips)
    errors = _errors(results)
    return SpeechFigures(
        errors=together(errors),
        interval=interval(errors),
        utterances=sum(len(h.texts) for h in results),
        wordless=sum(h.wordless for h in results),
        rtf=sum(h.took_s for h in results) / duration_s,
        cpu_share=sum(h.cpu_s for h in results) / duration_s,
    )


def non_speech(report: AsrReport, number: int) -> NonSpeechFigures | None:
    """The figures of a recogniser, None where somebody speaks in all recordings."""
    clips = [clip for clip in report.clips if not clip.speech]
    if not clips:
        return None
    texts = tuple(text for clip in clips for text in clip.results[number].texts if text)
    return NonSpeechFigures(
        hours=sum(clip.duration_s for clip in clips) / 3600,
        utterances=sum(len(clip.results[number].texts) for clip in clips),
        with_words=len(texts),
        words=sum(_words(text) for text in texts),
        texts=texts,
    )


def differences(report: AsrReport) -> list[Difference]:
    """Every other recogniser against the first, on the same utterances."""
    clips = [clip for clip in report.clips if clip.speech]
    if not clips:
        return []
    first, *others = [_errors([clip.results[number] for clip in clips]) for number in range(len(report.recognisers))]
    words = max(together(first).words, 1)
    return [
        Difference(recogniser.name, (together(other).total - together(first).total) / words, interval(first, other))
        for recogniser, other in zip(report.recognisers[1:], others, strict=True)
    ]


def plain(report: AsrReport) -> dict[str, Any]:
    """The report as JSON values; rates are fractions, times s."""
    return {
        "recognisers": [_plain(report, number) for number in range(len(report.recognisers))],
        "differences": [asdict(d) | {"significant": d.significant} for d in differences(report)],
        "clips": [
            {
                "name": clip.clip.path.name,
                "duration_s": clip.duration_s,
                "reference": " ".join(clip.clip.reference.utterances),
                "results": [
                    {"name": r.name, "text": " ".join(filter(None, h.texts)), "wer": together(h.errors).rate}
                    | asdict(together(h.errors))
                    | {"utterances": len(h.texts), "wordless": h.wordless, "took_s": h.took_s, "cpu_s": h.cpu_s}
                    for r, h in zip(report.recognisers, clip.results, strict=True)
                ],
            }
            for clip in report.clips
        ],
    }


def _plain(report: AsrReport, number: int) -> dict[str, Any]:
    recogniser, figures, quiet = report.recognisers[number], speech(report, number), non_speech(report, number)
    return {
        "name": recogniser.name,
        "engine": recogniser.transcriber.name,
        "cut": recogniser.cut,
        "speech": figures and asdict(figures) | {"wer": figures.errors.rate},
        "nonspeech": quiet and asdict(quiet) | {"words_per_hour": quiet.words_per_hour},
    }


def render(report: AsrReport) -> RenderableType:
    """A row for each recogniser, where people speak and where nobody does; then the recordings with most errors."""
    parts: list[RenderableType] = []
    numbers = range(len(report.recognisers))
    spoken = [clip for clip in report.clips if clip.speech]
    if spoken:
        parts += [_heading("speech", spoken), _speech_table(report, [speech(report, n) for n in numbers])]
        parts += [Text(_difference_line(d, report.recognisers[0].name)) for d in differences(report)]
        parts += [Text(_LEGEND, style="dim")]
    if len(spoken) > 1:
        parts += [Text(), _clips_table(report, spoken)]
    quiet = [clip for clip in report.clips if not clip.speech]
    if quiet:
        parts += [*([Text()] if parts else []), _heading("nobody speaks", quiet)]
        parts += _quiet_parts(report, [non_speech(report, n) for n in numbers])
    return Group(*parts)


_LEGEND = (
    "WER: words wrong (sub), missing (del) or too many (ins), of those said; 95 %: by bootstrap over the utterances of "
    f"the reference, from {LEAST_UTTERANCES} on. lost: utterances of the reference of which no word was heard; none: "
    "what was handed to the recogniser and came back without a word. RTF: s taken per s of sound; CPU: s of processors."
)


def _heading(what: str, clips: Sequence[ClipScore]) -> Text:
    duration_s = sum(clip.duration_s for clip in clips)
    words = together(_errors([clip.results[0] for clip in clips])).words
    said = f", {counted(words, 'word')}" if words else ""
    return Text(f"{what}: {counted(len(clips), 'recording')}, {duration_s:.0f} s{said}", style="bold")


def _speech_table(report: AsrReport, figures: Sequence[SpeechFigures | None]) -> Table:
    table = _table("", "WER %", "95 %", "sub", "del", "ins", "lost", "none", "RTF", "CPU")
    for recogniser, row in zip(report.recognisers, figures, strict=True):
        assert row is not None
        e = row.errors
        counts = (str(e.substitutions), str(e.deletions), str(e.insertions), f"{e.lost}/{e.utterances}")
        costs = (f"{row.wordless}/{row.utterances}", f"{row.rtf:.2f}", f"{row.cpu_share:.2f}")
        table.add_row(Text(recogniser.name), _percent(e.rate), _span(row.interval), *counts, *costs)
    return table


def _clips_table(report: AsrReport, clips: Sequence[ClipScore]) -> Table:
    worst = sorted(clips, key=_mistakes, reverse=True)
    title = "WER %"
    if len(clips) > MOST_CLIPS:
        worst = [clip for clip in worst if _mistakes(clip)][:MOST_CLIPS]
        title = f"WER %, most errors ({len(worst)} of {len(clips)})"
    table = _table(title, "s", "words", *(recogniser.name for recogniser in report.recognisers))
    for clip in worst:
        rates = [together(result.errors) for result in clip.results]
        figures = (f"{clip.duration_s:.0f}", str(rates[0].words), *(_percent(errors.rate) for errors in rates))
        table.add_row(Text(clip.clip.path.name), *figures)
    return table


def _quiet_parts(report: AsrReport, figures: Sequence[NonSpeechFigures | None]) -> list[RenderableType]:
    table = _table("", "words per hour", "words", "utterances", "with words")
    lines: list[RenderableType] = []
    for recogniser, row in zip(report.recognisers, figures, strict=True):
        assert row is not None
        counts = (str(row.words), str(row.utterances), str(row.with_words))
        table.add_row(Text(recogniser.name), f"{row.words_per_hour:.1f}", *counts)
        often = sorted(set(row.texts), key=lambda text: (-row.texts.count(text), text))[:_INVENTED]
        if often:
            texts = ", ".join(f'"{text}" ({row.texts.count(text)})' for text in often)
            lines.append(Text(f"{recogniser.name} heard: {texts}", style="dim"))
    return [table, *lines]


def plot(target: Path, report: AsrReport) -> None:
    """Draw the kinds of errors of each recogniser, with the interval of their sum, over what it costs.

    Raises EngineError without matplotlib, ConfigError where nobody speaks or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineError("plots need matplotlib: pip install 'erc-live[bench]'") from error
    figures = [row for number in range(len(report.recognisers)) if (row := speech(report, number))]
    if not figures:
        raise ConfigError(f"--plot {target}: nobody speaks in these recordings")
    figure = Figure(figsize=(8.0, 1.4 + 0.6 * len(figures)), layout="constrained")
    axes = figure.subplots()
    kinds: dict[str, Callable[[Errors], int]] = {
        "wrong": lambda e: e.substitutions,
        "missing": lambda e: e.deletions,
        "too many": lambda e: e.insertions,
    }
    for at, row in enumerate(figures):
        begin = 0.0
        for (name, count), colour in zip(kinds.items(), COLOURS, strict=False):
            share = 100 * count(row.errors) / max(row.errors.words, 1)
            axes.barh(at, share, 0.6, begin, color=colour, label=None if at else name)
            begin += share
        if row.interval:
            low, high = (100 * edge for edge in row.interval)
            axes.errorbar(begin, at, xerr=[[begin - low], [high - begin]], color="black", capsize=4)
    names = [f"{r.name}\n{row.cpu_share:.2f} CPU" for r, row in zip(report.recognisers, figures, strict=True)]
    axes.set_yticks(range(len(figures)), names)
    axes.invert_yaxis()
    axes.set_xlabel("% of the words said (whisker: 95 %); CPU: s of processors per s of sound")
    axes.legend(frameon=False, ncols=len(kinds), loc="upper center", bbox_to_anchor=(0.5, -0.3))
    try:
        figure.savefig(target)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--plot {target}: {error}") from error


def _difference_line(difference: Difference, first: str) -> str:
    if difference.interval is None:
        return f"{difference.name} against {first}: too few utterances to call a difference one"
    low, high = (100 * edge for edge in difference.interval)
    points = f"{100 * difference.points:+.1f} points, 95 % from {low:+.1f} to {high:+.1f}"
    return f"{difference.name} against {first}: {points if difference.significant else f'no difference ({points})'}"


def _mistakes(clip: ClipScore) -> int:
    return sum(together(result.errors).total for result in clip.results)


def _errors(results: Sequence[RecogniserResult]) -> list[Errors]:
    return list(chain.from_iterable(h.errors for h in results))


def _words(text: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f}"


def _span(edges: Interval) -> str:
    return "-" if edges is None else f"{100 * edges[0]:.1f}-{100 * edges[1]:.1f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table
