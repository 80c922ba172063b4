"""How well valence and arousal agree with what raters said: concordance correlation, the figure of the field.

Its interval is the bootstrap over dialogues, which the sums of `_moments` are enough for.
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


def dimension_scores(
    ratings: Tensor, answers: Answers, labels: Sequence[str], own: Coordinates
) -> dict[str, DimensionScore]:
    """By dimension, what answers are worth; {} where it was not rated, or a label has no place.

    Shapes: ratings (N, 2), NaN where there is none
    """
    places = torch.tensor(
        [[nan if place is None else place for place in row] for row in estimated(answers, labels, own)],
        dtype=torch.float64,
    ).view(-1, len(DIMENSIONS))
    scores = {}
    for number, name in enumerate(DIMENSIONS):
        estimate, rating = places[:, number], ratings[:, number].double()
        both = estimate.isfinite() & rating.isfinite()
        if both.any():
            x, y = estimate[both], rating[both]
            learnt = answers.dimensions is not None and bool(answers.dimensions[:, number].isfinite().any())
            scores[name] = DimensionScore(
                utterances=len(x),
                ccc=float(concordance(x, y)),
                interval=_interval(estimate, rating, both, answers.lengths),
                mae=float((x - y).abs().mean()),
                learnt=learnt,
            )
    return scores


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


def _interval(estimate: Tensor, rating: Tensor, both: Tensor, lengths: Sequence[int]) -> tuple[float, float]:
    x, y = estimate.where(both, 0.0), rating.where(both, 0.0)
    products = torch.stack((both.double(), x, y, x * x, y * y, x * y), dim=-1)
    by_dialogue = torch.stack([part.sum(0) for part in torch.split(products, list(lengths))])
    drawn = sums(resamples(len(by_dialogue), DRAWS), by_dialogue)
    count, *totals = drawn.unbind(-1)
    mean_x, mean_y, square_x, square_y, product = (total / count for total in totals)
    spread = square_x - mean_x.square() + square_y - mean_y.square() + (mean_x - mean_y).square()
    return interval(2 * (product - mean_x * mean_y) / spread)
