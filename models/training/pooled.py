"""Scores of all seeds of a run together, with how far they are apart and how far other dialogues might move them.

Two spreads, which are not the same: the standard deviation over the seeds says what luck in training is worth, the
interval what luck in the dialogues is worth. It is a bootstrap over the dialogues in which the seeds are averaged in
each draw. Two runs are compared on the same draws; a difference whose interval holds 0 is none.
The bins of a calibration error are those of all answers in each draw, too: so it is made of sums over the dialogues. Of
few utterances it comes out too large, whatever the model; hence fewer bins of few, and nobody who said less than
`LEAST` stands alone.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

import torch
from torch import Tensor

from erc_live.models.training.calibration import BINS
from erc_live.models.training.dimension_scores import RatedDimension, concordances
from erc_live.models.training.metrics import Answers, check_same, f1_per_class, macro_f1s, weighted_f1s
from erc_live.models.training.resampling import interval, resamples, sums

DRAWS = 2_000
LEAST = 50  # labelled utterances of a speaker who stands alone
PER_BIN = 20  # utterances of a bin, at least
OTHERS = "others"


@dataclass(frozen=True)
class Gain:
    """How much larger a figure is than that of another run; `low` to `high` holds 95 % of the resamples."""

    difference: float
    low: float
    high: float

    @property
    def none(self) -> bool:
        """Whether it cannot be told from no difference at all."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True)
class Figure:
    """A score: of each seed, and of each draw of the dialogues, the seeds averaged. Shapes: drawn (DRAWS,) float64"""

    by_seed: tuple[float, ...]
    drawn: Tensor

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return mean(self.by_seed)

    @property
    def sd(self) -> float | None:
        """Over the seeds; None of one."""
        return stdev(self.by_seed) if len(self.by_seed) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """What holds 95 % of the draws."""
        return interval(self.drawn)

    def against(self, other: "Figure") -> Gain:
        """Compared with the same figure of another run, draw by draw."""
        return Gain(self.mean - other.mean, *interval(self.drawn - other.drawn))


@dataclass(frozen=True)
class PooledScores:
    """What a run reached. `overall`: weighted and macro F1 and calibration error by their names; `classes`: the F1 of
    each label; `speakers`: the calibration error of each, who said so many (`counts`) labelled utterances;
    `dimensions`: the concordance (CCC) of valence and arousal with ratings.
    """

    dialogues: int
    utterances: int
    overall: Mapping[str, Figure]
    classes: Mapping[str, Figure]
    speakers: Mapping[str, Figure]
    counts: Mapping[str, int]
    dimensions: Mapping[str, Figure] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        seeds: Sequence[Answers],
        labels: Sequence[str],
        speakers: Sequence[str],
        rated: Sequence[Mapping[str, RatedDimension]] = (),
    ) -> "PooledScores":
        """Score the answers of each seed to the same dialogues.

        Args:
            seeds: one or more.
            labels: names of the classes, in order.
            speakers: who said each utterance, by name.
            rated: of each seed, what it said on the dimensions that were rated.

        Raises:
            ValueError: the answers are not for the same dialogues.
        """
        one = seeds[0]
        check_same(seeds)
        times = resamples(len(one.lengths), DRAWS)
        confusions = [answers.confusions() for answers in seeds]
        labelled = one.labels >= 0
        who, counts = _named(speakers, labelled)

        def error(chosen: Tensor) -> Figure:
            return _figure([_gaps(answers, chosen) for answers in seeds], _calibration_errors, times)

        return cls(
            dialogues=len(one.lengths),
            utterances=int(labelled.sum()),
            overall={
                "weighted_f1": _figure(confusions, weighted_f1s, times),
                "macro_f1": _figure(confusions, macro_f1s, times),
                "calibration_error": error(labelled),
            },
            classes={
                label: _figure(confusions, lambda counts, k=number: f1_per_class(counts)[..., k], times)  # type: ignore[misc]
                for number, label in enumerate(labels)
            },
            speakers={name: error(labelled & torch.tensor([one == name for one in who])) for name in counts},
            counts=counts,
            dimensions={
                name: _figure([one[name].moments for one in rated], concordances, times)
                for name in (rated[0] if rated else ())
            },
        )


def weighted_figure(seeds: Sequence[Answers]) -> Figure:
    """The weighted F1 alone, of the answers of each seed to the same dialogues.

    Raises:
        ValueError: the answers are not for the same dialogues.
    """
    check_same(seeds)
    times = resamples(len(seeds[0].lengths), DRAWS)
    return _figure([answers.confusions() for answers in seeds], weighted_f1s, times)


def _named(speakers: Sequence[str], labelled: Tensor) -> tuple[list[str], dict[str, int]]:
    """Who said each utterance, those of few as `OTHERS`; and how many labelled ones each said, the most first."""
    by_name = Counter(name for name, one in zip(speakers, labelled.tolist(), strict=True) if one)
    who = [name if by_name[name] >= LEAST else OTHERS for name in speakers]
    counts = Counter(name for name, one in zip(who, labelled.tolist(), strict=True) if one)
    return who, dict(sorted(counts.items(), key=lambda item: (item[0] == OTHERS, -item[1])))


def _figure(by_dialogue: Sequence[Tensor], score: Callable[[Tensor], Tensor], times: Tensor) -> Figure:
    """Shapes: of each seed (dialogues, ...), which `score` takes as sums over dialogues (..., ...) -> (...)"""
    drawn = torch.stack([score(sums(times, values)) for values in by_dialogue]).mean(0)
    return Figure(tuple(float(score(values.sum(0))) for values in by_dialogue), drawn)


def _gaps(answers: Answers, chosen: Tensor) -> Tensor:
    """Confidence minus right answers, summed in each bin of equal mass over the chosen utterances; and how many.

    Shapes: chosen (N,) bool -> (dialogues, bins + 1) float64, the number last
    """
    confidence, predicted = answers.logits.double().softmax(-1).max(-1)
    order = confidence.masked_fill(~chosen, -1).argsort(stable=True)[int((~chosen).sum()) :]
    bins = max(1, min(BINS, len(order) // PER_BIN))
    place = torch.zeros(len(confidence), dtype=torch.int64)
    for number, part in enumerate(order.tensor_split(bins)):
        place[part] = number
    gaps = torch.zeros(len(confidence), bins + 1, dtype=torch.float64)
    gap = confidence - (predicted == answers.labels).double()
    gaps[order, place[order]] = gap[order]
    gaps[order, bins] = 1.0
    return torch.stack([part.sum(0) for part in torch.split(gaps, list(answers.lengths))])


def _calibration_errors(gaps: Tensor) -> Tensor:
    """NaN of nobody. Shapes: (..., bins + 1) -> (...)"""
    return gaps[..., :-1].abs().sum(-1) / gaps[..., -1]
