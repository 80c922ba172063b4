"""A recipe scored on all that is labelled, without ever being chosen on what scores it; then trained on all of it.

Train and dev together are parted into folds by what their dialogues share (an episode, a session). For each fold, every
seed learns from the other folds for all epochs, and its last epoch answers for the fold: nobody chooses anything on
these answers. Together they are scores of the recipe on the whole corpus: their mean and spread over seeds and their
interval over dialogues are on the card. Temperature and threshold are those of the pooled answers; the calibration that
is told of them is that of each fold by the temperature of the others.
What is kept is trained on all folds with the first seed. An encoder that was trained with folds brings an encoder for
each (`text_folds.py`), and its folds are taken.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from erc_live.models import checkpoint
from erc_live.models.card import CARD
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import CorpusError
from erc_live.models.training.calibration import temperature
from erc_live.models.training.dialogue_dataset import DialogueDataset, Example, encoded, fitting
from erc_live.models.training.evaluation import classify
from erc_live.models.training.folds import grouped_folds
from erc_live.models.training.graph_config import Run, TrainConfig
from erc_live.models.training.graph_training import train_graph
from erc_live.models.training.metrics import Answers, Scores, bootstrap, macro_f1, weighted_f1
from erc_live.models.training.run_folder import TEXT, Judged, cooled, threshold_of
from erc_live.models.training.text_folds import fold_folder, parts_of


def train_folds(dataset: DialogueDataset, encoder: Path, config: TrainConfig, run: Run) -> checkpoint.Checkpoint:
    """Score a recipe in `config.folds` folds, and train it on all of them; every fold stays in a folder of the run.

    Raises:
        CorpusError: as `train_graph`; there are too few groups; or the encoder was trained with another number of
            folds, or folds of another corpus.
        WeightsError: as `train_graph`.
    """
    dataset = dataset.only(config.modalities)
    pooled = fold_answers(dataset, encoder, config, run)
    own = pooled[0].answers if pooled[0].composed is None else joined([pooled[0].answers, pooled[0].composed])
    divisor = temperature(*own.scored())
    threshold = threshold_of(own, divisor)
    judged = Judged(_scores(dataset, pooled, divisor, threshold), divisor, threshold)
    whole = replace(dataset, train=[*dataset.train, *dataset.dev])
    return train_graph(whole, encoder, replace(config, patience=None, seeds=config.seeds[:1]), run, judged)


@dataclass(frozen=True)
class Pooled:
    """What the runs of a seed said of all dialogues of train and dev, each by one that did not learn from it: as it is,
    and `calibrated`, as the temperature of the other folds makes it. `dev` are those of dev, calibrated; `composed` are
    answers with voices and faces composed, if they are.
    """

    answers: Answers
    calibrated: Answers
    dev: Answers
    composed: Answers | None


def fold_answers(dataset: DialogueDataset, encoder: Path, config: TrainConfig, run: Run) -> list[Pooled]:
    """The answers of each seed, fold after fold."""
    every = [*dataset.train, *dataset.dev]
    parts = _parts(every, encoder, config.folds)
    config, order = replace(config, patience=None), list[int]()
    found: dict[int, list[tuple[Answers, Answers | None]]] = {seed: [] for seed in config.seeds}
    for fold in range(config.folds):
        places = [place for place, example in enumerate(every) if parts.get(example.group) == fold]
        inside = [every[place] for place in places]
        rest = [example for example in every if parts.get(example.group) != fold]
        out, text = run.out / f"fold-{fold}", fold_folder(encoder, fold)
        train_graph(replace(dataset, train=rest, dev=inside), text, config, replace(run, out=out))
        for seed in config.seeds:
            answers = _answers(out / f"seed-{seed}", text, run)
            composed = None if dataset.composition is None else answers(dataset.composition.dev(inside))
            found[seed].append((answers(inside), composed))
        order += places
    return [_pooled(order, len(dataset.train), *zip(*folds, strict=True)) for folds in found.values()]


def _answers(folder: Path, encoder: Path, run: Run) -> Callable[[Sequence[Example]], Answers]:
    """How a run answers, before its temperature."""
    trained = checkpoint.load(str(folder.resolve()))
    text = TextEncoder.load(folder / TEXT if (folder / TEXT).is_dir() else encoder)
    divisor = float(trained.card.scores["dev"]["temperature"])

    def answers(dialogues: Sequence[Example]) -> Answers:
        return cooled(classify(trained.model, fitting(encoded(dialogues, text, run.cache), trained.model)), 1 / divisor)

    return answers


def _pooled(order: Sequence[int], train: int, folds: Sequence[Answers], composed: Sequence[Answers | None]) -> Pooled:
    """`order` says which dialogue of train and dev the answers of the folds are for, one after the other."""
    divisors = [temperature(*joined([*folds[:at], *folds[at + 1 :]]).scored()) for at in range(len(folds))]
    calibrated = joined([cooled(one, divisor) for one, divisor in zip(folds, divisors, strict=True)])
    ranked = sorted(range(len(order)), key=order.__getitem__)
    dev = [place for place in ranked if order[place] >= train]
    there = [one for one in composed if one is not None]
    return Pooled(
        calibrated=calibrated.chosen(ranked),
        answers=joined(folds).chosen(ranked),
        dev=calibrated.chosen(dev),
        composed=joined(there).chosen(ranked) if there else None,
    )


def joined(parts: Sequence[Answers]) -> Answers:
    """Answers for these dialogues, then for those."""
    return Answers(
        torch.cat([one.logits for one in parts]),
        torch.cat([one.labels for one in parts]),
        torch.cat([one.speakers for one in parts]),
        tuple(length for one in parts for length in one.lengths),
    )


def _scores(dataset: DialogueDataset, pooled: Sequence[Pooled], divisor: float, threshold: float) -> dict[str, Any]:
    """As a card has them: of the first seed, with mean and spread of all; and the part of it that is dev."""
    first = pooled[0]
    scores = Scores.of(first.calibrated, dataset.labels, threshold, divisor).for_card()
    low, high = bootstrap([one.answers for one in pooled])
    several = {
        name: {"mean": mean(values), "sd": stdev(values) if len(values) > 1 else None, "by_seed": values}
        for name, score in (("weighted_f1", weighted_f1), ("macro_f1", macro_f1))
        for values in [[score(one.answers.confusions().sum(0)) for one in pooled]]
    }
    found = {"folds": {**scores, "seeds": several, "interval": [low, high]}}
    if first.dev.lengths:
        found["dev"] = Scores.of(first.dev, dataset.labels, threshold, divisor).for_card()
    if first.composed is not None:
        found["folds_composed"] = Scores.of(cooled(first.composed, divisor), dataset.labels, threshold).for_card()
    return found


def already_learnt(dataset: DialogueDataset, encoder: Path) -> list[str]:
    """In words, why the scores of folds would be too good: the text encoder has seen the labels of all of them."""
    try:
        taught = json.loads((encoder / CARD).read_text(encoding="utf-8"))["training"]["corpora"]
    except (OSError, ValueError, LookupError, TypeError):
        return []  # nothing is said of what taught it
    again = [name for name in dataset.corpora if name in taught]
    if not again or parts_of(encoder):
        return []
    return [
        f"the text encoder in {encoder} has learnt from {' and '.join(again)}, so the folds will score too well: "
        "give --encoder one that was trained with --folds, or that never saw it"
    ]


def _parts(every: Sequence[Example], encoder: Path, folds: int) -> Mapping[str, int]:
    """The fold of each group. What the encoder's folds do not name has taught all of them, and can score nothing."""
    if brought := parts_of(encoder):
        if len(there := {*brought.values()}) != folds:
            raise CorpusError(f"{encoder} was trained with {len(there)} folds: give --folds that number")
        if there - {brought.get(example.group) for example in every}:
            raise CorpusError(f"{encoder} was trained with folds of another corpus: give an encoder without folds")
        return brought
    groups = [example.group for example in every for _ in example.texts]
    try:
        return dict(zip(groups, grouped_folds(groups, folds), strict=True))
    except ValueError as error:
        raise CorpusError(f"--folds {folds}: {error}") from error
