"""A recipe scored on all that is labelled, without ever being chosen on what scores it; then trained on all of it.

Train and dev together are parted into folds by what their dialogues share (an episode, a session). For each fold, every
seed learns from the other folds, and its last epoch answers for the fold: nobody chooses anything on these answers.
Together they are scores of the recipe on the whole corpus: their mean and spread over seeds and their interval over
dialogues are on the card. Temperatures and thresholds, a few numbers, are fitted on the pooled answers.
How many epochs are right differs by a factor of ten between corpora. So the first seed is scored on each fold after
each epoch, until that gets no better (`patience`), and a fold is answered for after the epoch that was best on the
*other* folds; what stays has the epoch that was best on all. These runs are repeated up to there, which gives the same
weights. With a text encoder that is tuned, which takes hours, all runs go to the end.
What stays is trained on all folds: every seed, and they answer together (`ensemble.py`), as they are scored. Where
each seed has tuned a text encoder of its own, it is the first seed. An encoder that was trained with folds brings an
encoder for each (`fold_encoders.py`), and its folds are taken; the graph of a fold begins with the answer of the
encoder of that fold, not with that of the mean, which has learnt its labels. The encoder of one fold has learnt from
the labels of another, from whose dialogues the graph then learns: so much, and no label of a dialogue itself, reaches
what is scored.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from erc_live.models import checkpoint
from erc_live.models.card import CARD, Card
from erc_live.models.errors import CorpusError
from erc_live.models.training.dialogue_dataset import DialogueDataset, Example, encoded, fitting
from erc_live.models.training.evaluation import classify
from erc_live.models.training.fold_encoders import fold_folder, open_encoders, parts_of
from erc_live.models.training.folds import grouped_folds
from erc_live.models.training.graph_config import Run, TrainConfig
from erc_live.models.training.graph_training import train_graph
from erc_live.models.training.judgement import Judged, cooled, judge
from erc_live.models.training.learning_curve import FoldCurves
from erc_live.models.training.metrics import Answers, bootstrap, macro_f1, weighted_f1
from erc_live.models.training.ratings import with_dimensions
from erc_live.models.training.run_folder import TEXT, spread


def train_folds(dataset: DialogueDataset, encoder: Path, config: TrainConfig, run: Run) -> checkpoint.Checkpoint:
    """Score a recipe in `config.folds` folds, and train it on all of them; every fold stays in a folder of the run.

    Raises:
        CorpusError: as `train_graph`; there are too few groups; or the encoder was trained with another number of
            folds, or folds of another corpus.
        WeightsError: as `train_graph`.
    """
    dataset = dataset.only(config.modalities)
    every = [*dataset.train, *dataset.dev]
    config = with_dimensions(config, every)
    parts = fold_parts(dataset, encoder, config.folds)
    tried = None if config.tune_text or config.patience is None else _tried(dataset, encoder, config, run)
    config = replace(config, patience=None)
    for fold in range(config.folds):
        stop = tried.best(without=fold) if tried else None
        _leave_out(fold, dataset, encoder, replace(config, stop=stop), replace(run, out=_out(run, fold)))
    scored = [example for example in every if example.group in parts]
    dev = [example for example in dataset.dev if example.group in parts]
    seeds = [_Folded(run, seed, encoder, config, parts) for seed in config.seeds]
    staying = seeds[:1] if config.tune_text else seeds
    judged = _judged(replace(dataset, train=scored, dev=dev), seeds, config.seeds, staying)
    curves = tried or FoldCurves([curve for seed in seeds for curve in seed.curves])
    told = {"curve": curves.mean(), **({"epochs": _chosen(tried, config.folds)} if tried else {})}
    judged = replace(judged, scores={**judged.scores, "folds": {**judged.scores["folds"], **told}})
    config = replace(config, seeds=config.seeds[: len(staying)], stop=tried.best() if tried else None)
    return train_graph(replace(dataset, train=every), encoder, config, run, judged)


def fold_answers(dataset: DialogueDataset, encoder: Path, config: TrainConfig, run: Run) -> Iterator[list[Answers]]:
    """What each seed answers to a fold that it did not learn from, fold by fold as they are learnt, before any
    temperature: the part of `train_folds` by which recipes are compared. The folds stay in folders of the run.

    Raises:
        CorpusError: as `train_folds`.
        WeightsError: as `train_folds`.
    """
    dataset = dataset.only(config.modalities)
    config = with_dimensions(replace(config, patience=None), [*dataset.train, *dataset.dev])
    for fold in range(config.folds):
        inside = _leave_out(fold, dataset, encoder, config, replace(run, out=_out(run, fold)))
        yield [_FoldRun(run, seed, fold, encoder, config)(inside) for seed in config.seeds]


def _tried(dataset: DialogueDataset, encoder: Path, config: TrainConfig, run: Run) -> FoldCurves:
    """How the first seed scores on each fold after each epoch, until that gets no better."""
    config = replace(config, seeds=config.seeds[:1])
    curves = []
    for fold in range(config.folds):
        into = replace(run, out=run.out / f"tried-{fold}")
        _leave_out(fold, dataset, encoder, config, into)
        curves.append(_curve(checkpoint.load(str((into.out / f"seed-{config.seeds[0]}").resolve())).card))
    return FoldCurves(curves)


def _chosen(curves: FoldCurves, folds: int) -> dict[str, Any]:
    """Which epoch was the last, for the card."""
    return {"chosen": curves.best(), "by_fold": [curves.best(without=fold) for fold in range(folds)]}


def _curve(card: Card) -> list[float]:
    scores: list[float] = card.training["curve"]["dev_weighted_f1"]
    return scores


def _leave_out(fold: int, dataset: DialogueDataset, encoder: Path, config: TrainConfig, run: Run) -> list[Example]:
    """Train every seed on all but a fold, whose dialogues are given back."""
    parts = fold_parts(dataset, encoder, config.folds)
    every = [*dataset.train, *dataset.dev]
    inside = [example for example in every if parts.get(example.group) == fold]
    rest = [example for example in every if parts.get(example.group) != fold]
    own = fold_folder(encoder, fold)
    text = own if config.tune_text else encoder
    train_graph(replace(dataset, train=rest, dev=inside), text, config, run, head=own)
    return inside


def _out(run: Run, fold: int) -> Path:
    return run.out / f"fold-{fold}"


class _FoldRun:
    """Answers of a seed that did not learn from a fold, before any temperature; `curve` are its scores on the fold
    after each epoch.
    """

    def __init__(self, run: Run, seed: int, fold: int, encoder: Path, config: TrainConfig) -> None:
        folder = _out(run, fold) / f"seed-{seed}"
        trained = checkpoint.load(str(folder.resolve()))
        own = folder / TEXT  # packed, as it was learnt from
        alone = own.is_dir() and (config.tune_text or not parts_of(encoder))
        self._text = open_encoders(own if alone else encoder)
        self._model, self._cache = trained.model, run.cache
        self._divisor = float(trained.card.training["temperature"])
        self.curve = _curve(trained.card)

    def __call__(self, dialogues: Sequence[Example]) -> Answers:
        data = fitting(encoded(dialogues, self._text, self._cache), self._model)
        return cooled(classify(self._model, data), 1 / self._divisor)


class _Folded:
    """Answers for dialogues, each by the run of a seed that did not learn from it, before any temperature. `curves` are
    the scores of the runs on their folds, after each epoch.
    """

    def __init__(self, run: Run, seed: int, encoder: Path, config: TrainConfig, parts: Mapping[str, int]) -> None:
        self._parts = parts
        self._runs = [_FoldRun(run, seed, fold, encoder, config) for fold in range(max(parts.values()) + 1)]
        self.curves = [run.curve for run in self._runs]

    def __call__(self, dialogues: Sequence[Example]) -> Answers:
        order, answers = list[int](), list[Answers]()
        for fold, answer in enumerate(self._runs):
            places = [place for place, example in enumerate(dialogues) if self._parts[example.group] == fold]
            if places:
                answers.append(answer([dialogues[place] for place in places]))
                order += places
        return joined(answers).chosen(sorted(range(len(order)), key=order.__getitem__))


def _judged(
    dataset: DialogueDataset, seeds: Sequence[_Folded], numbers: Sequence[int], staying: Sequence[_Folded]
) -> Judged:
    """Confidences and scores of those that stay, together; beside them mean and spread of all seeds, each alone, and
    the part of it that is dev.
    """

    def together(dialogues: Sequence[Example]) -> Answers:
        return averaged([seed(dialogues) for seed in staying])

    every = list(dataset.train)
    fitted = {"folds": every}
    if dataset.composition is not None:
        fitted["folds_composed"] = dataset.composition.dev(every)
    judged = judge(together, fitted, dataset.labels, dev=dataset.dev)
    pooled = [seed(every) for seed in seeds]
    several = {
        name: spread({seed: score(one.confusions().sum(0)) for seed, one in zip(numbers, pooled, strict=True)})
        for name, score in (("weighted_f1", weighted_f1), ("macro_f1", macro_f1))
    }
    folds = {**judged.scores["folds"], "seeds": several, "interval": list(bootstrap([together(every)]))}
    return replace(judged, scores={**judged.scores, "folds": folds})


def averaged(parts: Sequence[Answers]) -> Answers:
    """The mean of several answers to the same dialogues, as an ensemble gives it."""
    rated = [one.dimensions for one in parts if one.dimensions is not None]
    dimensions = torch.stack(rated).mean(0) if rated else None
    return replace(parts[0], logits=torch.stack([one.logits for one in parts]).mean(0), dimensions=dimensions)


def joined(parts: Sequence[Answers]) -> Answers:
    """Answers for these dialogues, then for those."""
    dimensions = [one.dimensions for one in parts if one.dimensions is not None]
    return Answers(
        torch.cat([one.logits for one in parts]),
        torch.cat([one.labels for one in parts]),
        torch.cat([one.speakers for one in parts]),
        tuple(length for one in parts for length in one.lengths),
        torch.cat(dimensions) if len(dimensions) == len(parts) else None,
    )


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


def fold_parts(dataset: DialogueDataset, encoder: Path, folds: int) -> Mapping[str, int]:
    """The fold of each group. What the encoder's folds do not name has taught all of them, and can score nothing.

    Raises:
        CorpusError: as `train_folds`.
        WeightsError: the encoder has folds, and no card that tells of them.
    """
    every = [*dataset.train, *dataset.dev]
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
