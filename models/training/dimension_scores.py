"""How well valence and arousal agree with what raters said: the figures of the field.

Concordance correlation (Lin 1989) is 1 only where the values are equal, not merely in proportion:

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from erc_live.models.corpora.dialogue import Split
from erc_live.models.dimensions import Coordinates, expected
from erc_live.models.training.metrics import Answers

DIMENSIONS = ("valence", "arousal")


@dataclass(frozen=True)
class DimensionScore:
    """Of the `utterances` that raters placed on a dimension; `mae` in units of the scale, which is 2 long."""

    utterances: int
    ccc: float
    mae: float


def dimension_scores(
    split: Split, answers: Answers, labels: Sequence[str], own: Coordinates
) -> dict[str, DimensionScore]:
    """By dimension, what the answers of a split are worth; {} where it was not rated, or a label has no place."""
    rated = [utterance for dialogue in split.dialogues for utterance in dialogue.utterances]
    probs = answers.logits.double().softmax(-1).tolist()
    places = [expected(dict(zip(labels, row, strict=True)), own) for row in probs]
    scores = {}
    for number, dimension in enumerate(DIMENSIONS):
        pairs = [
            (place[number], rating)
            for place, utterance in zip(places, rated, strict=True)
            if place is not None and (rating := getattr(utterance, dimension)) is not None
        ]
        if pairs:
            estimate, rating = torch.tensor(pairs, dtype=torch.float64).unbind(1)
            mae = float((estimate - rating).abs().mean())
            scores[dimension] = DimensionScore(len(pairs), concordance(estimate, rating), mae)
    return scores


def concordance(one: Tensor, other: Tensor) -> float:
    """Lin's concordance correlation; 0 where both are constant. Shapes: (n,), (n,)"""
    apart = (one.mean() - other.mean()).square()
    spread = one.var(correction=0) + other.var(correction=0) + apart
    covariance = ((one - one.mean()) * (other - other.mean())).mean()
    return float(2 * covariance / spread) if spread > 0 else 0.0
