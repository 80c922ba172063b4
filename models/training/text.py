"""Trains the text encoder: all of its weights, with a linear head, on labelled utterances of one or several corpora.

Each utterance is read with what was said before it, as in live use. Recognisers write few marks, so some texts are
shown without any. Where one label drowns the others (everyday talk is neutral), most of its utterances are left out.
Conversations without labels help too, with what a model estimates of them (self-training: Xie et al. 2020, "Noisy
student"): the estimates are learnt as they are, doubts included.
The weights that are kept are a moving mean over the steps, of the part of an epoch with the best score on the dev split
of the first corpus; no other split is read. All chance of a part comes from its own seed, so a run that was interrupted
and resumed gives the same weights as one that was not. What is written is packed, and the scores on the card are those
of the packed files.
"""

import copy
import hashlib
import json
import math
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
from erc_live.models.encoders.turns import Turn
from erc_live.models.errors import CorpusError
from erc_live.models.training.augment import bare, chance
from erc_live.models.training.files import whole
from erc_live.models.training.lines import Lines
from erc_live.models.training.metrics import accuracy, confusion, macro_f1, weighted_f1
from erc_live.models.training.moving_mean import MovingMean
from erc_live.models.weights import sha256

FORMAT, CARD = "erc.text/1", "card.json"
UNFINISHED = "unfinished-{seed}.safetensors"  # in the folder of a run, until it has ended
PARTS = 4  # of an epoch, after each of which dev is scored and the run is saved
SORTED = 20  # batches that are sorted by length together, so that little is spent on padding


@dataclass(frozen=True)
class TextTraining:
    """How to train. Rates are the highest: up over `warm_up`, then down along a cosine to nothing."""

    seeds: tuple[int, ...] = (0,)  # of several, the mean of the weights is kept
    epochs: int = 1
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
    memory: float = 0.995  # of the moving mean over steps


@dataclass(frozen=True)
class Step:
    """What is told after each batch: how many of the whole run are done, and its loss."""

    done: int
    total: int
    loss: float


@dataclass(frozen=True)
class Part:
    """What is told after each part: how many epochs of a seed are done, mean loss, weighted F1 on dev of each
    corpus.
    """

    seed: int
    epochs: float
    loss: float
    dev: Mapping[str, float]


def train(
    corpora: Sequence[tuple[Split, Split]],
    encoder: TextEncoder,
    out: Path,
    config: TextTraining,
    about: Mapping[str, Any],
    watch: Callable[[Step | Part], None] = lambda _: None,
) -> TextEncoder:
    """Train an encoder, and write it with a card into the folder `out`; the one that was given is changed.

    A run that was interrupted goes on where it was.

    Args:
        corpora: train and dev of each, all with the same labels; dev of the first chooses.
        encoder: to start from.
        out: folder of the run.
        config: how to train.
        about: what else the card is to say (command, licence).
        watch: called after each batch and each part.

    Raises:
        CorpusError: the labels differ, or there is nothing to learn from.
        WeightsError: `out` cannot be written to, or holds another unfinished run.
    """
    labels = common_labels(corpora)
    pseudo_labels = Path(config.pseudo_labels) if config.pseudo_labels else None
    estimated = Lines.estimated(pseudo_labels, labels) if pseudo_labels else None
    start = copy.deepcopy(encoder.network.state_dict())
    found = []
    with torch.random.fork_rng(devices=[]):
        for seed in config.seeds:
            encoder.network.load_state_dict(start)
            run = _Run(encoder, corpora, labels, estimated, config, seed)
            unfinished = out / UNFINISHED.format(seed=seed)
            run.state.resume(unfinished)
            for part in range(run.state.epoch, config.epochs * PARTS):
                loss = run.learn(part, watch)
                scores = {name: found["weighted_f1"] for name, found in run.scores(run.averaged).items()}
                run.state.consider(scores[corpora[0][0].corpus])
                run.state.save(unfinished)
                watch(Part(seed, (part + 1) / PARTS, loss, scores))
            found.append(run.state.best)
    run.state.mean.load_state_dict(mean_of(found))
    run.averaged.save(out)
    training = {**about, **asdict(config), "start": encoder.fingerprint, "corpora": [t.corpus for t, _ in corpora]}
    training |= {"pseudo_labels_sha256": sha256(pseudo_labels)} if pseudo_labels else {}
    card = {
        "format": FORMAT,
        "labels": labels,
        "scores": {"dev": run.scores(TextEncoder.load(out))},
        "training": training,
        "sha256": {name: sha256(out / name) for name in FILES},
    }
    with whole(out / CARD) as path:
        path.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    for seed in config.seeds:
        (out / UNFINISHED.format(seed=seed)).unlink(missing_ok=True)
    return TextEncoder.load(out)


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


