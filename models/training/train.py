"""One training loop for the text adapter and the dialogue graph, from the labels of a corpus.

With an adapter rank above 0 both are trained end to end: a low-rank adapter (a file of about 1 MB) is tuned in the
encoder. With rank 0 the encoder, and the adapter that was given, stay as they are; text is encoded once, and a seed
takes a minute. Then the encoder may have seen the labels of the training lines, and the graph learns from vectors that
are too easy. How much that harms depends on how far the adapter was driven, so compare both on `dev`; the README of
the shipped weights does. The epoch, the seed and the temperature are chosen on `dev`; no other split is read.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from erc_live.models import checkpoint
from erc_live.models.batch import DialogueBatch
from erc_live.models.card import ADAPTER, Card
from erc_live.models.encoders.adapter import attach, factors
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import WeightsError
from erc_live.models.networks import NETWORKS
from erc_live.models.training.augment import Disturbance, disturb, transcribed
from erc_live.models.training.corpora import LABELS, PROSODY, read_split
from erc_live.models.training.evaluate import classify
from erc_live.models.training.examples import Example, collate, encoded, examples, with_text
from erc_live.models.training.metrics import Scores, confusion, temperature, weighted_f1


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Rates are the highest of the schedule."""

    network: str = "dialogue_graph"
    sizes: dict[str, Any] = field(default_factory=dict)  # of the network, where they differ from its defaults
    seeds: tuple[int, ...] = (0,)
    adapter: str | None = None  # the checkpoint whose adapter to go on from; with rank 0 it stays as it is
    epochs: int = 4
    batch_utterances: int = 48
    learning_rate: float = 1e-3
    adapter_rank: int = 16
    adapter_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    disturbance: Disturbance = field(default_factory=Disturbance)


@dataclass(frozen=True)
class Epoch:
    """What is reported after each epoch: mean loss of the training lines, weighted F1 on dev."""

    seed: int
    epoch: int
    loss: float
    dev_weighted_f1: float


@dataclass(frozen=True)
class Trained:
    """Copies of what was trained: the weights of the model, the factors of the adapter (empty without one)."""

    model: dict[str, Tensor]
    adapter: dict[str, Tensor]


class Learner(nn.Module):
    """What is trained: the dialogue model and, if `encoder` is given, the adapter in it; `still` is one that stays."""

    def __init__(self, model: Any, encoder: TextEncoder | None, still: dict[str, Tensor]) -> None:
        super().__init__()
        self.model: Any = model
        self.encoder = encoder
        self.text_network = encoder.network if encoder else None
        self._still = still

    def forward(self, batch: Sequence[Example], config: TrainConfig) -> tuple[DialogueBatch, Tensor]:
        """What the model is given, and its labels (B, T); disturbed as `config` says while training."""
        dialogues = [example.utterances for example in batch]
        if self.encoder:
            texts = [text for example in batch for text in example.texts]
            if self.training:
                texts = [transcribed(text, config.disturbance) for text in texts]
            with torch.autocast("cpu", dtype=torch.bfloat16):  # 3.4 times as fast where the processor has it
                dialogues = with_text(batch, self.encoder.embed(self.encoder.tokens(texts)))
        if self.training:
            dialogues = [disturb(dialogue, config.disturbance) for dialogue in dialogues]
        return collate(dialogues, [example.labels for example in batch])

    def trained(self) -> Trained:
        """A copy of the present weights."""
        model = {name: value.clone() for name, value in self.model.state_dict().items()}
        return Trained(model, factors(self.text_network) if self.text_network else self._still)


def train(
    corpus: Path,
    encoder: Path,
    out: Path,
    config: TrainConfig,
    command: str = "",
    progress: Callable[[Epoch], None] = lambda _: None,
) -> checkpoint.Checkpoint:
    """Train on `train` of a corpus with every seed, and write the one that is best on `dev` into the folder `out`.

    The scores on the card are those of the files as written. The same seed on the same machine gives the same weights.

    Args:
        corpus: folder that `read_split` knows.
        encoder: folder of the text encoder.
        out: folder of the run; gets weights, card and the cached vectors.
        config: how to train.
        command: what the user typed, for the card.
        progress: called after each epoch.

    Raises:
        CorpusError: the corpus cannot be read.
        WeightsError: the encoder or the start weights cannot be read.
    """
    data = {split: examples(read_split(corpus, split)) for split in ("train", "dev")}
    start = checkpoint.load(config.adapter).adapter if config.adapter else None
    adapter = load_file(start) if start else {}
    if config.adapter_rank == 0:
        still = TextEncoder.load(encoder, start)
        data = {split: encoded(part, still, out / "cache") for split, part in data.items()}
    best = Trained({}, {})
    by_seed: dict[int, float] = {}
    for seed in config.seeds:
        torch.manual_seed(seed)
        learner = _learner(encoder, config, adapter)
        learner.model.fusion.scale.fit(torch.cat([example.utterances.audio for example in data["train"]]))
        by_seed[seed], trained = _fit(learner, data, config, lambda *report, seed=seed: progress(Epoch(seed, *report)))
        if by_seed[seed] == max(by_seed.values()):
            best = trained
    training = {"corpus": corpus.name, "command": command, **asdict(config), "dev_weighted_f1_by_seed": by_seed}
    del training["network"], training["sizes"]
    return _write(best, data["dev"], encoder, out, config, training)


