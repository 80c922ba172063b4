"""The task of the face network: pictures as a camera would spoil them, the votes of a crowd, accuracy on dev."""

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
from erc_live.models.training.encoder_evaluation import evaluate_face
from erc_live.models.training.face_dataset import FaceDataset
from erc_live.models.training.face_images import DEGRADATIONS, spoil
from erc_live.models.training.precision import autocast
from erc_live.models.training.run_folder import write_encoder
from erc_live.models.training.trainer import EPOCHS_APART, RESUME, EpochDone, Recipe, StepDone, Trainer, even_batches


@dataclass(frozen=True)
class FaceTraining:
    """How to train. The learning rate is the highest of the schedule."""

    seed: int = 0
    epochs: int = 44
    batch: int = 128
    learning_rate: float = 3e-3
    warm_up: float = 0.1  # share of the steps
    weight_decay: float = 0.05  # of convolutions and matrices, not of norms and biases
    early_px: int = 40  # the first `early` of the epochs sees smaller pictures, in 0.7 of the time
    early: float = 0.6
    gentlest: float = 0.4  # how strongly the last epoch spoils pictures; the first does at 1, those between in step
    ema: float = 0.998  # decay of the average over the steps
    network: Mapping[str, Any] = field(default_factory=lambda: {"widths": (48, 96, 160), "depths": (1, 2, 2)})


def train_face(
    data: Mapping[str, FaceDataset],
    out: Path,
    config: FaceTraining,
    about: Mapping[str, Any],
    watch: Callable[[StepDone | EpochDone], None] = lambda _: None,
) -> FaceEncoder:
    """Train on `data["train"]`, choose the epoch and the temperature on `data["dev"]`, write weights and card to `out`.

    A run that was interrupted goes on where it was. The scores on the card are those of the files as written.

    Args:
        data: faces of "train" and "dev".
        out: folder of the run.
        config: how to train.
        about: what else the card is to say (corpus, command, licence).
        watch: called after each batch and each epoch.

    Raises:
        CorpusError: there is nothing to learn from, or to choose by.
        WeightsError: `out` cannot be written to, or holds an unfinished run with other data or settings.
    """
    for split, faces in data.items():
        if not len(faces.labels):
            raise CorpusError(f"there are no labelled faces in {split}")
    torch.manual_seed(config.seed)
    task = FaceTask(data["train"], data["dev"], config)
    recipe = Recipe(
        key=f"{data['train'].digest()} {data['dev'].digest()} {asdict(config)}",
        seed=config.seed,
        first_seed=config.seed * EPOCHS_APART,
        epochs=config.epochs,
        ema=config.ema,
        clip=5.0,
        warm_up=config.warm_up,
        fall_from=config.warm_up,
    )
    fit = Trainer(task, recipe, out / RESUME, watch).fit()
    network = FaceNetwork(**config.network)
    network.load_state_dict(fit.weights)
    encoder = _write(network, out, data["dev"], {**about, **asdict(config), "best_epoch": fit.best_epoch})
    (out / RESUME).unlink(missing_ok=True)
    return encoder


class FaceTask:
    """As `trainer.Task`; a batch is an epoch and rows of the data set."""

    def __init__(self, faces: FaceDataset, dev: FaceDataset, config: FaceTraining) -> None:
        network: Any = FaceNetwork(**config.network)
        self.network: nn.Module = nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
        parameters = list(network.parameters())
        self.groups: list[dict[str, Any]] = [
            {
                "params": [p for p in parameters if (p.ndim > 1) == matrices],
                "lr": config.learning_rate,
                "weight_decay": config.weight_decay if matrices else 0.0,  # norms and biases are not pulled to 0
            }
            for matrices in (True, False)
        ]
        self._faces, self._dev, self._config = faces, dev, config

    def batches(self, epoch: int, generator: Generator) -> list[tuple[int, Tensor]]:
        """All faces in random order."""
        return [(epoch, rows) for rows in even_batches(len(self._faces.labels), self._config.batch, generator)]

    def loss(self, network: FaceNetwork, batch: tuple[int, Tensor], generator: Generator) -> Tensor:
        """Cross-entropy to the shares of the votes. Early epochs see smaller pictures, late ones are spoilt less."""
        config, (epoch, rows) = self._config, batch
        px = config.early_px if epoch < config.early * config.epochs else FACE_PX
        strength = 1 + (config.gentlest - 1) * epoch / max(config.epochs - 1, 1)
        device = next(network.parameters()).device
        pictures = standardise(spoil(self._faces.pictures[rows], px, strength, generator).to(device))
        with autocast(device):  # with channels last 1.9 times as fast where it is built in
            logits = network(pictures.contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), self._faces.shares[rows].to(device))

    def score(self, network: FaceNetwork) -> dict[str, float]:
        """Of the label with most votes."""
        logits = FaceEncoder(network, "").logits(self._dev.pictures)
        return {"accuracy": float((logits.argmax(1) == self._dev.labels).float().mean())}


def votes_temperature(logits: Tensor, shares: Tensor) -> float:
    """By what to divide the logits so that their cross-entropy to the votes is least, within 0.2 and 5.

    Shapes: logits (n, 8), shares (n, 8).
    """
    grid = torch.exp(torch.linspace(math.log(0.2), math.log(5), 641))  # steps of half a percent
    losses = torch.stack([F.cross_entropy(logits / t, shares) for t in grid])
    return float(grid[losses.argmin()])


def _write(network: FaceNetwork, out: Path, dev: FaceDataset, training: Mapping[str, Any]) -> FaceEncoder:
    temperature = votes_temperature(FaceEncoder(copy.deepcopy(network), "").logits(dev.pictures), dev.shares)
    with torch.no_grad():
        network.head.weight.div_(temperature)
        network.head.bias.div_(temperature)
    training = {**training, "temperature": temperature}
    card = {"format": KIND.format, "labels": FACE_LABELS, "network": training["network"], "training": training}

    def scores() -> dict[str, Any]:
        encoder = FaceEncoder.load(out)
        spoilt = {f"dev, {name}": asdict(evaluate_face(encoder, dev, (name,))) for name in DEGRADATIONS}
        return {"dev": asdict(evaluate_face(encoder, dev)), **spoilt}

    write_encoder(network, out, card, scores)
    return FaceEncoder.load(out)
