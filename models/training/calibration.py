"""Whether confidences can be believed: calibration error, Brier score, likelihood, and what silence would buy.

A classifier that says 0.8 should be right in 8 of 10 such answers. Functions of tensors, for any number of classes,
over labelled utterances only.
The rule of this file: nothing is fitted on what is scored, unless the caller does so and says it.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

BINS = 15  # of equal mass
COVERAGES = tuple(step / 20 for step in range(1, 21))  # where the risk-coverage curve is kept


@dataclass(frozen=True)
class CalibrationScore:
    """`error`: expected calibration error; `brier`: 0 (sure and right) to 2; `nll`: mean of -log p(label), in nats."""

    error: float
    brier: float
    nll: float

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Self:
        """Shapes: logits (N, C), labels (N,) all at least 0."""
        probs = logits.double().softmax(-1)
        return cls(
            calibration_error(probs, labels), brier(probs, labels), float(cross_entropy(logits.double(), labels))
        )


@dataclass(frozen=True)
class RiskCoverage:
    """Share of wrong answers (`risk`) among the surest `coverage` of all, at `COVERAGES`; `area` is the mean risk over
    all coverages 1/N, 2/N, ... 1 (Geifman and El-Yaniv 2017), small if the sure are told from the unsure.
    """

    area: float
    risk: tuple[float, ...]


@dataclass(frozen=True)
class Abstention:
    """What is left when answers below `threshold` (the mean, where it differs) are withheld: `coverage` is the share
    that is answered, `accuracy` that of these, None if nothing is.
    """

    threshold: float
    coverage: float
    accuracy: float | None


def calibration_error(probs: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error with bins of equal mass: mean |confidence - accuracy| over the bins, by their mass.

    Shapes: probs (N, C), labels (N,). Nguyen and O'Connor 2015; 15 bins as in Guo et al. 2017.
    """
    return sum(abs(part.confidence - part.accuracy) * part.mass for part in reliability(probs, labels, bins))


@dataclass(frozen=True)
class Bin:
    """Answers of similar confidence: the means of them, and which share of all they are."""

    confidence: float
    accuracy: float
    mass: float


def reliability(probs: Tensor, labels: Tensor, bins: int = BINS) -> list[Bin]:
    """Answers in the order of their confidence, cut into bins of equal mass; fewer bins if there are fewer answers."""
    confidence, predicted = probs.max(-1)
    order = confidence.argsort(stable=True)
    right = (predicted == labels)[order].double()
    parts = zip(confidence[order].double().tensor_split(bins), right.tensor_split(bins), strict=True)
    return [Bin(float(c.mean()), float(r.mean()), len(c) / len(labels)) for c, r in parts if len(c)]


def brier(probs: Tensor, labels: Tensor) -> float:
    """Mean squared distance of the probabilities from the truth (Brier 1950). Shapes: probs (N, C), labels (N,)"""
    return float((probs - one_hot(labels, probs.shape[-1])).square().sum(-1).mean())


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T that makes softmax(logits / T) likeliest (Guo et al. 2017), to 1 %; 1 where nothing is labelled.

    Shapes: logits (N, C), labels (N,), negative where there is none.
    """
    labelled = labels >= 0
    if not labelled.any():
        return 1.0
    steps: list[float] = torch.logspace(-1, 1, 463, base=4.0).tolist()  # 1/4 .. 4 in steps of 0.6 %
    losses = torch.stack([cross_entropy(logits[labelled] / t, labels[labelled]) for t in steps])
    return steps[int(losses.argmin())]


def risk_coverage(probs: Tensor, labels: Tensor) -> RiskCoverage:
    """How wrong the surest answers are. Shapes: probs (N, C), labels (N,)"""
    confidence, predicted = probs.max(-1)
    wrong = (predicted != labels)[confidence.argsort(descending=True, stable=True)].double()
    risk = wrong.cumsum(0) / torch.arange(1, len(wrong) + 1)
    kept = [max(1, round(coverage * len(wrong))) for coverage in COVERAGES]
    return RiskCoverage(float(risk.mean()), tuple(float(risk[count - 1]) for count in kept))


def abstention(probs: Tensor, labels: Tensor, threshold: Tensor) -> Abstention:
    """Answer only where the highest probability reaches `threshold`. Shapes: probs (N, C), labels, threshold (N,)"""
    confidence, predicted = probs.max(-1)
    kept = confidence >= threshold
    right = (predicted == labels)[kept].double()
    return Abstention(float(threshold.mean()), float(kept.double().mean()), float(right.mean()) if len(right) else None)
