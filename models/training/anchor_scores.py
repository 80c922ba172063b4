"""What labels made of so many example sentences are worth, on a corpus whose labels are known.

Sentences are drawn from train, read without what was said before them, as a person would write them down; dev is read
as a session reads it. The spread is that over draws of the sentences, not over dialogues. Where the encoder has been
trained on these very labels and sentences, as the shipped one on those of MELD, it knows more than it will of labels
that are new to it: the figures are then an upper bound.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan
from typing import Any

import torch
from torch import Tensor

from erc_live.models.checkpoint import Checkpoint
from erc_live.models.errors import CorpusError
from erc_live.models.training.anchors import drawn, made_of_anchors
from erc_live.models.training.dialogue_dataset import Example, only
from erc_live.models.training.evaluation import classify
from erc_live.models.training.metrics import Answers, Scores
from erc_live.models.training.resampling import interval


@dataclass(frozen=True)
class DrawnFigure:
    """A figure over the draws: their mean, and what holds 95 % of them."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class AnchorScores:
    """By number of sentences a label: each figure. `certain`: the share of answers that are shown as certain; `right`:
    of these. `trained` and `majority`: weighted and macro F1 of the weights, and of always giving the likeliest label.
    """

    by_size: Mapping[int, Mapping[str, DrawnFigure]]
    trained: Mapping[str, float]
    majority: Mapping[str, float]

    def plain(self) -> dict[str, Any]:
        """For JSON, which has no NaN: of nothing that was certain, what was right is None."""
        by_size = {
            str(size): {
                name: {part: None if isnan(value) else value for part, value in asdict(figure).items()}
                for name, figure in row.items()
            }
            for size, row in self.by_size.items()
        }
        return {"by_size": by_size, "trained": dict(self.trained), "majority": dict(self.majority)}


def anchor_scores(
    loaded: Checkpoint,
    dev: Sequence[Example],
    train: Sequence[Example],
    sizes: Sequence[int],
    draws: int,
    encode: Callable[[Sequence[str]], Tensor],
) -> AnchorScores:
    """Measure it.

    Args:
        loaded: weights that were trained on these labels.
        dev: encoded as they read it.
        train: where the sentences are drawn from, with labels but no text vectors.
        sizes: sentences of each label.
        draws: how often they are drawn, with seeds 0, 1, ...
        encode: the text vectors of sentences without a past (n, D).

    Raises:
        CorpusError: a label has no sentence in train.
    """
    texts = [text for example in train for text in example.texts]
    labels = torch.cat([example.labels for example in train])
    classes = loaded.card.labels
    if empty := [label for number, label in enumerate(classes) if not (labels == number).any()]:
        raise CorpusError(f"no utterance of train is labelled {', '.join(empty)}: sentences of every label are needed")
    chosen = {(size, seed): drawn(labels, size, seed) for size in sizes for seed in range(draws)}
    places = torch.unique(torch.cat(list(chosen.values())))
    vectors = torch.zeros(len(texts), dev[0].utterances.text.shape[1])
    vectors[places] = encode([texts[place] for place in places.tolist()])
    words = only(dev, ["text"])
    rows: dict[int, list[Scores]] = {size: [] for size in sizes}
    for (size, _), anchors in chosen.items():
        model, threshold = made_of_anchors(vectors[anchors], labels[anchors])
        rows[size].append(Scores.of(classify(model, _words_alone(words)), classes, threshold))
    return AnchorScores(
        {size: _spreads(scores) for size, scores in rows.items()},
        _f1(classify(loaded.model, words), classes),
        _f1(_majority(words, len(classes)), classes),
    )


def _words_alone(dialogues: Sequence[Example]) -> list[Example]:
    """As a network takes them that knows of no other modality."""
    dims = (dialogues[0].utterances.text.shape[1], 0, 0)
    return [replace(example, utterances=example.utterances.widened(dims)) for example in dialogues]


def _majority(dev: Sequence[Example], classes: int) -> Answers:
    labels = torch.cat([example.labels for example in dev])
    likeliest = torch.bincount(labels[labels >= 0], minlength=classes).argmax()
    logits = torch.nn.functional.one_hot(likeliest.expand(len(labels)), classes).float()
    speakers = torch.cat([example.utterances.speakers for example in dev])
    return Answers(logits, labels, speakers, tuple(len(example) for example in dev))


def _f1(answers: Answers, classes: Sequence[str]) -> dict[str, float]:
    scores = Scores.of(answers, classes)
    return {"weighted_f1": scores.weighted_f1, "macro_f1": scores.macro_f1}


def _spreads(scores: Sequence[Scores]) -> dict[str, DrawnFigure]:
    kept = [one.abstention for one in scores if one.abstention]
    columns = {
        "weighted_f1": [one.weighted_f1 for one in scores],
        "macro_f1": [one.macro_f1 for one in scores],
        "calibration_error": [one.calibration.error for one in scores],
        "certain": [one.coverage for one in kept],
        "right": [torch.nan if one.accuracy is None else one.accuracy for one in kept],
    }
    return {name: _spread(torch.tensor(values, dtype=torch.float64)) for name, values in columns.items()}


def _spread(values: Tensor) -> DrawnFigure:
    return DrawnFigure(float(values.nanmean()), *interval(values))
