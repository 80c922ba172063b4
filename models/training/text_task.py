"""The task of the text encoder: all of its weights, with a linear head, on labelled dialogues of one or more corpora.

A dialogue is read once and teaches with every utterance that has a label (`encoders/text.py`). Recognisers write few
marks, so some dialogues are shown without any. Where one label drowns the others (everyday talk is neutral), most of
its utterances do not teach.
What a model estimates helps too (Xie et al. 2020, "Noisy student"; Hinton et al. 2015, "Distilling the knowledge in a
neural network"): the estimates are learnt as they are, as probabilities, alone where nobody gave a label, and else
half and half with it.
A pass over the texts is long, so dev is scored, and the run saved, after each quarter of one: these are the epochs of
the trainer. The dev split of the first corpus chooses; with folds nothing is chosen (`text_folds.py`). What is written
is packed, and the scores on the card are those of the packed files.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from erc_live.models.corpora.dialogue import Split
from erc_live.models.encoders.text import CARD, FILES, HEAD, TextEncoder, TextHead
from erc_live.models.encoders.turns import Turn, bare
from erc_live.models.errors import CorpusError
from erc_live.models.training.augment import chance
from erc_live.models.training.metrics import accuracy, confusion, macro_f1, weighted_f1
from erc_live.models.training.precision import autocast
from erc_live.models.training.run_folder import write_card
from erc_live.models.training.text_dataset import TextDataset
from erc_live.models.training.text_folds import OUT_OF_FOLD, Member, fold_scores, members, parted, write_estimates
from erc_live.models.training.trainer import EPOCHS_APART, EpochDone, Recipe, StepDone, Trainer
from erc_live.models.weights import sha256

FORMAT = "erc.text/1"
RESUME_MEMBER = "resume-{member}.pt"  # in the folder of a run, until it has ended
PARTS = 4  # of a pass over the texts: an epoch of the trainer each
CALIBRATING = 400  # utterances that were learnt, by which weights are rounded to 4 bits
SORTED = 20  # batches that are sorted by length together, so that little is spent on padding


@dataclass(frozen=True)
class TextTraining:
    """How to train. Rates are the highest of the schedule."""

    seeds: tuple[int, ...] = (0,)  # of several, the mean of the weights is kept
    folds: int = 0  # each with the first seed; 0: train teaches, dev chooses
    epochs: int = 1  # passes over the texts
    batch: int = 64  # utterances, in whole dialogues
    rate: float = 1e-4
    head_rate: float = 5e-4
    warm_up: float = 0.1  # share of the steps
    weight_decay: float = 0.01
    smoothing: float = 0.05  # of the labels
    balance: float = 0.0  # tau log p(label) is on the logits while they learn: the rare are favoured afterwards
    pseudo_labels: str | None = None  # a file that `erc-live predict` wrote, whose estimates are learnt too ...
    pseudo: float = 4.0  # ... at most so many for each labelled utterance
    unpunctuated: float = 0.2  # share of the dialogues that are shown without marks
    dropout: float = 0.2  # before the head
    ema: float = 0.995  # decay of the average over the steps
    bits: int = 8  # of a weight that is written: 8, or 4 for what would be too large


def train_text(
    corpora: Sequence[tuple[Split, Split]],
    encoder: TextEncoder,
    out: Path,
    config: TextTraining,
    about: Mapping[str, Any],
    watch: Callable[[StepDone | EpochDone], None] = lambda _: None,
) -> TextEncoder:
    """Train an encoder, and write it with a card into the folder `out`; the one that was given is changed.

    A run that was interrupted goes on where it was.

    Args:
        corpora: train and dev of each, all with the same labels. Without folds, dev of the first chooses; with folds,
            train and dev of the first are parted into them, and the other corpora teach all.
        encoder: to start from.
        out: folder of the run; with folds also of a folder for each.
        config: how to train.
        about: what else the card is to say (command, licence).
        watch: called after each batch and each epoch of the trainer.

    Raises:
        CorpusError: the labels differ, or there is nothing to learn from.
        WeightsError: `out` cannot be written to, or holds another unfinished run.
    """
    labels = common_labels(corpora)
    data = [(TextDataset.of(train, labels), TextDataset.of(dev, labels)) for train, dev in corpora]
    parts = parted(data[0], config.folds)
    runs = members(data, config.seeds, parts)
    estimated = TextDataset.estimated(Path(config.pseudo_labels), labels) if config.pseudo_labels else None
    weights, about = copy.deepcopy(encoder.network.state_dict()), {**about, "start": encoder.fingerprint}
    course = _Course(encoder, weights, labels, [dev for _, dev in data], estimated, out, config, watch)
    found = [course.run(member) for member in runs]
    head = found[0].head
    encoder.network.load_state_dict(mean_of([one.encoder for one in found]))
    head.load_state_dict(mean_of([one.head.state_dict() for one in found]))
    (out / CARD).unlink(missing_ok=True)  # of an earlier run: it would not fit the head
    encoder.save(out, config.bits, data[0][0].some(CALIBRATING))
    text_head(head, labels).save(out)
    scored = [member.fold for member in runs if member.fold is not None]
    if scored:
        answers = [one.answers for one in found]
        write_estimates(corpora[0], scored, answers, out / OUT_OF_FOLD)
        beside = [one.beside for one in found]
        scores_of_run: dict[str, Any] = {"folds": fold_scores(runs, answers, beside)}
    else:
        packed = TextEncoder.load(out)
        scores_of_run = {"dev": {dev.corpus: scores(packed, head, dev) for _, dev in data}}
    training = {**about, **asdict(config), "corpora": [train.corpus for train, _ in data], "parts": parts}
    training |= {"pseudo_labels_sha256": sha256(Path(config.pseudo_labels))} if config.pseudo_labels else {}
    digests = {name: sha256(out / name) for name in (*FILES, HEAD)}
    write_card(
        out, {"format": FORMAT, "labels": labels, "scores": scores_of_run, "training": training, "sha256": digests}
    )
    for member in runs:
        (out / RESUME_MEMBER.format(member=member.name)).unlink(missing_ok=True)
    return TextEncoder.load(out)


class _Trained(NamedTuple):
    """What a run leaves: weights of the encoder, its head, and what the two say of its fold and of what stands beside
    it, or nothing.
    """

    encoder: dict[str, Tensor]
    head: nn.Module
    answers: Tensor
    beside: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class _Course:
    """What all runs have in common: they begin with `weights`, and without folds they are scored on `dev`."""

    encoder: TextEncoder
    weights: Mapping[str, Tensor]
    labels: tuple[str, ...]
    dev: Sequence[TextDataset]
    estimated: TextDataset | None
    out: Path
    config: TextTraining
    watch: Callable[[StepDone | EpochDone], None]

    def run(self, member: Member) -> _Trained:
        """Train one; its encoder is kept packed in a folder of its own, if it leaves out a fold."""
        config, encoder, classes = self.config, self.encoder, len(self.labels)
        encoder.network.load_state_dict(self.weights)
        torch.manual_seed(0)  # the same first head for all: with one for each, their mean was worse than any of them
        network = TextClassifier(encoder, classes, config.dropout)
        estimated = self.estimated
        if estimated is not None and member.fold is not None:  # the file may be older than the names of the groups
            estimated = estimated.without_groups(member.left_out).without(member.fold)
        dataset = training_set(member.learnt, estimated, config, member.seed)
        task = TextTask(network, dataset, self.dev if member.fold is None else [member.fold], config, member.seed)
        epochs = config.epochs * PARTS
        recipe = Recipe(
            key=f"{dataset.digest()} {encoder.fingerprint} {asdict(config)}",
            seed=member.seed,
            first_seed=member.seed * EPOCHS_APART,
            epochs=epochs,
            ema=config.ema,
            clip=1.0,
            warm_up=config.warm_up,
            score_every=1 if member.fold is None else epochs,  # of folds, the last is kept: nothing is chosen on them
        )
        path = self.out / RESUME_MEMBER.format(member=member.name)
        network.load_state_dict(Trainer(task, recipe, path, self.watch).fit().weights)
        network.cpu().eval()
        answers, beside = torch.empty(0, classes), tuple[Tensor, ...]()
        if member.fold is not None:
            folder = self.out / member.name
            encoder.save(folder, config.bits, member.learnt[0].some(CALIBRATING))
            text_head(network.head, self.labels).save(folder)
            packed = TextEncoder.load(folder)
            answers = logits_of(packed, network.head, member.fold)
            beside = tuple(logits_of(packed, network.head, one) for one in member.beside)
        tuned = {name: value.clone() for name, value in encoder.network.state_dict().items()}
        return _Trained(tuned, network.head, answers, beside)


def mean_of(runs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the weights of several runs from the same start, which lies deeper than most of them.

    Source: Wortsman et al. 2022, "Model soups".
    """
    return {
        name: torch.stack([run[name] for run in runs]).mean(0) if value.is_floating_point() else value
        for name, value in runs[0].items()
    }


