"""What `erc-live evaluate` shows in a terminal of 80 columns, and the JSON of it: scores of one run in full, of several
side by side.

A run is one set of answers: some weights, with some modalities, hearing so much of the future.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.models.training.calibration import COVERAGES
from erc_live.models.training.dimension_scores import RatedDimension
from erc_live.models.training.metrics import Answers, PartScore, ScoreDifference, Scores
from erc_live.streams.plural import counted

WIDTH = 80
BAR = 18  # columns


@dataclass(frozen=True)
class Evaluation:
    """What was asked, and how well it was answered. `ahead`: utterances of the future that a two-sided network was
    given for each, None for the whole dialogue; 0 for a causal one, which takes none. `composed`: the voices and faces
    are of other corpora. `rated`: valence and arousal, where raters placed the utterances on them.
    """

    weights: str
    network: str
    labels: tuple[str, ...]
    modalities: tuple[str, ...]
    ahead: int | None
    answers: Answers
    scores: Scores
    composed: bool = False
    rated: Mapping[str, RatedDimension] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Weights, modalities and future in a few words."""
        return self.asked_of(self.weights)

    def asked_of(self, weights: str) -> str:
        """The same question, of other weights."""
        future = {0: "", None: ", whole dialogue"}.get(self.ahead, f", {self.ahead} ahead")
        composed = ", composed" if self.composed else ""
        return f"{weights} {short(self.modalities)}{future}{composed}"


def short(modalities: Sequence[str]) -> str:
    """The initials of some modalities: "ta"."""
    return "".join(name[0] for name in modalities) or "nothing"


def as_json(
    corpus: str, split: str, runs: Sequence[Evaluation], differences: Sequence[ScoreDifference]
) -> dict[str, Any]:
    """One run as one object; several as `runs`, and as `differences` how much better each is than the first."""
    objects = [
        {
            "corpus": corpus,
            "split": split,
            "weights": run.weights,
            "network": run.network,
            "modalities": list(run.modalities),
            "composed": run.composed,
            "look_ahead": "full" if run.ahead is None else run.ahead,
            **asdict(run.scores),
            "dimensions": {name: asdict(rated.score) for name, rated in run.rated.items()},
            "coverages": list(COVERAGES),
        }
        for run in runs
    ]
    return objects[0] if len(runs) == 1 else {"runs": objects, "differences": [asdict(d) for d in differences]}


def side_by_side(runs: Sequence[Evaluation], differences: Sequence[ScoreDifference]) -> RenderableType:
    """A row per run; from the second on, how far it is from the first."""
    table = _table("", "W-F1", "macro", "acc.", "UAR", "ECE", "against the first", "p")
    for run, difference in zip(runs, (None, *differences), strict=True):
        scores = run.scores
        figures = (scores.weighted_f1, scores.macro_f1, scores.accuracy, scores.uar, scores.calibration.error)
        d = difference
        gain = (
            ("", "")
            if d is None
            else (f"{d.weighted_f1:+.3f} [{d.low:+.3f}, {d.high:+.3f}]", f"{d.p:.3f}" if d.p >= 0.001 else "<0.001")
        )
        table.add_row(run.name, *(f"{figure:.3f}" for figure in figures), *gain)
    note = "In brackets 95 % of 10,000 resamples of the dialogues (paired bootstrap); p is two-sided."
    return Group(table, Text(note, style="dim")) if differences else table


def in_full(run: Evaluation, corpus: str, split: str) -> RenderableType:
    """All scores of one run."""
    scores = run.scores
    counts = f"{counted(scores.utterances, 'labelled utterance')} in {counted(scores.dialogues, 'dialogue')}"
    head = Text(f"{run.name} ({run.network}), {corpus} {split}: {counts}")
    total = Text(
        f"W-F1 {scores.weighted_f1:.4f}  macro-F1 {scores.macro_f1:.4f}  accuracy {scores.accuracy:.4f}  "
        f"UAR {scores.uar:.4f}",
        style="bold",
    )
    empty = Text()
    parts = (*_confusion(run), _parts(scores), empty, *_calibration(run, split))
    return Group(head, total, *_dimensions(run), empty, _classes(run), empty, *parts)