def _learner(encoder: Path, config: TrainConfig, adapter: dict[str, Tensor]) -> Learner:
    model = _network(config, TextEncoder.load(encoder).dim)
    if config.adapter_rank == 0:
        return Learner(model, None, adapter)
    text = TextEncoder.load(encoder)
    attach(text.network, config.adapter_rank, adapter)
    return Learner(model, text, {})


def _network(config: TrainConfig, text_dim: int) -> Any:
    """A new network for text vectors of this width and prosody. Raises WeightsError when it cannot be built."""
    if config.network not in NETWORKS:
        raise WeightsError(f"no network is called {config.network!r}: choose from {', '.join(NETWORKS)}")
    network = NETWORKS[config.network]
    try:
        inputs = {"text_dim": text_dim, "audio_dim": len(PROSODY), "visual_dim": 0}
        return network.model(network.config(**(inputs | config.sizes)))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{config.network} cannot have these sizes: {error}") from error


def _fit(
    learner: Learner, data: dict[str, list[Example]], config: TrainConfig, report: Callable[[int, float, float], None]
) -> tuple[float, Trained]:
    """The best weighted F1 on dev over the epochs, and the trained weights of that epoch."""
    steps = config.epochs * sum(1 for _ in _batches(data["train"], config.batch_utterances, range(len(data["train"]))))
    adapter = [] if learner.text_network is None else [p for p in learner.text_network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": list(learner.model.parameters()), "lr": config.learning_rate},
            {"params": adapter, "lr": config.adapter_learning_rate},
        ],
        weight_decay=config.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step / steps))
    best, kept, objective = -1.0, Trained({}, {}), NETWORKS[config.network].objective
    for epoch in range(config.epochs):
        learner.train()
        losses = []
        for batch in _batches(data["train"], config.batch_utterances, torch.randperm(len(data["train"])).tolist()):
            loss = objective(learner.model, *learner(batch, config))
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_([p for p in learner.parameters() if p.requires_grad], 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        score = _dev_score(learner, data["dev"], config)
        report(epoch, sum(losses) / len(losses), score)
        if score > best:
            best, kept = score, learner.trained()
    return best, kept


def _rate(done: float) -> float:
    """Share of the highest rate: up over the first tenth of the steps, then down along a cosine."""
    return min(done / 0.1, 0.5 + 0.5 * math.cos(math.pi * done))


def _batches(data: Sequence[Example], utterances: int, order: Sequence[int]) -> Iterator[list[Example]]:
    """Whole dialogues in the given order, as many as it takes to have so many utterances."""
    batch: list[Example] = []
    for index in order:
        batch.append(data[index])
        if sum(len(example) for example in batch) >= utterances:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.no_grad()
def _dev_score(learner: Learner, dev: Sequence[Example], config: TrainConfig) -> float:
    learner.eval()
    counts = torch.zeros(len(LABELS), len(LABELS), dtype=torch.int64)
    for batch in _batches(dev, config.batch_utterances, range(len(dev))):
        padded, labels = learner(batch, config)
        labelled = labels >= 0
        counts += confusion(labels[labelled], learner.model(padded)[labelled].argmax(-1), len(LABELS))
    return weighted_f1(counts)


def _write(
    best: Trained, dev: Sequence[Example], encoder: Path, out: Path, config: TrainConfig, training: dict[str, object]
) -> checkpoint.Checkpoint:
    out.mkdir(parents=True, exist_ok=True)
    adapter = out / ADAPTER
    adapter.unlink(missing_ok=True)
    if best.adapter:
        save_file(best.adapter, adapter)
    text = TextEncoder.load(encoder, adapter if best.adapter else None)
    model = _network(config, text.dim).eval()
    model.load_state_dict(best.model)
    dev = encoded(dev, text, out / "cache")
    model.soften(temperature(*classify(model, dev)))
    card = Card(
        network=config.network,
        config=asdict(model.config),
        labels=LABELS,
        encoder=text.fingerprint,
        scores={"dev": asdict(Scores.of(*classify(model, dev), LABELS))},
        training=training,
    )
    checkpoint.save(out, model, card)
    return checkpoint.load(str(out))