def common_labels(corpora: Sequence[tuple[Split, Split]]) -> tuple[str, ...]:
    """The labels of all the corpora, in the order of the first.

    Raises:
        CorpusError: one has other labels, or the name of another.
    """
    first = corpora[0][0]
    names = [split.corpus for split, _ in corpora]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CorpusError(
            f"two corpora are called {twice[0]}, and the card scores each by its name: rename the folder of one"
        )
    for split, _ in corpora[1:]:
        if odd := sorted(set(split.labels) ^ set(first.labels)):
            raise CorpusError(
                f"{split.corpus} and {first.corpus} must have the same labels, and {', '.join(odd)} is in one only: "
                "train on them one after the other, each from the encoder of the one before"
            )
    return first.labels


def training_set(
    labelled: Sequence[TextDataset], estimated: TextDataset | None, config: TextTraining, seed: int
) -> TextDataset:
    """All that is labelled, thinned, and so much of what is estimated."""
    generator = Generator().manual_seed(seed)
    known = reduce(add, [dataset.thinned(generator) for dataset in labelled])
    if estimated is None:
        return known
    others = estimated.without(known).drawn(round(config.pseudo * sum(map(len, known.dialogues))), generator)
    return known.taught_by(estimated) + others


class TextClassifier(nn.Module):
    """An encoder and a linear head on its vectors."""

    def __init__(self, encoder: TextEncoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.network: nn.Module = encoder.network
        self.head: Any = nn.Sequential(nn.LayerNorm(encoder.dim), nn.Dropout(dropout), nn.Linear(encoder.dim, classes))
        self.encoder = encoder

    def forward(self, dialogues: Sequence[Sequence[Turn]]) -> Tensor:
        """Logits of all utterances, one dialogue after the other. Shapes: -> (n, classes)"""
        device = self.head[-1].weight.device
        with autocast(device):  # 3 times as fast where the processor has it
            vectors = torch.cat(self.encoder.embed(dialogues))
        logits: Tensor = self.head(vectors)
        return logits


def text_head(head: Any, labels: Sequence[str]) -> TextHead:
    """A head as it is written: the scale and shift of its norm become part of the line."""
    norm, _, line = head
    with torch.no_grad():
        return TextHead(tuple(labels), line.weight * norm.weight, line.bias + line.weight @ norm.bias)


class TextTask:
    """As `trainer.Task`; a batch is places of the data set."""

    def __init__(
        self,
        network: TextClassifier,
        dataset: TextDataset,
        dev: Sequence[TextDataset],
        config: TextTraining,
        seed: int,
    ) -> None:
        self.network: nn.Module = network
        self.groups: list[dict[str, Any]] = [
            {"params": list(part.parameters()), "lr": rate, "weight_decay": config.weight_decay}
            for part, rate in ((network.network, config.rate), (network.head, config.head_rate))
        ]
        self._dataset, self._dev, self._config, self._seed = dataset, dev, config, seed
        counts = torch.cat([one.shares for one in dataset.dialogues if not one.pseudo]).sum(0)
        self._offsets = config.balance * (counts.clamp(min=1.0) / counts.sum()).log()

    def batches(self, epoch: int, generator: Generator) -> list[list[int]]:
        """One part of a pass, whose order depends on the pass alone."""
        passed, part = divmod(epoch, PARTS)
        order = Generator().manual_seed(self._seed * EPOCHS_APART + passed)
        utterances = [len(dialogue) for dialogue in self._dataset.dialogues]
        batches = list(bucketed(self._dataset.lengths(), utterances, self._config.batch, order))
        first, last = (len(batches) * place // PARTS for place in (part, part + 1))
        return batches[first:last]

    def loss(self, network: TextClassifier, batch: Sequence[int], generator: Generator) -> Tensor:
        """Cross-entropy. What a model estimates is neither smoothed nor balanced: it has been already."""
        dialogues = [self._dataset.dialogues[place] for place in batch]
        unmarked = chance(self._config.unpunctuated, len(batch), generator).tolist()
        spoken = [
            [Turn(turn.speaker, bare(turn.text)) for turn in one.spoken] if un else one.spoken
            for one, un in zip(dialogues, unmarked, strict=True)
        ]
        shares = torch.cat([one.shares for one in dialogues])
        pseudo = torch.cat([torch.full((len(one), 1), one.pseudo) for one in dialogues])
        smooth = torch.where(pseudo, 0.0, self._config.smoothing)
        shares = shares.lerp(torch.full_like(shares, 1 / shares.shape[1]), smooth) * shares.any(1, keepdim=True)
        logits = network(spoken)
        logits = (logits + (self._offsets * ~pseudo).to(logits.device)).log_softmax(-1)
        loss: Tensor = -(logits * shares.to(logits.device)).sum() / shares.sum()
        return loss

    def score(self, network: TextClassifier) -> dict[str, float]:
        """Weighted F1 of each corpus."""
        found = {dev.corpus: scores(network.encoder, network.head, dev) for dev in self._dev}
        return {f"W-F1 {corpus}": one["weighted_f1"] for corpus, one in found.items()}


@torch.no_grad()
def logits_of(encoder: TextEncoder, head: nn.Module, texts: TextDataset) -> Tensor:
    """What a head says of all utterances from the vectors of an encoder. Shapes: -> (n, classes)"""
    nothing = torch.empty(0, encoder.dim)
    vectors = torch.cat([nothing, *encoder.encode([dialogue.spoken for dialogue in texts.dialogues])])
    logits: Tensor = head(vectors.to(next(head.parameters()).device)).cpu()
    return logits


def scores(encoder: TextEncoder, head: nn.Module, texts: TextDataset) -> dict[str, float]:
    """How well a head tells the labels of texts from the vectors of an encoder."""
    shares = torch.cat([dialogue.shares for dialogue in texts.dialogues])
    known = shares.any(1)
    answers = logits_of(encoder, head, texts)[known].argmax(1)
    counts = confusion(shares[known].argmax(1), answers, shares.shape[1])
    return {
        "utterances": len(answers),
        "weighted_f1": weighted_f1(counts),
        "macro_f1": macro_f1(counts),
        "accuracy": accuracy(counts),
    }


def bucketed(lengths: Sequence[int], utterances: Sequence[int], size: int, generator: Generator) -> Iterator[list[int]]:
    """Places of dialogues in batches of about `size` utterances, dialogues of a batch of about the same length; all of
    it in random order.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    for near in _cut(order, utterances, size * SORTED):
        batches = list(_cut(sorted(near, key=lambda place: lengths[place]), utterances, size))
        for place in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[place]


def _cut(places: Sequence[int], utterances: Sequence[int], size: int) -> Iterator[list[int]]:
    part: list[int] = []
    filled = 0
    for place in places:
        part.append(place)
        filled += utterances[place]
        if filled >= size:
            yield part
            part, filled = [], 0
    if part:
        yield part
