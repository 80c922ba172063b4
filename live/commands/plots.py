"""Figures of scores and of training, drawn with matplotlib: confusion, classes, calibration, risk and coverage, curves.

The same data give the same file, byte for byte. Colours are told apart by the colour-blind (Okabe and Ito 2008), and
lines differ in dash and marker as well.
The rule of this file: matplotlib is loaded when something is drawn, and never its global state (`pyplot`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erc_live.live.commands.evaluation_report import Evaluation
from erc_live.live.errors import ConfigError, EngineError
from erc_live.models import card as cards
from erc_live.models.files import whole
from erc_live.models.training.calibration import COVERAGES, reliability

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX"
FORMATS = ("svg", "png", "pdf")
PANEL = (6.0, 4.5)  # inches
STYLE: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "erc-live"}

Panel = Callable[[Any], None]  # draws on the axes that it is given


@dataclass(frozen=True)
class Curve:
    """How a seed was trained: mean loss and weighted F1 on dev, after each epoch."""

    name: str
    loss: tuple[float, ...]
    dev_weighted_f1: tuple[float, ...]


def plot(target: Path, runs: Sequence[Evaluation], curves: Sequence[Curve] = ()) -> list[Path]:
    """Draw the scores of runs: all panels into one file, or each into a file of its own in a folder.

    Args:
        target: a file that ends in one of `FORMATS`, or the name of a folder.
        runs: the confusion is drawn of each, the rest of all together.
        curves: of training; none, no panel.

    Returns:
        The files that were written.

    Raises:
        EngineError: matplotlib is not installed.
        ConfigError: the file has another ending.
        WeightsError: the file cannot be written.
    """
    check_target(target)
    panels = _panels(runs, curves)
    if not target.suffix:
        return [draw(target / f"{name}.svg", [panel]) for name, panel in panels.items()]
    return [draw(target, list(panels.values()))]


def check_target(target: Path) -> None:
    """Refuse, before the work, what could not be drawn after it."""
    if target.suffix and target.suffix[1:] not in FORMATS:
        raise ConfigError(f"--plot {target}: give a name that ends in .{', .'.join(FORMATS)}, or a folder")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise EngineError("plots need matplotlib: pip install 'erc-live[learn]'") from error


def curves_of(weights: str) -> list[Curve]:
    """The training curves on the cards of a run: of each of its seeds, if they lie there, or else of itself."""
    folders = sorted(path.parent for path in Path(weights).glob(f"seed-*/{cards.CARD}"))
    found = []
    for name in map(str, folders) if folders else [weights]:
        training = cards.read(name).card.training
        curve = training.get("curve", {})
        if "dev_weighted_f1" in curve:  # not, where folds judged
            label = f"{Path(weights).name}, seed {training.get('seed', 0)}"
            found.append(Curve(label, tuple(curve["loss"]), tuple(curve["dev_weighted_f1"])))
    return found


def _panels(runs: Sequence[Evaluation], curves: Sequence[Curve]) -> dict[str, Panel]:
    confusions = {
        "confusion" if len(runs) == 1 else f"confusion_{number}": _confusion(run)
        for number, run in enumerate(runs, start=1)
    }
    common = {"classes": _classes(runs), "calibration": _calibration(runs), "risk_coverage": _risk_coverage(runs)}
    return confusions | common | ({"training": _training(curves)} if curves else {})


def draw(path: Path, panels: Sequence[Panel]) -> Path:
    """Draw panels two by two into a file whose ending is one of `FORMATS`; the same panels give the same bytes.

    Raises:
        WeightsError: the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    across = min(2, len(panels))
    down = -(-len(panels) // across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PANEL[0] * across, PANEL[1] * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for panel, ax in zip(panels, axes, strict=False):
            panel(ax)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        dateless = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(path.suffix[1:], {})
        with whole(path) as part:
            figure.savefig(part, format=path.suffix[1:], dpi=150, metadata=dateless)
    return path


def _confusion(run: Evaluation) -> Panel:
    def draw(ax: Any) -> None:
        labels, counts = run.labels, run.scores.confusion
        shares = [[n / max(sum(row), 1) for n in row] for row in counts]
        ax.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        size = max(5, min(9, 90 // len(labels)))
        for y, row in enumerate(counts):
            for x, n in enumerate(row):
                colour = "black" if shares[y][x] > 0.5 else "white"
                ax.text(x, y, n, ha="center", va="center", fontsize=size, color=colour)
        ax.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        ax.set_yticks(range(len(labels)), labels)
        ax.set(xlabel="answer", ylabel="label", title=f"{run.name}: counts, shaded by share of the label")
        ax.title.set_fontsize(10)

    return draw


def _classes(runs: Sequence[Evaluation]) -> Panel:
    def draw(ax: Any) -> None:
        labels = runs[0].labels
        thick = 0.8 / len(runs)
        for k, run in enumerate(runs):
            places = [y + (k - (len(runs) - 1) / 2) * thick for y in range(len(labels))]
            f1 = [run.scores.classes[label].f1 for label in labels]
            bars = ax.barh(places, f1, thick, color=COLOURS[k % len(COLOURS)], label=run.name)
            if len(runs) <= 2:
                ax.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
        names = [f"{label} ({runs[0].scores.classes[label].support})" for label in labels]
        ax.set_yticks(range(len(labels)), names)
        ax.invert_yaxis()
        ax.set(xlabel="F1", xlim=(0, 1), title="F1 per label (and how often it occurs)")
        _legend(ax, runs)

    return draw


def _calibration(runs: Sequence[Evaluation]) -> Panel:
    def draw(ax: Any) -> None:
        ax.plot([0, 1], [0, 1], color="grey", linewidth=1, label="_ideal")
        for k, run in enumerate(runs):
            logits, labels = run.answers.scored()
            bins = reliability(logits.double().softmax(-1), labels)
            confidence, right = [one.confidence for one in bins], [one.accuracy for one in bins]
            name = f"{run.name}: ECE {run.scores.calibration.error:.3f}"
            ax.plot(confidence, right, marker=MARKERS[k % len(MARKERS)], markersize=4, label=name, **_line(k))
        ax.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
        ax.set_title("Calibration, 15 bins of equal mass")
        ax.legend(fontsize=8, frameon=False)

    return draw


def _risk_coverage(runs: Sequence[Evaluation]) -> Panel:
    def draw(ax: Any) -> None:
        for k, run in enumerate(runs):
            curve = run.scores.risk_coverage
            ax.plot(COVERAGES, curve.risk, label=f"{run.name}: area {curve.area:.3f}", **_line(k))
            kept = run.scores.abstention
            if kept is not None and kept.accuracy is not None:
                ax.plot(kept.coverage, 1 - kept.accuracy, MARKERS[k % len(MARKERS)], color=COLOURS[k % len(COLOURS)])
        ax.set(xlabel="coverage (the surest first)", ylabel="share of wrong answers", xlim=(0, 1))
        ax.set_ylim(bottom=0)
        ax.set_title("Risk and coverage; the mark is the threshold of the card")
        ax.legend(fontsize=8, frameon=False)

    return draw


def _training(curves: Sequence[Curve]) -> Panel:
    def draw(ax: Any) -> None:
        loss = ax.twinx()
        loss.spines["right"].set_visible(True)
        for k, curve in enumerate(curves):
            epochs = range(1, len(curve.loss) + 1)
            mark = {"marker": MARKERS[k % len(MARKERS)], "markersize": 4, "label": curve.name}
            ax.plot(epochs, curve.dev_weighted_f1, **mark, **_line(k))
            loss.plot(epochs, curve.loss, color="grey", linewidth=0.8, linestyle=DASHES[k % len(DASHES)])
        ax.set(xlabel="epoch", ylabel="W-F1 on dev", title="Training")
        loss.set_ylabel("mean loss on train (grey)")
        ax.legend(fontsize=8, frameon=False)

    return draw


def _line(k: int) -> dict[str, str]:
    return {"color": COLOURS[k % len(COLOURS)], "linestyle": DASHES[k % len(DASHES)]}


def _legend(ax: Any, runs: Sequence[Evaluation]) -> None:
    if len(runs) > 1:
        ax.legend(fontsize=8, frameon=False)
