"""What `bench latency` found, in 80 columns, and as a picture."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.latency import Latency, Spread
from erc_live.live.bench.model_report import COLOURS
from erc_live.live.errors import ConfigError, EngineError
from erc_live.streams.plural import counted
from erc_live.streams.stage_durations import STAGES


def render(sessions: Sequence[Latency]) -> RenderableType:
    """With several sessions a row for each; then a table for each, with what was lost and what it cost."""
    parts = [part for session in sessions for part in (*_session(session), Text())]
    return Group(*_side_by_side(sessions), *parts[:-1])


def plot(target: Path, sessions: Sequence[Latency]) -> None:
    """Draw the stages of each session end to end: medians solid, 95th percentiles pale. Raises EngineError without
    matplotlib, ConfigError where the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineError("plots need matplotlib: pip install 'erc-live[bench]'") from error
    figure = Figure(figsize=(8.0, 1.2 + 1.1 * len(sessions)), layout="constrained")
    axes = figure.subplots()
    for row, session in enumerate(sessions):
        for at, alpha in ((row - 0.2, 1.0), (row + 0.2, 0.45)):
            begin = 0.0
            for stage, colour in zip(session.stages[:-1], COLOURS, strict=False):
                length = stage.p50 if alpha == 1.0 else stage.p95
                label = stage.name if not row and alpha == 1.0 else None
                axes.barh(at, length, 0.36, begin, color=colour, alpha=alpha, label=label)
                begin += length
    axes.set_yticks(range(len(sessions)), [session.name for session in sessions])
    axes.invert_yaxis()
    axes.set_xlabel("ms after the last sample of speech: medians above, 95th percentiles below, stage by stage")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=len(STAGES), frameon=False)
    try:
        figure.savefig(target)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--plot {target}: {error}") from error


def _session(session: Latency) -> list[RenderableType]:
    table = Table(title=f"{session.name}: ms", title_justify="left", box=None, pad_edge=False)
    for column in ("", "p50", "p95", "longest", "events"):
        table.add_column(column, justify="right" if column else "left")
    aware = replace(session.stages[-1], name="all, computation-aware")
    unaware = replace(session.stages[0], name="all, computation-unaware")
    rows = [*session.stages[:-1], aware, unaware, session.after_endpoint, session.delivered]
    for spread in (*rows, *([session.first] if session.first else [])):
        table.add_row(spread.name, *(f"{v:.0f}" for v in (spread.p50, spread.p95, spread.longest)), str(spread.count))
    return [table, *(Text(line) for line in _summary_lines(session))]


def _summary_lines(session: Latency) -> list[str]:
    """What was said, what was lost, and what it cost, in sentences."""
    losses, cost = session.losses, session.cost
    why = "; ".join(f"{count} {reason}" for reason, count in losses.wordless.items())
    events = f"{session.provisional} provisional events, {session.provisional_words} of them with words"
    steps = "; ".join(f"{step} ({count})" for step, count in losses.steps.items())
    gaps = "; ".join(f"{which} {times} times, {lost} lost" for which, (times, lost) in losses.gaps.items())
    shares = ", ".join(f"{worker} {100 * share:.0f} %" for worker, share in cost.workers.items())
    ready = "" if cost.ready_s is None else f"{cost.ready_s:.1f} s from the command to the first sample; "
    return [
        f"{session.engine}: {counted(session.utterances, 'utterance')}, {sum(losses.wordless.values())} without words"
        + (f" ({why})" if why else ""),
        events,
        f"overload: {steps or 'none'}",
        f"gaps: {gaps or 'none'}",
        f"{ready}{cost.cores:.2f} cores, start included",
        *([f"of a core, while it played: {shares}"] if shares else []),
    ]


_LEGEND = (
    "all: from the end of speech to the event; words: waited for after the endpoint; first: from the start of speech "
    "to the first provisional event; none: utterances without words, of so many; over: how often something was given "
    "up or taken up again; CPU: of a core, by perception."
)


def _side_by_side(sessions: Sequence[Latency]) -> list[RenderableType]:
    if len(sessions) < 2:
        return []
    table = Table(title="p50/p95, ms", title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("", "endpoint", "words", "all", "first", "none", "of", "over", "CPU %"):
        table.add_column(column, justify="right" if column else "left")
    for session in sessions:
        stages = {stage.name: stage for stage in session.stages}
        spreads = (stages["endpoint"], stages["words"], stages["all"], session.first)
        wordless, steps = (sum(lost.values()) for lost in (session.losses.wordless, session.losses.steps))
        share = session.cost.workers.get("perception")
        cost = "-" if share is None else f"{100 * share:.0f}"
        counts = map(str, (wordless, session.utterances, steps))
        table.add_row(Text(session.name), *map(_pair, spreads), *counts, cost)
    return [table, Text(_LEGEND, style="dim"), Text()]


def _pair(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p50:.0f}/{spread.p95:.0f}"