def _dimensions(run: Evaluation) -> Iterator[RenderableType]:
    """What valence and arousal are worth; nothing of a corpus without such ratings."""
    for name, rated in run.rated.items():
        score = rated.score
        low, high = score.interval
        yield Text(
            f"{name}: CCC {score.ccc:.3f} ({low:.3f} to {high:.3f})  MAE {score.mae:.3f} of 2  ({rated_how(rated)})"
        )


def rated_how(rated: RatedDimension) -> str:
    """How many ratings there are, and what says the dimension here."""
    return f"{len(rated.rating):,} rated, {'learnt' if rated.learnt else 'by the labels'}"


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index else "left")
    return table


def _classes(run: Evaluation) -> Table:
    table = _table("label", "F1", "precision", "recall", "support")
    table.add_column("F1, 0 to 1", width=BAR)
    for label, one in run.scores.classes.items():
        figures = (f"{one.f1:.3f}", f"{one.precision:.3f}", f"{one.recall:.3f}", str(one.support))
        table.add_row(Text(label), *figures, Bar(1.0, 0.0, one.f1, width=BAR))
    return table


def _confusion(run: Evaluation) -> Iterator[RenderableType]:
    heads = _abbreviated(run.labels)
    rows = run.scores.confusion
    cell = max(*(len(head) for head in heads), *(len(str(count)) for row in rows for count in row))
    name = max(len(label) for label in run.labels)
    if name + len(heads) * (cell + 2) <= WIDTH:
        table = _table("label \\ answer", *heads)
        for y, (label, row) in enumerate(zip(run.labels, rows, strict=True)):
            cells = (Text(str(n) if n else "·", style="bold" if p == y else "") for p, n in enumerate(row))
            table.add_row(Text(label), *cells)
        yield table
    for pair in run.scores.confused:
        yield Text(f"{pair.label} taken for {pair.answer}: {pair.count} times, {pair.share:.0%} of {pair.label}")
    yield Text()


def _abbreviated(labels: Sequence[str]) -> list[str]:
    """Headings of the columns: beginnings of the labels where they differ, numbers where they do not."""
    for letters in (4, 6):
        cut = [label[:letters] for label in labels]
        if len(set(cut)) == len(labels):
            return cut
    return [str(number) for number in range(1, len(labels) + 1)]


def _parts(scores: Scores) -> Table:
    table = _table("part", "utterances", "W-F1")
    parts = {
        "first 5 utterances of a dialogue": scores.position["first_5"],
        "the rest": scores.position["rest"],
        "one speaker": scores.speakers["one"],
        "two speakers": scores.speakers["two"],
        "three or more": scores.speakers["three_or_more"],
        "label of the speaker has changed": scores.shift.changed,
        "has not": scores.shift.unchanged,
    }
    for name, part in parts.items():
        table.add_row(name, *_figures(part))
    table.add_row("change of label found: F1", "", f"{scores.shift.f1:.3f}")
    return table


def _figures(part: PartScore) -> tuple[str, str]:
    return f"{part.utterances:,}", "-" if part.weighted_f1 is None else f"{part.weighted_f1:.3f}"


def _calibration(run: Evaluation, split: str) -> Iterator[RenderableType]:
    scores = run.scores
    table = _table("confidences", "ECE", "Brier", "NLL")
    if scores.unscaled is not None:
        before = scores.unscaled
        table.add_row("before scaling", f"{before.error:.3f}", f"{before.brier:.3f}", f"{before.nll:.3f}")
    now = scores.calibration
    table.add_row("as given", f"{now.error:.3f}", f"{now.brier:.3f}", f"{now.nll:.3f}")
    yield table
    if scores.temperature is not None:
        yield Text(f"temperature {scores.temperature:.3f}" + (", fitted on this very split" if split == "dev" else ""))
    yield Text(f"area under the risk-coverage curve {scores.risk_coverage.area:.3f} (wrong among the surest)")
    kept = scores.abstention
    if kept is not None:
        right = "-" if kept.accuracy is None else f"{kept.accuracy:.3f}"
        yield Text(f"certain (confidence {kept.threshold:.2f} or more): {kept.coverage:.1%}, accuracy {right}")
