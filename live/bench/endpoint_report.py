"""The report of `bench endpoint`: tables that fit 80 columns, and a plot of delay over false cut-offs."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.endpoint import DETECTOR_LATER, HOLD_S, LATER_S, Endpoints, met
from erc_live.live.errors import ConfigError, EngineError

# livekit v1 on English eot-bench, at a delay of 300 ms: from the card of p99lab/turn-1.
_PUBLISHED = "livekit v1 on the recordings of eot-bench: 9.9 %"


def render(report: Endpoints) -> RenderableType:
    """Tables that fit 80 columns."""
    names = ", ".join(report.recordings)
    head = f"{names}: {report.duration_s:.0f} s of sound. Silence that ends a turn: {report.pause_s:g} s"
    figures = _table("setting", "p50 ms", "p95 ms", "false %", "95 %", "held %", "ends", "missed", "unheard", "closed")
    for row in report.rows:
        interval = "{:.0f}-{:.0f}".format(*(100 * share for share in row.false_interval))
        shares = (f"{100 * row.false_share:.1f}", interval, f"{100 * row.held_share:.0f}")
        counts = (str(n) for n in (row.ends, row.missed, row.unheard, row.closed))
        figures.add_row(row.setting, _ms(row.p50_ms), _ms(row.p95_ms), *shares, *counts)
    targets = _table("targets", "measured", "at most", "")
    for name, value, limit in report.targets():
        targets.add_row(name, f"{value:.1f}", f"{limit:g}", "met" if met(value, limit) else "MISSED")
    return Group(Text(head), figures, *map(Text, _notes(report)), targets)


def _notes(report: Endpoints) -> list[str]:
    row = report.used
    notes = [
        f"false: closed while the turn goes on; held: also over gaps below {HOLD_S:g} s, after which the same person "
        "goes on",
        f"{row.setting}: {row.splits} cut at the length limit, {row.from_nothing} without reference speech",
    ]
    at_s = {row.setting: row.false_share for row in report.rows}
    if report.turn_ms is not None:
        notes.append(f"decided after {LATER_S:g} s of silence: false cut-offs {at_s[DETECTOR_LATER]:.1%}; {_PUBLISHED}")
        per_minute = 60 * report.turns_asked / report.duration_s
        notes.append(f"turn detector: asked {per_minute:.0f} times a minute, {report.turn_ms:.0f} ms each")
    return notes


def plot(target: Path, report: Endpoints) -> None:
    """Draw delay over false cut-offs: one line for the median, one for the 95th percentile, signs for what is not
    fixed.

    Raises EngineError without matplotlib, ConfigError where the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineError("plots need matplotlib: pip install 'erc-live[bench]'") from error
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    met = [r for r in report.rows if r.p50_ms is not None]
    fixed, others = [r for r in met if r.silence_s is not None], [r for r in met if r.silence_s is None]
    for name, colour, dash in (("p50_ms", "#0072b2", "o-"), ("p95_ms", "#d55e00", "s--")):
        delays = [getattr(r, name) for r in fixed]
        axes.plot([100 * r.false_share for r in fixed], delays, dash, color=colour, label=f"fixed, {name[:3]}")
        for r, sign in zip(others, "Pd*", strict=False):
            label = f"{r.setting}, {name[:3]}"
            axes.plot(100 * r.false_share, getattr(r, name), sign, ms=11, color=colour, label=label)
    for r in fixed:
        axes.annotate(r.setting, (100 * r.false_share, r.p50_ms), (4, -12), textcoords="offset points", fontsize=8)
    axes.axvline(6, color="#999999", linewidth=0.8)
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
