"""How the figures of `bench` look: tables for the terminal, and a plot of time over the length of a dialogue as SVG.

The plot is written by hand: a few axes and lines do not earn a plotting library. Lines differ in dash as well as in
colour, and each is named.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.sax.saxutils import escape

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.model import BenchReport, CallDuration, NetworkReport

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by the colour-blind
DASHES = {"step": "", "reach": "9 3 2 3", "recompute": "7 4", "replay": "2 3"}
PLOT_WIDTH, PLOT_HEIGHT, MARGIN, LEGEND_WIDTH, LINE_HEIGHT = 460, 320, 60, 250, 18  # pixels


def render(report: BenchReport) -> RenderableType:
    """Tables of all figures."""
    head = Text(
        f"{report.device}, {report.threads} threads, torch {report.torch}; ms: median (10th to 90th percentile)"
    )
    return Group(head, *(part for network in report.networks for part in _network(network)))


def _network(network: NetworkReport) -> Iterable[RenderableType]:
    reach = "all that matters again" if network.reach is None else f"last {network.reach} again"
    columns = ("step", reach, "whole dialogue again", "Replay")
    times = _table(f"{network.network}: ms per utterance", "utterance", *columns)
    spared = _table("times the step", "utterance", *columns[1:])
    for at in network.lengths:
        rivals = (at.reach, at.recompute, at.replay)
        times.add_row(f"{at.length:,}", _ms(at.step), *map(_ms, rivals))
        ratios = (f"{rival.p50 / at.step.p50:,.2f}" if rival else "-" for rival in rivals)
        spared.add_row(f"{at.length:,}", *ratios)
    together = _table("dialogues stepped together", "dialogues", "ms per batch", "utterances/s")
    for batch in network.batches:
        together.add_row(str(batch.dialogues), _ms(batch.batch), f"{batch.per_second:,.0f}")
    grown = "not told by this system" if network.grown_bytes is None else f"{network.grown_bytes / 1e6:+.1f} MB"
    facts = _table("memory", "", "")
    facts.add_row("parameters", f"{network.parameters:,}")
    facts.add_row("state of a dialogue", f"{network.state_bytes / 1e3:,.1f} kB")
    facts.add_row("state of a dialogue, Replay", f"{network.replay_state_bytes / 1e3:,.1f} kB")
    facts.add_row(f"growth over {network.steps:,} steps", grown)
    targets = _table("targets, set for the default network", "figure", "measured", "wanted", "")
    for target in network.targets():
        wanted = f"{'>=' if target.at_least else '<='} {target.limit:g}"
        targets.add_row(target.name, f"{target.value:.2f}", wanted, "met" if target.met else "MISSED")
    return times, spared, together, facts, targets


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=any(columns))
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _ms(timing: CallDuration | None) -> str:
    return "-" if timing is None else f"{timing.p50:.3f} ({timing.p10:.3f} to {timing.p90:.3f})"


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis over whole decades: `pixel(value)` from `start` to `end`."""

    decades: range
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return cls(range(low, max(high, low + 1) + 1), start, end)

    def pixel(self, value: float) -> float:
        share = (math.log10(value) - self.decades[0]) / (self.decades[-1] - self.decades[0])
        return self.start + share * (self.end - self.start)


def svg(report: BenchReport) -> str:
    """Time per utterance over the length of the dialogue, both logarithmic, as a complete SVG document."""
    lines = [
        (f"{network.network}: {name}", colour, dash, _points(network, name))
        for network, colour in zip(report.networks, cycle(COLOURS), strict=False)
        for name, dash in DASHES.items()
    ]
    points = [point for *_, series in lines for point in series]
    across = _Axis.over([x for x, _ in points], MARGIN, MARGIN + PLOT_WIDTH)
    up = _Axis.over([y for _, y in points], MARGIN / 2 + PLOT_HEIGHT, MARGIN / 2)
    width, height = MARGIN + PLOT_WIDTH + LEGEND_WIDTH, MARGIN / 2 + PLOT_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" font-family="sans-serif"'
        ' font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        *_grid(across, up),
    ]
    for number, (label, colour, dash, series) in enumerate(lines):
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash or "none"}"'
        path = " ".join(f"{across.pixel(x):.1f},{up.pixel(y):.1f}" for x, y in series)
        left, top = across.end + 15, up.end + 6 + LINE_HEIGHT * number
        parts += [
            f'<polyline points="{path}" {style}/>',
            f'<line x1="{left:g}" y1="{top:g}" x2="{left + 30:g}" y2="{top:g}" {style}/>',
            f'<text x="{left + 36:g}" y="{top + 4:g}">{escape(label)}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def _points(network: NetworkReport, name: str) -> list[tuple[float, float]]:
    timings = [(at.length, getattr(at, name)) for at in network.lengths]
    return [(length, timing.p50) for length, timing in timings if timing]


def _grid(across: _Axis, up: _Axis) -> Iterable[str]:
    for decade in across.decades:
        x = across.pixel(10.0**decade)
        yield f'<line x1="{x:.1f}" y1="{up.start:g}" x2="{x:.1f}" y2="{up.end:g}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{up.start + 18:g}" text-anchor="middle">{10**decade:,}</text>'
    for decade in up.decades:
        y = up.pixel(10.0**decade)
        yield f'<line x1="{across.start:g}" y1="{y:.1f}" x2="{across.end:g}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{across.start - 6:g}" y="{y + 4:.1f}" text-anchor="end">{10.0**decade:g}</text>'
    middle = (across.start + across.end) / 2
    yield f'<text x="{middle:g}" y="{up.start + 40:g}" text-anchor="middle">utterances in the dialogue</text>'
    yield f'<text x="{across.start:g}" y="{up.end - 10:g}">ms per utterance</text>'
