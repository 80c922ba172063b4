"""What is told of weights before they are written: the temperature that goes into them, and confidences and scores for
their card.

The rule of this file: it asks a function for answers, and does not know whether weights give them or, in folds, each
dialogue is answered by a run that never learnt from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from erc_live.models.card import Card, Confidence
from erc_live.models.training.calibration import temperature
from erc_live.models.training.confidences import by_modalities, calibrated, certain_from, confidences, present
from erc_live.models.training.dialogue_dataset import Example
from erc_live.models.training.dimension_scores import learnt_scores
from erc_live.models.training.metrics import Answers, Scores
from erc_live.models.training.ratings import ratings

Answering: TypeAlias = Callable[[Sequence[Example]], Answers]


@dataclass(frozen=True)
class Judged:
    """`temperature` is for all logits; the rest is as on a `Card`."""

    temperature: float
    abstain_below: float
    by_modalities: Mapping[str, Confidence]
    scores: Mapping[str, Any]


def judge(answer: Answering, fitted: Mapping[str, Sequence[Example]], labels: tuple[str, ...], **more: Any) -> Judged:
    """Fit temperature and thresholds on dialogues, and score them.

    Args:
        answer: gives logits.
        fitted: dialogues by the name of their scores; on all of them together temperature and thresholds are fitted.
        labels: names of the classes, in order.
        more: further dialogues that are only scored, likewise.
    """
    every = [example for part in fitted.values() for example in part]
    answers = answer(every)
    divisor = temperature(answers.logits, answers.labels)
    logits, known = cooled(answers, divisor).scored()

    def scaled(data: Sequence[Example]) -> Answers:
        return cooled(answer(data), divisor)

    draft = Card(
        network="",
        config={},
        labels=labels,
        encoders={},
        scores={},
        training={},
        abstain_below=certain_from(logits.softmax(-1), known),
        by_modalities=by_modalities(scaled, every),
    )
    parts = {**fitted, **more}
    scores = {name: _scores(scaled, draft, part, divisor) for name, part in parts.items() if part}
    return Judged(divisor, draft.abstain_below, draft.by_modalities, scores)


def cooled(answers: Answers, divisor: float) -> Answers:
    """Answers of weights that a temperature was applied to."""
    return replace(answers, logits=answers.logits / divisor)


def _scores(scaled: Answering, card: Card, data: Sequence[Example], divisor: float) -> dict[str, Any]:
    """What the card keeps of some dialogues, scored as the card says; `divisor` has been applied."""
    there = present(data)
    temperatures, thresholds = confidences(card, there)
    answers = calibrated(scaled(data), card, there)
    scores = Scores.of(answers, card.labels, thresholds, divisor * temperatures).for_card()
    dimensions = learnt_scores(ratings(data), answers, card.labels)
    return {**scores, **({"dimensions": dimensions} if dimensions else {})}
