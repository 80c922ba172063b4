"""What the losses of the published networks take from the train split: weights of the classes, and which look alike.

- frequency f_c: the share of a label among the labelled utterances; the weights of the losses are 1 / f_c, as released.
- alpha of SAFSD-GLNet: released for IEMOCAP as "by class frequencies", without a rule. Its six numbers are within 0.005
  of (1 - f_c) / (C - 1), which is what other corpora get.
- similarity of SAFSD-GLNet: released for IEMOCAP alone. Others get `losses.class_similarity` of the mistakes that ridge
  regression, all labels counting alike, makes on the vectors of train: five folds over whole dialogues, each answered
  by what the others taught.
The rule of this file: no number comes from dev or test.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from erc_live.models.corpora.iemocap import SIX
from erc_live.models.losses import class_similarity
from erc_live.models.networks.safsd_glnet import IEMOCAP_ALPHA, IEMOCAP_SIMILARITY
from erc_live.models.training.dialogue_dataset import EncodedDialogues, Example
from erc_live.models.training.metrics import confusion

FOLDS = 5
RIDGE = 0.01  # of the mean square of a feature, per utterance
IEMOCAP_LABELS = tuple(SIX.values())  # the order in which the release gives its numbers


def from_train(network: str, data: EncodedDialogues, *, weigh: bool) -> dict[str, Any]:
    """What the configuration of a network holds of its training data.

    Args:
        network: its name in the registry.
        data: the dialogues; similarity is that of the vectors that they have by now, among which tuned text is not.
        weigh: whether the loss of the network gives rare classes more weight.
    """
    found: dict[str, Any] = {"class_weights": weights(data.counts)} if weigh else {}
    if network == "safsd_glnet":
        found |= {"alpha": alpha(data), "similarity": similarity(data)}
    return found


def weights(counts: Tensor) -> tuple[float, ...]:
    """1 / frequency of each class. Shapes: counts (C,)"""
    return tuple((1.0 / frequencies(counts)).tolist())


def frequencies(counts: Tensor) -> Tensor:
    """The share of each class; of one that never occurs, as if it did once. Shapes: counts (C,) -> (C,)"""
    present = counts.clamp(min=1).float()
    return present / present.sum()


def alpha(data: EncodedDialogues) -> tuple[float, ...]:
    """How much each class counts in the SAF loss of SAFSD-GLNet, in the order of the labels."""
    if order := _released_order(data.labels):
        return tuple(IEMOCAP_ALPHA[place] for place in order)
    shares = (1.0 - frequencies(data.counts)) / max(len(data.labels) - 1, 1)
    return tuple(shares.tolist())


def similarity(data: EncodedDialogues) -> tuple[tuple[float, ...], ...]:
    """How alike the classes are, a row for each true class, both in the order of the labels."""
    if order := _released_order(data.labels):
        return tuple(tuple(IEMOCAP_SIMILARITY[row][column] for column in order) for row in order)
    mistakes = out_of_fold_confusion(data.train, len(data.labels))
    return tuple(tuple(row) for row in class_similarity(mistakes).tolist())


def out_of_fold_confusion(dialogues: Sequence[Example], classes: int) -> Tensor:
    """Counts of what ridge regression on the vectors takes each label for, each dialogue answered by other folds.

    All labels count alike, or it would take the rare ones for the frequent ones, whatever they look like. A modality
    that is missing counts as its mean.

    Shapes: -> (classes, classes), a row for each label
    """
    labels = torch.cat([example.labels for example in dialogues])
    fold = torch.cat([torch.full((len(one),), place % FOLDS) for place, one in enumerate(dialogues)])[labels >= 0]
    rows = _features(dialogues)[labels >= 0]
    labels = labels[labels >= 0]
    targets = functional.one_hot(labels, classes).to(rows)
    weighed = rows / (classes * frequencies(targets.sum(0)))[labels, None]  # 1 in the mean
    parts = [fold == number for number in range(FOLDS)]
    squares = torch.stack([weighed[part].T @ rows[part] for part in parts])  # (FOLDS, D, D)
    hits = torch.stack([weighed[part].T @ targets[part] for part in parts])  # (FOLDS, D, C)
    pull = RIDGE * len(rows) * torch.eye(rows.shape[1], dtype=rows.dtype)
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    for number, part in enumerate(parts):
        learnt = torch.linalg.solve(squares.sum(0) - squares[number] + pull, hits.sum(0) - hits[number])
        counts += confusion(labels[part], (rows[part] @ learnt).argmax(1), classes)
    return counts


def _features(dialogues: Sequence[Example]) -> Tensor:
    """All vectors side by side and a 1, each number with mean 0 and deviation 1. Shapes: -> (N, D)"""
    columns = []
    for modality in range(3):
        vectors = torch.cat([example.utterances.vectors()[modality] for example in dialogues]).double()
        present = torch.cat([example.utterances.present[:, modality] for example in dialogues])
        vectors = torch.where(present[:, None] & vectors.isfinite(), vectors, torch.nan)
        centred = (vectors - vectors.nanmean(0)).nan_to_num(0.0)
        columns.append(centred / centred.square().mean(0).sqrt().clamp(min=1e-6))
    return torch.cat((*columns, torch.ones(len(columns[0]), 1, dtype=torch.float64)), dim=1)


def _released_order(labels: Sequence[str]) -> list[int]:
    """Where the release has each label; empty where these are not its six."""
    return [IEMOCAP_LABELS.index(label) for label in labels] if set(labels) == set(IEMOCAP_LABELS) else []
