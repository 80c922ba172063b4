"""How well valence and arousal agree with what raters said: concordance correlation, the figure of the field.

Its interval is the bootstrap over dialogues, which the sums of `RatedDimension` are enough for; those of several seeds
are pooled from the same (`pooled.py`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from typing import Any

import torch
from torch import Tensor

from erc_live.models.dimensions import DIMENSIONS, Coordinates, located
from erc_live.models.losses import concordance
from erc_live.models.training.metrics import Answers
from erc_live.models.training.resampling import interval, resamples, sums

DRAWS = 2_000


@dataclass(frozen=True)
class DimensionScore:
    """Of the `utterances` that raters placed on a dimension; `interval` holds 95 % of the CCC of resampled dialogues;
    `mae` in units of the scale, which is 2 long; `learnt`: by the network itself, else from the places of the labels.
    """

    utterances: int
    ccc: float
    interval: tuple[float, float]
    mae: float
    learnt: bool


def estimated(answers: Answers, labels: Sequence[str], own: Coordinates) -> list[tuple[float | None, float | None]]:
    """Valence and arousal of each utterance: learnt, or by the places of the labels."""
    probs = answers.logits.double().softmax(-1).tolist()
    said = [[nan] * len(DIMENSIONS)] * len(probs) if answers.dimensions is None else answers.dimensions.tolist()
    return [located(dict(zip(labels, row, strict=True)), own, values) for row, values in zip(probs, said, strict=True)]


@dataclass(frozen=True)
class RatedDimension:
    """What answers say on a dimension, where raters said something, too; `moments` are all that the CCC needs to know.

    Shapes: estimate, rating (n,); moments (dialogues, 6)
    """

    estimate: Tensor
    rating: Tensor
    moments: Tensor
    learnt: bool

    @property
    def score(self) -> DimensionScore:
        """With the interval of resampled dialogues."""
        return DimensionScore(
            utterances=len(self.rating),
            ccc=float(concordance(self.estimate, self.rating)),
            interval=interval(concordances(sums(resamples(len(self.moments), DRAWS), self.moments))),
            mae=float((self.estimate - self.rating).abs().mean()),
            learnt=self.learnt,
        )


def rated_dimensions(
    ratings: Tensor, answers: Answers, labels: Sequence[str], own: Coordinates
) -> dict[str, RatedDimension]:
    """By dimension, answers beside ratings; without those that were not rated, or on which a label has no place.

    Shapes: ratings (N, 2), NaN where there is none
    """
    places = torch.tensor(
        [[nan if place is None else place for place in row] for row in estimated(answers, labels, own)],
        dtype=torch.float64,
    ).view(-1, len(DIMENSIONS))
    found = {}
    for number, name in enumerate(DIMENSIONS):
        estimate, rating = places[:, number], ratings[:, number].double()
        both = estimate.isfinite() & rating.isfinite()
        if both.any():
            learnt = answers.dimensions is not None and bool(answers.dimensions[:, number].isfinite().any())
            moments = _moments(estimate, rating, both, answers.lengths)
            found[name] = RatedDimension(estimate[both], rating[both], moments, learnt)
    return found


def dimension_scores(
    ratings: Tensor, answers: Answers, labels: Sequence[str], own: Coordinates
) -> dict[str, DimensionScore]:
    """By dimension, what answers are worth; without those of `rated_dimensions`. Shapes: as there"""
    return {name: rated.score for name, rated in rated_dimensions(ratings, answers, labels, own).items()}


def learnt_scores(ratings: Tensor, answers: Answers, labels: Sequence[str]) -> dict[str, Any]:
    """For a card: the scores of the dimensions that were learnt, and beside each the CCC that the places of the labels
    would have reached (`ccc_of_labels`; None where a label has no place).
    """
    by_labels = dimension_scores(ratings, replace(answers, dimensions=None), labels, {})
    return {
        name: {**asdict(score), "ccc_of_labels": by_labels[name].ccc if name in by_labels else None}
        for name, score in dimension_scores(ratings, answers, labels, {}).items()
        if score.learnt
    }


def concordances(moments: Tensor) -> Tensor:
    """The CCC by sums over utterances: how many, x, y, x², y², xy; NaN of none. Shapes: (..., 6) -> (...)"""
    count, *totals = moments.unbind(-1)
    mean_x, mean_y, square_x, square_y, product = (total / count for total in totals)
    spread = square_x - mean_x.square() + square_y - mean_y.square() + (mean_x - mean_y).square()
    return 2 * (product - mean_x * mean_y) / spread


def _moments(estimate: Tensor, rating: Tensor, both: Tensor, lengths: Sequence[int]) -> Tensor:
    """Of each dialogue, the sums that `concordances` takes."""
    x, y = estimate.where(both, 0.0), rating.where(both, 0.0)
    products = torch.stack((both.double(), x, y, x * x, y * y, x * y), dim=-1)
    return torch.stack([part.sum(0) for part in torch.split(products, list(lengths))])
