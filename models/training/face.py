"""Trains the face network on the votes of a crowd, and measures it, also on pictures that a camera has spoilt.

What is learnt is the share of the crowd that would choose each label (Barsoum, Zhang, Ferrer and Zhang 2016: "Training
deep networks for facial expression recognition with crowd-sourced label distribution"; as there, single votes are noise
and dropped). The weights that are kept are a moving mean over the steps, of the epoch with the best accuracy on dev; no
other split is read. All chance of an epoch comes from its own seed, so a run that was interrupted and resumed gives the
same weights as one that was not.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from erc_live.models.encoders.face import FACE_LABELS, FACE_PX, KIND, FaceEncoder, FaceNetwork, standardise
from erc_live.models.errors import CorpusError
from erc_live.models.training.calibration import calibration_error
from erc_live.models.training.folder import write
from erc_live.models.training.metrics import accuracy, confusion, macro_f1, recall_per_class, uar
from erc_live.models.training.moving_mean import MovingMean
from erc_live.models.training.pictures import DEGRADATIONS, degrade, spoil

UNFINISHED = "unfinished.safetensors"  # in the folder of a run, until it has ended


@dataclass(frozen=True)
class FaceTraining:
    """How to train. The learning rate is the highest: up over `warm_up`, then down along a cosine to nothing."""

    seed: int = 0
    epochs: int = 44
    batch: int = 128
    learning_rate: float = 3e-3
    warm_up: float = 0.1  # share of the steps
    weight_decay: float = 0.05  # of convolutions and matrices, not of norms and biases
    early_px: int = 40  # the first `early` of the epochs sees smaller pictures, in 0.7 of the time
    early: float = 0.6
    gentlest: float = 0.4  # how strongly the last epoch spoils pictures; the first does at 1, those between in step
    memory: float = 0.998  # of the moving mean over steps
    network: Mapping[str, Any] = field(default_factory=lambda: {"widths": (48, 96, 160), "depths": (1, 2, 2)})


@dataclass(frozen=True)
class Faces:
    """Labelled faces: grey levels, the share of the votes for each label, the label with most votes, and whether that
    has more than half of all votes.

    Shapes: pictures (n, 48, 48) uint8, shares (n, 8) float32, labels (n,) int64, clear (n,) bool.
    """

    pictures: Tensor
    shares: Tensor
    labels: Tensor
    clear: Tensor

    @classmethod
    def of(cls, pictures: Tensor, votes: Tensor) -> "Faces":
        """Those of which most votes are for one of the labels, and not for "unknown" or "not a face".

        Shapes: (n, 48, 48) uint8; votes (n, 10), first the labels, then those two.
        """
        votes = votes.float()
        kept = torch.where(votes > 1, votes, 0.0)[:, : len(FACE_LABELS)]
        chosen = (votes.argmax(1) < len(FACE_LABELS)) & (kept.sum(1) > 0)
        kept, votes = kept[chosen], votes[chosen]
        most, labels = votes[:, : len(FACE_LABELS)].max(1)
        return cls(pictures[chosen], kept / kept.sum(1, keepdim=True), labels, most * 2 > votes.sum(1))


@dataclass(frozen=True)
class FaceScores:
    """What the network reached.

    `accuracy` is over all `faces`. `clear_accuracy` is over the `clear_faces` on whose label more than half of the
    crowd agreed, the rule by which results on FER+ are published; None without any. `votes_nll` is the cross-entropy to
    the votes, in nats. `recall` has the labels that occur; `confusion` a row per label, a column per answer.
    """

    faces: int
    accuracy: float
    clear_faces: int
    clear_accuracy: float | None
    uar: float
    macro_f1: float
    recall: dict[str, float]
    calibration_error: float
    votes_nll: float
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, logits: Tensor, faces: Faces) -> "FaceScores":
        """Shapes: logits (n, 8) of the n faces, n > 0."""
        answers, n = logits.argmax(1), len(FACE_LABELS)
        counts = confusion(faces.labels, answers, n)
        right = (answers == faces.labels)[faces.clear]
        recalls = zip(FACE_LABELS, recall_per_class(counts).tolist(), counts.sum(1).tolist(), strict=True)
        return cls(
            faces=len(answers),
            accuracy=accuracy(counts),
            clear_faces=len(right),
            clear_accuracy=float(right.float().mean()) if len(right) else None,
            uar=uar(counts),
            macro_f1=macro_f1(counts),
            recall={label: recall for label, recall, support in recalls if support},
            calibration_error=calibration_error(logits.double().softmax(1), faces.labels),
            votes_nll=float(F.cross_entropy(logits, faces.shares)),
            confusion=tuple(tuple(row) for row in counts.tolist()),
        )


@dataclass(frozen=True)
class Epoch:
    """What is reported after each epoch: mean loss, and accuracy of the moving mean on dev."""

    epoch: int
    loss: float
    dev_accuracy: float


def evaluate(encoder: FaceEncoder, faces: Faces, degradations: tuple[str, ...] = ()) -> FaceScores:
    """Score faces as they are, or spoilt in the given ways one after the other. Raises CorpusError without any."""
    if not len(faces.labels):
        raise CorpusError("there are no faces to score")
    return FaceScores.of(encoder.logits(degrade(faces.pictures, degradations)), faces)


def train(
    data: Mapping[str, Faces],
    out: Path,
    config: FaceTraining,
    about: Mapping[str, Any],
    progress: Callable[[Epoch], None] = lambda _: None,
) -> FaceEncoder:
    """Train on `data["train"]`, choose the epoch and the temperature on `data["dev"]`, write weights and card to `out`.

    A run that was interrupted goes on where it was. The scores on the card are those of the files as written.

    Args:
        data: faces of "train" and "dev".
        out: folder of the run.
        config: how to train.
        about: what else the card is to say (corpus, command, licence).
        progress: called after each epoch.

    Raises:
        CorpusError: there is nothing to learn from, or to choose by.
        WeightsError: `out` cannot be written to, or holds an unfinished run with other settings.
    """
    for split, faces in data.items():
        if not len(faces.labels):
            raise CorpusError(f"there are no labelled faces in {split}")
    with torch.random.fork_rng(devices=[]):
        run = _Run(config, data["train"])
        run.state.resume(out / UNFINISHED)
        for epoch in range(run.state.epoch, config.epochs):
            loss = run.pass_over(epoch)
            score = run.score(data["dev"])
            run.state.consider(score)
            run.state.save(out / UNFINISHED)
            progress(Epoch(epoch, loss, score))
        network = FaceNetwork(**config.network)
    network.load_state_dict(run.state.best)
    logits = FaceEncoder(copy.deepcopy(network), "").logits(data["dev"].pictures)
    temperature = votes_temperature(logits, data["dev"].shares)
    with torch.no_grad():
        network.head.weight.div_(temperature)
        network.head.bias.div_(temperature)
    encoder = _write(
        network,
        out,
        data["dev"],
        {**about, **asdict(config), "best_epoch": run.state.best_epoch, "temperature": temperature},
    )
    (out / UNFINISHED).unlink(missing_ok=True)
    return encoder


class _Run:
    """One run over the faces."""

    def __init__(self, config: FaceTraining, faces: Faces) -> None:
        torch.manual_seed(config.seed)
        self._config = config
        self._faces = faces
        network: Any = FaceNetwork(**config.network)
        network = nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
        matrices = [p for p in network.parameters() if p.ndim > 1]
        vectors = [p for p in network.parameters() if p.ndim == 1]
        optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        )
        self.state = MovingMean(network, optimiser, config.memory, asdict(config))

    def pass_over(self, epoch: int) -> float:
        """One epoch; the mean loss."""
        config, faces = self._config, self._faces
        seed = config.seed * 10_000 + epoch
        torch.manual_seed(seed)  # of the dropout
        generator = Generator().manual_seed(seed)
        px = config.early_px if epoch < config.early * config.epochs else FACE_PX
        batches = torch.split(torch.randperm(len(faces.labels), generator=generator), config.batch)
        if len(batches) > 1 and len(batches[-1]) < config.batch:
            batches = batches[:-1]  # a small batch would shake the norms
        strength = 1 + (config.gentlest - 1) * epoch / max(config.epochs - 1, 1)
        self.state.network.train()
        total = 0.0
        for number, rows in enumerate(batches):
            step = epoch * len(batches) + number
            for group in self.state.optimiser.param_groups:
                group["lr"] = config.learning_rate * _rate((step + 1) / (config.epochs * len(batches)), config.warm_up)
            pictures = spoil(faces.pictures[rows], px, strength, generator)
            total += self._step(standardise(pictures), faces.shares[rows])
            self.state.follow(step + 1)
        return total / len(batches)

    def _step(self, pictures: Tensor, shares: Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16):  # with channels last 1.9 times as fast where the processor has it
            logits = self.state.network(pictures.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), shares)
        self.state.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.state.network.parameters(), 5.0)
        self.state.optimiser.step()
        return loss.item()

    def score(self, dev: Faces) -> float:
        """Accuracy of the moving mean."""
        logits = FaceEncoder(copy.deepcopy(self.state.mean), "").logits(dev.pictures)
        return float((logits.argmax(1) == dev.labels).float().mean())


def votes_temperature(logits: Tensor, shares: Tensor) -> float:
    """By what to divide the logits so that their cross-entropy to the votes is least, within 0.2 and 5.

    Shapes: logits (n, 8), shares (n, 8).
    """
    grid = torch.exp(torch.linspace(math.log(0.2), math.log(5), 641))  # steps of half a percent
    losses = torch.stack([F.cross_entropy(logits / t, shares) for t in grid])
    return float(grid[losses.argmin()])


def _write(network: FaceNetwork, out: Path, dev: Faces, training: Mapping[str, Any]) -> FaceEncoder:
    card = {"format": KIND.format, "labels": FACE_LABELS, "network": training["network"], "training": training}

    def scores() -> dict[str, Any]:
        encoder = FaceEncoder.load(out)
        spoilt = {f"dev, {name}": asdict(evaluate(encoder, dev, (name,))) for name in DEGRADATIONS}
        return {"dev": asdict(evaluate(encoder, dev)), **spoilt}

    write(network, out, card, scores)
    return FaceEncoder.load(out)


def _rate(done: float, warm_up: float) -> float:
    if done < warm_up:
        return done / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm_up) / (1 - warm_up))
