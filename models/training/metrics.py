"""Scores of a classifier of dialogues: from the confusion of labels and answers, from who spoke when, from confidences.

A few lines of torch each, for any number of classes; scikit-learn would do a third of it, and the whole of it is used
here in batches of ten thousand (`paired_bootstrap`). What has no label is context and never scored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from erc_live.models.training.calibration import (
    Abstention,
    CalibrationScore,
    RiskCoverage,
    abstention,
    risk_coverage,
)
from erc_live.models.training.resampling import interval, resamples, sums

FIRST = 5  # utterances that open a dialogue: there is little context yet
CONFUSED = 5  # pairs of labels that are named


@dataclass(frozen=True)
class Answers:
    """What a model said of dialogues, one after the other.

    Shapes: logits (N, C); labels (N,) int64, negative where there is none; speakers (N,) int64; lengths of the
    dialogues, N in sum; dimensions (N, 2), NaN where the model has not learnt one, None: nobody asked.
    """

    logits: Tensor
    labels: Tensor
    speakers: Tensor
    lengths: tuple[int, ...]
    dimensions: Tensor | None = None

    def scored(self) -> tuple[Tensor, Tensor]:
        """Logits and labels where there is a label."""
        labelled = self.labels >= 0
        return self.logits[labelled], self.labels[labelled]

    def chosen(self, dialogues: Sequence[int]) -> "Answers":
        """Those for some of the dialogues, in the given order."""

        def rows(of: Tensor) -> Tensor:
            split = torch.split(of, list(self.lengths))
            return torch.cat([of[:0], *(split[place] for place in dialogues)])

        return Answers(
            rows(self.logits),
            rows(self.labels),
            rows(self.speakers),
            tuple(self.lengths[place] for place in dialogues),
            None if self.dimensions is None else rows(self.dimensions),
        )

    def for_each(self, value: float | Tensor) -> Tensor:
        """One number, or one for each answer (N,), for the answers that `scored` gives."""
        return torch.as_tensor(value, dtype=torch.float64).expand(len(self.labels))[self.labels >= 0]

    def weighted_f1(self) -> float:
        """Of the labelled utterances of all dialogues."""
        return weighted_f1(self.confusions().sum(0))

    def confusions(self) -> Tensor:
        """The confusion of each dialogue. Shapes: -> (dialogues, C, C) int64"""
        parts = (torch.split(rows, list(self.lengths)) for rows in (self.labels, self.logits.argmax(-1)))
        classes = self.logits.shape[-1]
        return torch.stack([confusion(y[y >= 0], p[y >= 0], classes) for y, p in zip(*parts, strict=True)])


@dataclass(frozen=True)
class ClassScores:
    """How well one label is found: `support` is how often it occurs."""

    f1: float
    precision: float
    recall: float
    support: int


@dataclass(frozen=True)
class Confused:
    """A label that was taken for another `count` times, which is `share` of its occurrences."""

    label: str
    answer: str
    count: int
    share: float


@dataclass(frozen=True)
class PartScore:
    """The score of a part of the utterances; None where there are none."""

    utterances: int
    weighted_f1: float | None


@dataclass(frozen=True)
class Shift:
    """Utterances whose speaker has an earlier label in the dialogue, apart by whether that label `changed`; and how
    well the change itself is found (F1, precision and recall of "changed").

    The answer has changed if it differs from the answer for that same earlier utterance.
    """

    changed: PartScore
    unchanged: PartScore
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Scores:
    """What a model reached; these fields are those of `--json`.

    `confusion` has a row per label and a column per answer, in the order of `classes`; `confused` names its largest
    mistakes. `position`: the first `FIRST` utterances of each dialogue and the rest. `speakers`: by how many speak in
    the dialogue. `calibration` is that of the probabilities as the weights give them; `unscaled` that before the
    `temperature` on the card, the mean where modalities differ, both None if it is not told. `abstention` is at the
    threshold of the card.
    """

    dialogues: int
    utterances: int
    weighted_f1: float
    macro_f1: float
    accuracy: float
    uar: float
    classes: dict[str, ClassScores]
    confusion: tuple[tuple[int, ...], ...]
    confused: tuple[Confused, ...]
    shift: Shift
    position: dict[str, PartScore]
    speakers: dict[str, PartScore]
    calibration: CalibrationScore
    temperature: float | None
    unscaled: CalibrationScore | None
    risk_coverage: RiskCoverage
    abstention: Abstention | None

    @classmethod
    def of(
        cls,
        answers: Answers,
        labels: Sequence[str],
        threshold: float | Tensor | None = None,
        temperature: float | Tensor | None = None,
    ) -> Self:
        """Score answers.

        Args:
            answers: at least one of them with a label.
            labels: names of the classes, in order.
            threshold: of the confidence, below which the model is not certain; one, or one for each answer (N,).
            temperature: by which the logits have been divided already; one, or one for each answer (N,).
        """
        divisors = None if temperature is None else answers.for_each(temperature)
        logits, y = answers.scored()
        counts, probs = confusion(y, logits.argmax(-1), len(labels)), logits.double().softmax(-1)
        return cls(
            dialogues=len(answers.lengths),
            utterances=len(y),
            weighted_f1=weighted_f1(counts),
            macro_f1=macro_f1(counts),
            accuracy=accuracy(counts),
            uar=uar(counts),
            classes=dict(zip(labels, _by_class(counts), strict=True)),
            confusion=tuple(tuple(row) for row in counts.tolist()),
            confused=_confused(counts, labels),
            shift=_shift(answers),
            position=_by_position(answers),
            speakers=_by_speakers(answers),
            calibration=CalibrationScore.of(logits, y),
            temperature=None if divisors is None else float(divisors.mean()),
            unscaled=None if divisors is None else CalibrationScore.of(logits * divisors[:, None], y),
            risk_coverage=risk_coverage(probs, y),
            abstention=None if threshold is None else abstention(probs, y, answers.for_each(threshold)),
        )

    def for_card(self) -> dict[str, Any]:
        """What a model card keeps, as JSON: the figures that a reader compares, and the confusion."""
        kept = ("dialogues", "utterances", "weighted_f1", "macro_f1", "accuracy", "uar", "classes", "confusion")
        whole = asdict(self)
        return {name: whole[name] for name in (*kept, "calibration", "temperature", "unscaled", "abstention")}


def confusion(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Counts. Shapes: labels (N,), predicted (N,) -> (classes, classes) int64, row = label, column = prediction."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def f1_per_class(counts: Tensor) -> Tensor:
    """F1 = 2 TP / (2 TP + FP + FN), 0 for a class that neither occurs nor is predicted.

    Shapes: (..., C, C) -> (..., C)
    """
    return _ratio(2 * _hits(counts), counts.sum(-2) + counts.sum(-1))


def precision_per_class(counts: Tensor) -> Tensor:
    """TP / (TP + FP), 0 for a class that is never predicted. Shapes: (..., C, C) -> (..., C)"""
    return _ratio(_hits(counts), counts.sum(-2))


def recall_per_class(counts: Tensor) -> Tensor:
    """TP / (TP + FN), 0 for a class that never occurs. Shapes: (..., C, C) -> (..., C)"""
    return _ratio(_hits(counts), counts.sum(-1))


def weighted_f1s(counts: Tensor) -> Tensor:
    """Mean F1, each class weighted by how often it occurs; NaN if none does. Shapes: (..., C, C) -> (...)"""
    support = counts.sum(-1).double()
    return (f1_per_class(counts) * support).sum(-1) / support.sum(-1)


def weighted_f1(counts: Tensor) -> float:
    """Mean F1, each class weighted by how often it occurs: the usual number for MELD. Shapes: counts (C, C)"""
    return float(weighted_f1s(counts))


def macro_f1(counts: Tensor) -> float:
    """Mean F1, each class alike, of the classes that occur or are answered: rare emotions count as much as neutral."""
    return float(macro_f1s(counts))


def macro_f1s(counts: Tensor) -> Tensor:
    """As `macro_f1`, of many; NaN where nothing occurs. Shapes: (..., C, C) -> (...)"""
    known = (counts.sum(-2) + counts.sum(-1)) > 0
    return f1_per_class(counts).sum(-1) / known.sum(-1)  # of a class that is not known, F1 is 0


def accuracy(counts: Tensor) -> float:
    """Share of right answers."""
    return float(counts.diagonal().sum().double() / counts.sum())


def uar(counts: Tensor) -> float:
    """Unweighted average recall of the classes that occur; also called balanced accuracy."""
    return float(recall_per_class(counts)[counts.sum(1) > 0].mean())


@dataclass(frozen=True)
class ScoreDifference:
    """How much better the second of two models is than the first, in weighted F1: `low` to `high` holds 95 % of the
    resamples; `p` is how likely a difference as large would be by chance, two-sided.
    """

    weighted_f1: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    first: Sequence[Answers], second: Sequence[Answers], draws: int = 10_000, seed: int = 0
) -> ScoreDifference:
    """Compare two models, or two configurations with one model per seed each, on the same dialogues.

    Dialogues are drawn again with replacement, for utterances of one dialogue are not independent; the scores of the
    models of a configuration are averaged in each draw. Efron and Tibshirani 1993; p counts draws on the other side of
    0, doubled, with one added so that it is never 0.

    Raises:
        ValueError: the answers are not for the same dialogues.
    """
    check_same([*first, *second])
    times = resamples(len(first[0].lengths), draws, seed)
    (before, firsts), (after, seconds) = (_resampled(models, times) for models in (first, second))
    gains = (seconds - firsts).nan_to_num(0.0)  # a draw without any label says nothing
    beyond = min(int((gains <= 0).sum()), int((gains >= 0).sum()))
    return ScoreDifference(after - before, *interval(gains), min(1.0, 2 * (beyond + 1) / (draws + 1)))


def check_same(several: Sequence[Answers]) -> None:
    """Raises ValueError where the answers are not for the same dialogues."""
    one = several[0]
    if any(other.lengths != one.lengths or not torch.equal(other.labels, one.labels) for other in several):
        raise ValueError("only answers for the same dialogues can be compared")


def bootstrap(models: Sequence[Answers], draws: int = 2_000, seed: int = 0) -> tuple[float, float]:
    """Where 95 % of the mean weighted F1 of some models lies when dialogues are drawn again with replacement."""
    return interval(_resampled(models, resamples(len(models[0].lengths), draws, seed))[1])


def _resampled(models: Sequence[Answers], times: Tensor) -> tuple[float, Tensor]:
    """The mean weighted F1 of some models, and that of each draw of the dialogues. Shapes: times (draws, dialogues)"""
    by_dialogue = torch.stack([answers.confusions() for answers in models]).double()  # (models, dialogues, C, C)
    drawn = torch.stack([weighted_f1s(sums(times, counts)) for counts in by_dialogue])
    return float(weighted_f1s(by_dialogue.sum(1)).mean()), drawn.mean(0)


def _hits(counts: Tensor) -> Tensor:
    return counts.diagonal(dim1=-2, dim2=-1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp(min=1).double(), 0.0)


def _by_class(counts: Tensor) -> Iterator[ClassScores]:
    columns = (f1_per_class(counts), precision_per_class(counts), recall_per_class(counts), counts.sum(1))
    return (ClassScores(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


def _confused(counts: Tensor, labels: Sequence[str]) -> tuple[Confused, ...]:
    support = counts.sum(1).tolist()
    pairs = [
        Confused(labels[y], labels[p], count, count / support[y])
        for y, row in enumerate(counts.tolist())
        for p, count in enumerate(row)
        if y != p and count
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.count)[:CONFUSED])


def _part(answers: Answers, chosen: Tensor) -> PartScore:
    chosen = chosen & (answers.labels >= 0)
    if not chosen.any():
        return PartScore(0, None)
    counts = confusion(answers.labels[chosen], answers.logits[chosen].argmax(-1), answers.logits.shape[-1])
    return PartScore(int(chosen.sum()), weighted_f1(counts))


def _by_position(answers: Answers) -> dict[str, PartScore]:
    position = torch.cat([torch.arange(length) for length in answers.lengths])
    return {f"first_{FIRST}": _part(answers, position < FIRST), "rest": _part(answers, position >= FIRST)}


def _by_speakers(answers: Answers) -> dict[str, PartScore]:
    who = torch.split(answers.speakers, list(answers.lengths))
    number = torch.cat([torch.full_like(part, len(torch.unique(part))) for part in who])
    parts = {"one": number == 1, "two": number == 2, "three_or_more": number > 2}
    return {name: _part(answers, chosen) for name, chosen in parts.items()}


def _shift(answers: Answers) -> Shift:
    earlier = previous(answers)
    told = earlier >= 0
    predicted = answers.logits.argmax(-1)
    changed = told & (answers.labels != answers.labels[earlier])
    answered = told & (predicted != predicted[earlier])
    counts = confusion(changed[told].long(), answered[told].long(), 2)
    columns = (f1_per_class(counts), precision_per_class(counts), recall_per_class(counts))
    return Shift(_part(answers, changed), _part(answers, told & ~changed), *(float(column[1]) for column in columns))


def previous(answers: Answers) -> Tensor:
    """For each labelled utterance the index of the last one before it with a label and of the same speaker in the same
    dialogue; -1 where there is none. Shapes: -> (N,) int64
    """
    found = torch.full_like(answers.labels, -1)
    labels, speakers, start = answers.labels.tolist(), answers.speakers.tolist(), 0
    for length in answers.lengths:
        last: dict[int, int] = {}
        for at in range(start, start + length):
            if labels[at] >= 0:
                found[at] = last.get(speakers[at], -1)
                last[speakers[at]] = at
        start += length
    return found