class _Classifier(nn.Module):
    """An encoder's network and the head on its vectors: what is trained, averaged and saved as one."""

    def __init__(self, encoder: TextEncoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder: Any = encoder.network
        self.head: Any = nn.Sequential(nn.LayerNorm(encoder.dim), nn.Dropout(dropout), nn.Linear(encoder.dim, classes))


class _Run:
    """One run: what is learnt from, what it is scored on, and all that moves."""

    def __init__(
        self,
        encoder: TextEncoder,
        corpora: Sequence[tuple[Split, Split]],
        labels: Sequence[str],
        estimated: Lines | None,
        config: TextTraining,
        seed: int,
    ) -> None:
        torch.manual_seed(0)  # the same first head for all: with one for each, their mean was worse than any of them
        chances = Generator().manual_seed(seed)
        self._seed = seed
        labelled = reduce(add, [Lines.of(split, labels).thinned(chances) for split, _ in corpora])
        most = round(config.pseudo * len(labelled.texts))
        self.encoder = encoder
        self._lines = labelled + estimated.drawn(most, chances) if estimated else labelled
        counts = labelled.shares.sum(0)
        self._offsets = config.balance * (counts.clamp(min=1.0) / counts.sum()).log()
        self._dev = [Lines.of(split, labels) for _, split in corpora]
        self._classes = len(labels)
        self._config = config
        device = "cuda" if torch.cuda.is_available() else "cpu"
        network: Any = _Classifier(encoder, len(labels), config.dropout).to(device)
        optimiser = torch.optim.AdamW(
            [
                {"params": list(network.encoder.parameters()), "peak": config.rate},
                {"params": list(network.head.parameters()), "peak": config.head_rate},
            ],
            weight_decay=config.weight_decay,
        )
        self.state = MovingMean(network, optimiser, config.memory, self._settings())
        self._batches = math.ceil(len(self._lines.texts) / config.batch)

    @property
    def averaged(self) -> TextEncoder:
        """The encoder with the moving mean of its weights."""
        encoder = copy.copy(self.encoder)
        encoder.network = self.state.mean.encoder
        return encoder

    def learn(self, part: int, watch: Callable[[Step | Part], None]) -> float:
        """One part of an epoch; the mean loss."""
        epoch, place = divmod(part, PARTS)
        pairs = zip(self._lines.texts, self._lines.contexts, strict=True)
        lengths = [len(text) + sum(len(turn.text) for turn in context) for text, context in pairs]
        order = list(bucketed(lengths, self._config.batch, self._chances(epoch)))
        first, last = (len(order) * p // PARTS for p in (place, place + 1))
        torch.manual_seed(self._seed * 10_000 + part)  # of the dropout
        self.state.network.train()
        losses = []
        for number in range(first, last):
            step = epoch * self._batches + number
            losses.append(self._step(order[number], step))
            self.state.follow(step)
            watch(Step(step + 1, self._config.epochs * self._batches, losses[-1]))
        return sum(losses) / max(len(losses), 1)

    @torch.no_grad()
    def scores(self, encoder: TextEncoder) -> dict[str, dict[str, float]]:
        """How well the head of the moving mean tells the labels of dev from the vectors of `encoder`, by corpus."""
        head = self.state.mean.head
        found = {}
        for lines in self._dev:
            answers = head(encoder.encode(lines.texts, lines.contexts).to(head[-1].weight.device)).argmax(1).cpu()
            counts = confusion(lines.labels, answers, self._classes)
            found[lines.corpus] = {
                "utterances": len(answers),
                "weighted_f1": weighted_f1(counts),
                "macro_f1": macro_f1(counts),
                "accuracy": accuracy(counts),
            }
        return found

    def _step(self, rows: Sequence[int], step: int) -> float:
        config, network = self._config, self.state.network
        done = (step + 1) / (config.epochs * self._batches)
        for group in self.state.optimiser.param_groups:
            group["lr"] = group["peak"] * min(done / config.warm_up, 0.5 + 0.5 * math.cos(math.pi * done))
        lines = self._lines.rows(rows)
        unmarked = chance(config.unpunctuated, len(rows), self._chances(step, 1)).tolist()
        said = [
            (bare(text), tuple(Turn(turn.same_speaker, bare(turn.text)) for turn in context)) if un else (text, context)
            for text, context, un in zip(lines.texts, lines.contexts, unmarked, strict=True)
        ]
        device = network.head[-1].weight.device
        with torch.autocast(device.type, torch.bfloat16):  # 3 times as fast where the processor has it
            vectors = self.encoder.embed(self.encoder.tokens(*zip(*said, strict=True)))
        # what a model estimates is neither smoothed nor balanced: it has been already
        smooth = torch.where(lines.pseudo, 0.0, config.smoothing)[:, None]
        shares = lines.shares.lerp(torch.full_like(lines.shares, 1 / self._classes), smooth)
        logits = network.head(vectors) + (self._offsets * ~lines.pseudo[:, None]).to(device)
        loss = functional.cross_entropy(logits, shares.to(device))
        self.state.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        self.state.optimiser.step()
        return loss.item()

    def _chances(self, *place: int) -> Generator:
        """Random numbers of one place in the run alone."""
        name = json.dumps((self._seed, *place)).encode()
        return Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:7], "big"))

    def _settings(self) -> dict[str, Any]:
        """What makes two runs the same."""
        content = repr((self._lines.texts, self._lines.contexts, self._lines.shares.tolist()))
        learnt = hashlib.sha256(content.encode()).hexdigest()
        return {**asdict(self._config), "seed": self._seed, "start": self.encoder.fingerprint, "texts": learnt}


def bucketed(lengths: Sequence[int], size: int, generator: Generator) -> Iterator[list[int]]:
    """Places of items in batches of `size`, items of a batch of about the same length; all of it in random order."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    for start in range(0, len(order), size * SORTED):
        near = sorted(order[start : start + size * SORTED], key=lambda i: lengths[i])
        batches = [near[first : first + size] for first in range(0, len(near), size)]
        for place in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[place]
