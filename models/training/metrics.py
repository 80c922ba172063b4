"""Scores of a classifier, all derived from the confusion matrix or from the probabilities; a few lines of torch each.

scikit-learn or torchmetrics would do the same at the price of a dependency that nothing else here needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


@dataclass(frozen=True)
class Scores:
    """What a model reached on labelled utterances; `confusion` has a row per label and a column per answer."""

    utterances: int
    weighted_f1: float
    macro_f1: float
    accuracy: float
    calibration_error: float
    f1: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, names: Sequence[str]) -> Self:
        """Score answers. Shapes: logits (N, C), labels (N,), negative where there is none."""
        logits, labels = logits[labels >= 0], labels[labels >= 0]
        counts = confusion(labels, logits.argmax(-1), len(names))
        return cls(
            utterances=len(labels),
            weighted_f1=weighted_f1(counts),
            macro_f1=macro_f1(counts),
            accuracy=accuracy(counts),
            calibration_error=calibration_error(logits.softmax(-1), labels),
            f1=dict(zip(names, f1_per_class(counts).tolist(), strict=True)),
            confusion=tuple(tuple(row) for row in counts.tolist()),
        )


def confusion(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Counts. Shapes: labels (N,), predicted (N,) -> (classes, classes) int64, row = label, column = prediction."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def f1_per_class(counts: Tensor) -> Tensor:
    """F1 = 2 TP / (2 TP + FP + FN), 0 for a class that neither occurs nor is predicted. Shapes: (C, C) -> (C,)"""
    hits = counts.diagonal()
    return (2 * hits / (counts.sum(0) + counts.sum(1)).clamp(min=1)).double()


def weighted_f1(counts: Tensor) -> float:
    """Mean F1, each class weighted by how often it occurs: the usual number for MELD."""
    support = counts.sum(1).double()
    return float((f1_per_class(counts) * support).sum() / support.sum())


def macro_f1(counts: Tensor) -> float:
    """Mean F1, each class alike: rare emotions count as much as neutral."""
    return float(f1_per_class(counts).mean())


def accuracy(counts: Tensor) -> float:
    """Share of right answers."""
    return float(counts.diagonal().sum() / counts.sum())


def calibration_error(probs: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error with bins of equal mass: mean |confidence - accuracy| over the bins.

    Shapes: probs (N, C), labels (N,). Nguyen and O'Connor 2015; 15 bins as in Guo et al. 2017.
    """
    confidence, predicted = probs.max(-1)
    order = confidence.argsort()
    right = (predicted == labels)[order].double()
    parts = zip(confidence[order].double().chunk(bins), right.chunk(bins), strict=True)
    return float(sum(abs((c - r).sum()) for c, r in parts) / len(labels))


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The T that makes softmax(logits / T) likeliest (Guo et al. 2017), to 1 %. Shapes: logits (N, C), labels (N,)."""
    labelled = labels >= 0
    steps: list[float] = torch.logspace(-1, 1, 463, base=4.0).tolist()  # 1/4 .. 4 in steps of 0.6 %
    losses = torch.stack([cross_entropy(logits[labelled] / t, labels[labelled]) for t in steps])
    return steps[int(losses.argmin())]
