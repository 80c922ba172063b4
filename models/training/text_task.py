"""The task of the text encoder: all of its weights, with a linear head, on labelled utterances of one or more corpora.

Each utterance is read with what was said before it, as in live use. Recognisers write few marks, so some texts are
shown without any. Where one label drowns the others (everyday talk is neutral), most of its utterances are left out.
Conversations without labels help too, with what a model estimates of them (self-training: Xie et al. 2020, "Noisy
student"): the estimates are learnt as they are, as probabilities: what was doubtful stays doubtful.
A pass over the texts is long, so dev is scored, and the run saved, after each quarter of one: these are the epochs of
the trainer. The dev split of the first corpus chooses. What is written is packed, and the scores on the card are those
of the packed files.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from erc_live.models.corpora.dialogue import Split
from erc_live.models.encoders.text import FILES, TextEncoder
from erc_live.models.encoders.turns import Turn, bare
from erc_live.models.errors import CorpusError
from erc_live.models.training.augment import chance
from erc_live.models.training.metrics import accuracy, confusion, macro_f1, weighted_f1
from erc_live.models.training.precision import autocast
from erc_live.models.training.run_folder import write_card
from erc_live.models.training.text_dataset import TextDataset
from erc_live.models.training.trainer import EPOCHS_APART, EpochDone, Recipe, StepDone, Trainer
from erc_live.models.weights import sha256

FORMAT = "erc.text/1"
RESUME_SEED = "resume-{seed}.pt"  # in the folder of a run, until it has ended
PARTS = 4  # of a pass over the texts: an epoch of the trainer each
SORTED = 20  # batches that are sorted by length together, so that little is spent on padding


@dataclass(frozen=True)
class TextTraining:
    """How to train. Rates are the highest of the schedule."""

    seeds: tuple[int, ...] = (0,)  # of several, the mean of the weights is kept
    epochs: int = 1  # passes over the texts
    batch: int = 32
    rate: float = 1e-4
    head_rate: float = 5e-4
    warm_up: float = 0.1  # share of the steps
    weight_decay: float = 0.01
    smoothing: float = 0.05  # of the labels
    balance: float = 0.0  # tau log p(label) is on the logits while they learn: the rare are favoured afterwards
    pseudo_labels: str | None = None  # a file that `erc-live predict` wrote, whose estimates are learnt too ...
    pseudo: float = 4.0  # ... at most so many for each labelled utterance
    unpunctuated: float = 0.2  # share of the texts that are shown without marks
    dropout: float = 0.2  # before the head
    ema: float = 0.995  # decay of the average over the steps


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
        corpora: train and dev of each, all with the same labels; dev of the first chooses.
        encoder: to start from.
        out: folder of the run.
        config: how to train.
        about: what else the card is to say (command, licence).
        watch: called after each batch and each epoch of the trainer.

    Raises:
        CorpusError: the labels differ, or there is nothing to learn from.
        WeightsError: `out` cannot be written to, or holds another unfinished run.
    """
    labels = common_labels(corpora)
    pseudo_labels = Path(config.pseudo_labels) if config.pseudo_labels else None
    estimated = TextDataset.estimated(pseudo_labels, labels) if pseudo_labels else None
    start, fingerprint = copy.deepcopy(encoder.network.state_dict()), encoder.fingerprint
    weights = []
    for seed in config.seeds:
        encoder.network.load_state_dict(start)
        dataset = _training_set(corpora, labels, estimated, config, seed)
        torch.manual_seed(0)  # the same first head for all: with one for each, their mean was worse than any of them
        network = TextClassifier(encoder, len(labels), config.dropout)
        task = TextTask(network, dataset, dev_sets(corpora), config, seed)
        key = f"{dataset.digest()} {fingerprint} {asdict(config)}"
        recipe = Recipe(
            key, seed, seed * EPOCHS_APART, config.epochs * PARTS, config.ema, clip=1.0, warm_up=config.warm_up
        )
        weights.append(Trainer(task, recipe, out / RESUME_SEED.format(seed=seed), watch).fit().weights)
    network.cpu().load_state_dict(mean_of(weights))
    encoder.save(out)
    training = {**about, **asdict(config), "start": fingerprint, "corpora": [train.corpus for train, _ in corpora]}
    training |= {"pseudo_labels_sha256": sha256(pseudo_labels)} if pseudo_labels else {}
    packed = TextEncoder.load(out)
    dev = {texts.corpus: scores(packed, network.head.eval(), texts) for texts in dev_sets(corpora)}
    digests = {name: sha256(out / name) for name in FILES}
    write_card(
        out, {"format": FORMAT, "labels": labels, "scores": {"dev": dev}, "training": training, "sha256": digests}
    )
    for seed in config.seeds:
        (out / RESUME_SEED.format(seed=seed)).unlink(missing_ok=True)
    return packed


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
        CorpusError: one has other labels.
    """
    first = corpora[0][0]
    for split, _ in corpora[1:]:
        if odd := sorted(set(split.labels) ^ set(first.labels)):
            raise CorpusError(
                f"{split.corpus} and {first.corpus} must have the same labels, and {', '.join(odd)} is in one only: "
                "train on them one after the other, each from the encoder of the one before"
            )
    return first.labels


def dev_sets(corpora: Sequence[tuple[Split, Split]]) -> list[TextDataset]:
    """What is scored."""
    labels = common_labels(corpora)
    return [TextDataset.of(dev, labels) for _, dev in corpora]


def _training_set(
    corpora: Sequence[tuple[Split, Split]],
    labels: Sequence[str],
    estimated: TextDataset | None,
    config: TextTraining,
    seed: int,
) -> TextDataset:
    """All that is labelled, thinned, and so much of what is estimated."""
    generator = Generator().manual_seed(seed)
    labelled = reduce(add, [TextDataset.of(train, labels).thinned(generator) for train, _ in corpora])
    most = round(config.pseudo * len(labelled.texts))
    return labelled + estimated.drawn(most, generator) if estimated else labelled


class TextClassifier(nn.Module):
    """An encoder and a linear head on its vectors."""

    def __init__(self, encoder: TextEncoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.network: nn.Module = encoder.network
        self.head: Any = nn.Sequential(nn.LayerNorm(encoder.dim), nn.Dropout(dropout), nn.Linear(encoder.dim, classes))
        self.encoder = encoder

    def forward(self, texts: Sequence[str], contexts: Sequence[Sequence[Turn]]) -> Tensor:
        """Logits of texts. Shapes: n texts -> (n, classes)"""
        device = self.head[-1].weight.device
        with autocast(device):  # 3 times as fast where the processor has it
            vectors = self.encoder.embed(self.encoder.tokens(texts, contexts))
        logits: Tensor = self.head(vectors)
        return logits


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
        counts = dataset.shares[~dataset.pseudo].sum(0)
        self._offsets = config.balance * (counts.clamp(min=1.0) / counts.sum()).log()

    def batches(self, epoch: int, generator: Generator) -> list[list[int]]:
        """One part of a pass, whose order depends on the pass alone."""
        passed, part = divmod(epoch, PARTS)
        order = Generator().manual_seed(self._seed * EPOCHS_APART + passed)
        batches = list(bucketed(self._dataset.lengths(), self._config.batch, order))
        first, last = (len(batches) * place // PARTS for place in (part, part + 1))
        return batches[first:last]

    def loss(self, network: TextClassifier, batch: Sequence[int], generator: Generator) -> Tensor:
        """Cross-entropy. What a model estimates is neither smoothed nor balanced: it has been already."""
        config, rows = self._config, self._dataset.rows(batch)
        unmarked = chance(config.unpunctuated, len(batch), generator).tolist()
        pairs = [
            (bare(text), tuple(Turn(turn.same_speaker, bare(turn.text)) for turn in context)) if un else (text, context)
            for text, context, un in zip(rows.texts, rows.contexts, unmarked, strict=True)
        ]
        texts, contexts = zip(*pairs, strict=True)
        smooth = torch.where(rows.pseudo, 0.0, config.smoothing)[:, None]
        shares = rows.shares.lerp(torch.full_like(rows.shares, 1 / rows.shares.shape[1]), smooth)
        logits = network(texts, contexts)
        offsets = self._offsets * ~rows.pseudo[:, None]
        return functional.cross_entropy(logits + offsets.to(logits.device), shares.to(logits.device))

    def score(self, network: TextClassifier) -> dict[str, float]:
        """Weighted F1 of each corpus."""
        found = {dev.corpus: scores(network.encoder, network.head, dev) for dev in self._dev}
        return {f"W-F1 {corpus}": one["weighted_f1"] for corpus, one in found.items()}


@torch.no_grad()
def scores(encoder: TextEncoder, head: nn.Module, texts: TextDataset) -> dict[str, float]:
    """How well a head tells the labels of texts from the vectors of an encoder."""
    device = next(head.parameters()).device
    answers = head(encoder.encode(texts.texts, texts.contexts).to(device)).argmax(1).cpu()
    counts = confusion(texts.labels, answers, texts.shares.shape[1])
    return {
        "utterances": len(answers),
        "weighted_f1": weighted_f1(counts),
        "macro_f1": macro_f1(counts),
        "accuracy": accuracy(counts),
    }


def bucketed(lengths: Sequence[int], size: int, generator: Generator) -> Iterator[list[int]]:
    """Places of items in batches of `size`, items of a batch of about the same length; all of it in random order."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    for start in range(0, len(order), size * SORTED):
        near = sorted(order[start : start + size * SORTED], key=lambda i: lengths[i])
        batches = [near[first : first + size] for first in range(0, len(near), size)]
        for place in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[place]
