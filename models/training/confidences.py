"""Temperature and threshold by what an utterance has: words are surer than a voice, and are scaled on their own.

One temperature for all is that of the words, by which most decisions are made; what prosody alone says it leaves, or
makes, too sure. So each subset of the modalities gets its own, fitted on dev with the others left out, on top of the
one that is in the weights already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from erc_live.models.card import Card, Confidence
from erc_live.models.losses import UNLABELLED
from erc_live.models.modalities import MODALITIES
from erc_live.models.training.calibration import temperature
from erc_live.models.training.dialogue_dataset import FEW, Example, modalities_of, only
from erc_live.models.training.metrics import Answers

CERTAIN = 0.7  # accuracy on dev of the answers that are shown as certain


def by_modalities(answer: Callable[[Sequence[Example]], Answers], dev: Sequence[Example]) -> dict[str, Confidence]:
    """The confidence of each subset of the modalities that `FEW` labelled utterances or more can be left with.

    `answer` gives logits to which the temperature of all has been applied.
    """
    there, found = modalities_of(dev), {}
    for subset in (names for size in range(1, len(there) + 1) for names in combinations(there, size)):
        data = only(dev, subset)
        left = present(data).eq(torch.tensor([name in subset for name in MODALITIES])).all(1)
        answers = answer(data)
        labels = answers.labels.where(left, UNLABELLED)
        if (labels >= 0).sum() < FEW:
            continue
        divisor = temperature(answers.logits, labels)
        logits, known = replace(answers, logits=answers.logits / divisor, labels=labels).scored()
        threshold = certain_from(logits.softmax(-1), known)
        found["".join(name[0] for name in subset)] = Confidence(divisor, threshold)
    return found


def present(data: Sequence[Example]) -> Tensor:
    """Which modalities each utterance has, dialogue after dialogue. Shapes: -> (N, 3) bool"""
    return torch.cat([example.utterances.present for example in data])


def confidences(card: Card, there: Tensor) -> tuple[Tensor, Tensor]:
    """Temperatures and thresholds of utterances. Shapes: there (N, 3) bool, as of `present` -> (N,), (N,)"""
    known: Mapping[tuple[bool, ...], Confidence] = {
        row: card.confidence([name for name, one in zip(MODALITIES, row, strict=True) if one])
        for row in set(map(tuple, there.tolist()))
    }
    found = [known[tuple(row)] for row in there.tolist()]
    columns = ([one.temperature for one in found], [one.abstain_below for one in found])
    temperatures, thresholds = (torch.tensor(column, dtype=torch.float64) for column in columns)
    return temperatures, thresholds


def calibrated(answers: Answers, card: Card, there: Tensor) -> Answers:
    """The answers, as sure as the card says of utterances that have these modalities."""
    return replace(answers, logits=answers.logits / confidences(card, there)[0][:, None])


def certain_from(probs: Tensor, labels: Tensor, accuracy: float = CERTAIN) -> float:
    """The least confidence from which on answers are right often enough; 1 if that is nowhere so.

    Of all thresholds whose answers reach the accuracy it is the one that leaves the most answers. Where all answers
    reach it, it is the least confidence that dev has: of less, nothing is known.
    Shapes: probs (N, C), labels (N,)
    """
    confidence, predicted = probs.max(-1)
    order = confidence.argsort(descending=True, stable=True)
    right = (predicted == labels)[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    enough = (right >= accuracy).nonzero()
    if not len(enough):
        return 1.0
    return float(confidence[order[int(enough[-1])]])
