"""What `erc-live evaluate RUN` shows: the scores of all seeds of a run together, beside those of another run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.commands.evaluation_report import Evaluation, rated_how
from erc_live.live.errors import ConfigError
from erc_live.models.training.dimension_scores import RatedDimension
from erc_live.models.training.pooled import DRAWS, Figure, PooledScores
from erc_live.streams.plural import counted

TITLES = {"weighted_f1": "W-F1", "macro_f1": "macro-F1", "calibration_error": "calibration error"}
NOTE = (
    f"sd: over the seeds. 95 %: of {DRAWS:,} resamples of the dialogues, the seeds averaged in each. "
    "A difference whose interval holds 0 is none. Of few utterances a calibration error comes out too large."
)


@dataclass(frozen=True)
class Pooled:
    """What a run reached with some modalities, and what another one did. `name`: the run and the modalities; `rated`:
    what its first seed said on the dimensions that were rated.
    """

    name: str
    modalities: tuple[str, ...]
    seeds: tuple[str, ...]
    scores: PooledScores
    rated: Mapping[str, RatedDimension]
    other: PooledScores | None = None


@dataclass(frozen=True)
class RunAnswers:
    """What the seeds of a run answered to each question, and those of the run `against` which it is compared."""

    run: str
    answers: Sequence[Evaluation]
    against: str | None
    others: Sequence[Evaluation]


def pooled(runs: RunAnswers, speakers: Sequence[str]) -> list[Pooled]:
    """All seeds together, question by question. `speakers`: who said each utterance, by name.

    Raises ConfigError where the other run was not asked the same questions.
    """
    own, theirs = _by_question(runs.answers), _by_question(runs.others) if runs.others else []
    if runs.others and len(own) != len(theirs):
        raise ConfigError(
            f"--against {runs.against}: it reads other modalities than {runs.run}; leave out --by-modality"
        )

    def scores(seeds: Sequence[Evaluation]) -> PooledScores:
        return PooledScores.of([one.answers for one in seeds], seeds[0].labels, speakers, [one.rated for one in seeds])

    return [
        Pooled(
            name=seeds[0].asked_of(runs.run),
            modalities=seeds[0].modalities,
            seeds=tuple(one.weights for one in seeds),
            scores=scores(seeds),
            rated=seeds[0].rated,
            other=scores(other) if other else None,
        )
        for seeds, other in zip_longest(own, theirs)
    ]


def _by_question(answers: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """The answers of all seeds to each question, in the order of the questions."""
    found: dict[tuple[object, ...], list[Evaluation]] = {}
    for one in answers:
        found.setdefault((one.modalities, one.ahead), []).append(one)
    return list(found.values())


def in_full(one: Pooled, place: str, against: str | None) -> RenderableType:
    """All of it in 80 columns. `place`: the corpus and the split."""
    scores = one.scores
    seeds = f"{len(one.seeds)} seeds" if len(one.seeds) > 1 else "one model"  # which may be seeds that answer together
    head = Text(
        f"{one.name}, {place}: {seeds}, {counted(scores.utterances, 'labelled utterance')} in "
        f"{counted(scores.dialogues, 'dialogue')}"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(("", "mean", "sd", "95 %", *(["against the other", ""] if against else []))):
        table.add_column(title, justify="right" if number else "left", no_wrap=number > 0)
    for name, figure, other in _rows(one):
        table.add_row(Text(name), *_cells(figure), *_compared(figure, other))
    other_run = [Text(f"the other run: {against}")] if against else []
    return Group(head, table, *other_run, Text(NOTE, style="dim"))


def as_json(one: Pooled) -> dict[str, Any]:
    """The same for programs."""
    scores, other = one.scores, one.other
    groups = {"overall": scores.overall, "f1": scores.classes, "calibration_error_by_speaker": scores.speakers}
    theirs = (other.overall, other.classes, other.speakers) if other else ({}, {}, {})
    concordance = _plain(scores.dimensions, other.dimensions if other else {})
    return {
        "name": one.name,
        "modalities": list(one.modalities),
        "seeds": list(one.seeds),
        "dialogues": scores.dialogues,
        "utterances": scores.utterances,
        "utterances_by_speaker": dict(scores.counts),
        **{group: _plain(figures, others) for (group, figures), others in zip(groups.items(), theirs, strict=True)},
        "dimensions": {
            name: {"utterances": len(rated.rating), "learnt": rated.learnt, "ccc": concordance[name]}
            for name, rated in one.rated.items()
        },
    }


def _plain(figures: Mapping[str, Figure], others: Mapping[str, Figure]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, figure in figures.items():
        low, high = figure.interval
        found[name] = {"by_seed": list(figure.by_seed), "mean": figure.mean, "sd": figure.sd, "low": low, "high": high}
        if name in others:
            gain = figure.against(others[name])
            compared = {"difference": gain.difference, "low": gain.low, "high": gain.high, "none": gain.none}
            found[name]["against"] = compared
    return found


def _rows(one: Pooled) -> Iterator[tuple[str, Figure, Figure | None]]:
    scores, other = one.scores, one.other
    for name, figure in scores.overall.items():
        yield TITLES[name], figure, other.overall[name] if other else None
    for name, figure in scores.dimensions.items():
        yield f"{name} CCC ({rated_how(one.rated[name])})", figure, other.dimensions.get(name) if other else None
    for label, figure in scores.classes.items():
        yield f"F1 {label}", figure, other.classes[label] if other else None
    for speaker, figure in scores.speakers.items():
        yield (
            f"calibration error, {speaker} ({scores.counts[speaker]})",
            figure,
            other.speakers[speaker] if other else None,
        )


def _cells(figure: Figure) -> tuple[str, str, str]:
    low, high = figure.interval
    return f"{figure.mean:.3f}", "" if figure.sd is None else f"{figure.sd:.3f}", f"{low:.3f} to {high:.3f}"


def _compared(figure: Figure, other: Figure | None) -> tuple[str, ...]:
    if other is None:
        return ()
    gain = figure.against(other)
    return f"{gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]", "none" if gain.none else ""
