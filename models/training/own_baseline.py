"""Whether it helps to know how a person usually sounds: features against the person's own first utterances.

The deviation of an utterance is its features minus their mean over the first utterances of the same person, which
need no labels. Every answer is about somebody whom the classifier has not heard: it is a logistic regression on the
features and their squares, fitted on all people but one. Differences are resampled by person (paired bootstrap), for
the utterances of one person are not independent.
The rule of this file: what is a baseline is never scored, and both sides of a comparison are scored on the same rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from erc_live.models.blocks.fusion import RobustScale
from erc_live.models.training.logistic_regression import logistic_regression
from erc_live.models.training.resampling import interval, resamples, sums

RIDGE = 1e-2  # of the squared weights, in the loss
LEAST = 3  # people on a side: one is judged by what the others taught
DRAWS = 5_000


@dataclass(frozen=True)
class Voices:
    """Utterances of several people. Shapes: people (n,) int64, labels (n,) int64 from 0, prosody (n, D) in raw units,
    NaN where not measured; log_probs (n, classes) of a voice network.
    """

    people: Tensor
    labels: Tensor
    prosody: Tensor
    log_probs: Tensor

    def of(self, people: Sequence[int]) -> "Voices":
        """Those of some people."""
        chosen = torch.isin(self.people, torch.tensor(list(people)))
        return Voices(self.people[chosen], self.labels[chosen], self.prosody[chosen], self.log_probs[chosen])


@dataclass(frozen=True)
class Comparison:
    """Unweighted average recall without and with the baseline; `low` to `high` hold 95 % of the resampled gains."""

    what: str
    people: int
    utterances: int
    without: float
    with_baseline: float
    low: float
    high: float


def compare(voices: Voices, unheard: Sequence[int], first: int, seed: int = 0) -> list[Comparison]:
    """What a baseline of the `first` utterances of each person is worth, in a random order that `seed` gives.

    Args:
        voices: of all people.
        unheard: people whom the voice network did not learn from: it is judged on them alone.
        first: utterances of the baseline.
        seed: of the order.

    Raises:
        ValueError: somebody has too few utterances, or there are fewer than three people on a side.
    """
    new = voices.of(unheard)
    if min(len(_persons(voices.people)), len(_persons(new.people))) < LEAST:
        raise ValueError(f"a comparison needs {LEAST} people whom the voice network did not learn from")
    usual, usual_new = (_first(each.people, first, seed) for each in (voices, new))
    deviation = _deviation(voices.prosody, voices.people, usual)
    values = leave_one_out([voices.prosody], voices)
    beside = leave_one_out([voices.prosody, deviation], voices)
    known = [new.log_probs, new.prosody]
    deviation_new = _deviation(new.prosody, new.people, usual_new)
    shifted = new.log_probs + _deviation(new.log_probs, new.people, usual_new) + new.log_probs.mean(0)
    return [
        _comparison("prosody: deviation alone", voices, usual, values, leave_one_out([deviation], voices)),
        _comparison("prosody: and deviation", voices, usual, values, beside),
        _comparison(
            "voice, prosody: and deviation",
            new,
            usual_new,
            leave_one_out(known, new),
            leave_one_out([*known, deviation_new], new),
        ),
        _comparison("voice: less half of its mean", new, usual_new, new.log_probs.argmax(1), shifted.argmax(1)),
    ]


def leave_one_out(features: Sequence[Tensor], voices: Voices) -> Tensor:
    """The answers about each person of what was fitted on all others. Shapes: features (n, D) each -> (n,) int64"""
    values, answers = torch.cat(list(features), 1), torch.empty_like(voices.labels)
    for person in _persons(voices.people):
        own = voices.people == person
        scale = RobustScale(values.shape[1])
        scale.fit(values[~own].float())
        scaled = scale(values.float())[:, : values.shape[1]]
        inputs = torch.cat((scaled, scaled.square()), 1)
        weight, bias = logistic_regression(inputs[~own], voices.labels[~own], int(voices.labels.max()) + 1, RIDGE)
        answers[own] = (inputs[own] @ weight.T + bias).argmax(1)
    return answers


def _persons(people: Tensor) -> list[int]:
    """Each once, by number. Shapes: (n,)"""
    return sorted(set(people.tolist()))


def _first(people: Tensor, count: int, seed: int) -> Tensor:
    """Which utterances are the first of each person. Shapes: (n,) -> (n,) bool"""
    generator, first = Generator().manual_seed(seed), torch.zeros(len(people), dtype=torch.bool)
    for person in _persons(people):
        own = torch.nonzero(people == person)[:, 0]
        if len(own) <= count:
            raise ValueError(f"person {person} has {len(own)} utterances: nothing is left after {count}")
        first[own[torch.randperm(len(own), generator=generator)[:count]]] = True
    return first


def _deviation(values: Tensor, people: Tensor, usual: Tensor) -> Tensor:
    """Shapes: values (n, D), usual (n,) bool: the baseline -> (n, D)"""
    means = {person: values[(people == person) & usual].nanmean(0) for person in _persons(people)}
    return values - torch.stack([means[int(person)] for person in people])


def _comparison(what: str, voices: Voices, usual: Tensor, without: Tensor, with_it: Tensor) -> Comparison:
    rest = ~usual
    people, classes = _persons(voices.people), int(voices.labels.max()) + 1
    # right answers without and with it, and utterances, of each person and class: (people, classes, 3)
    kinds = torch.stack((without == voices.labels, with_it == voices.labels, torch.ones_like(rest)), 1) & rest[:, None]
    one_hot = F.one_hot(voices.labels, classes).double()
    counts = torch.stack([one_hot[own].T @ kinds[own].double() for own in (voices.people == p for p in people)])
    times = resamples(len(people), DRAWS)
    before, after = _recall(counts.sum(0)[None])[0].tolist()
    resampled = _recall(sums(times, counts))
    low, high = interval(resampled[:, 1] - resampled[:, 0])
    return Comparison(what, len(people), int(rest.sum()), before, after, low, high)


def _recall(counts: Tensor) -> Tensor:
    """Unweighted average recall of both sides. Shapes: (draws, classes, 3) -> (draws, 2)"""
    there = counts[..., 2:] > 0
    recall = torch.where(there, counts[..., :2] / counts[..., 2:].clamp(min=1), 0.0)
    return recall.sum(1) / there.sum(1).clamp(min=1)
