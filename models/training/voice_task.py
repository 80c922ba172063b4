"""The task of the voice network: labelled clips, also as a line, noise or a room would spoil them.

Dev is scored by the unweighted average recall (UAR), as the mean of clean sound and every degradation.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from erc_live.models.card import PRETRAINED
from erc_live.models.encoders.speaker import BANDS as POWER_BANDS
from erc_live.models.encoders.speaker import SpeakerEncoder
from erc_live.models.encoders.voice import KIND, VOICE_LABELS, LogMel, VoiceEncoder, samples
from erc_live.models.encoders.voice_network import VoiceConfig, VoiceNetwork
from erc_live.models.errors import CorpusError
from erc_live.models.training.encoder_evaluation import evaluate_voice
from erc_live.models.training.metrics import confusion, uar
from erc_live.models.training.precision import autocast
from erc_live.models.training.run_folder import write_encoder
from erc_live.models.training.sounds import degrade
from erc_live.models.training.trainer import EPOCHS_APART, RESUME, EpochDone, Recipe, StepDone, Trainer, even_batches
from erc_live.models.training.voice_dataset import VoiceClip, VoiceDataset, classes_of, padded
from erc_live.models.training.voice_unheard import CONDITIONS, answers_of, calibrate, know_voices

TOGETHER = 32  # clips that are scored at once


@dataclass(frozen=True)
class VoiceTraining:
    """How to train. The learning rate is the highest of the schedule."""

    seed: int = 0
    epochs: int = 50
    score_every: int = 5  # epochs
    patience: int = 20  # epochs without a better score after which the run ends
    batch: int = 24
    learning_rate: float = 2e-3
    recurrent_rate: float = 2e-4  # of the layers that have learnt to tell speakers apart
    warm_up: float = 0.1  # share of the steps
    weight_decay: float = 0.03
    smoothing: float = 0.1  # of the labels
    mixup: float = 0.4  # share of the batches
    dropout: float = 0.1
    ema: float = 0.995  # decay of the average over the steps
    anew: int = 4  # epochs after which a clip is spoilt in another way; in between only its log-mel is
    network: VoiceConfig = field(default_factory=VoiceConfig)


def train_voice(
    clips: Sequence[VoiceClip],
    dev: Sequence[VoiceClip],
    out: Path,
    config: VoiceTraining,
    about: Mapping[str, Any],
    watch: Callable[[StepDone | EpochDone], None] = lambda _: None,
) -> VoiceEncoder:
    """Train on `clips`, choose the epoch and the temperature on `dev`, write weights and card into the folder `out`.

    A run that was interrupted goes on where it was. The scores on the card are those of the files as written.

    Args:
        clips: at least one of each label that shall be heard; those too short to say anything are left out.
        dev: of other people.
        out: folder of the run.
        config: how to train.
        about: what else the card is to say (corpus, command, licence).
        watch: called after each batch and each epoch.

    Raises:
        CorpusError: there is nothing to learn from, or to choose by.
        WeightsError: `out` cannot be written to, or holds an unfinished run with other data or settings.
    """
    clips, dev = ([clip for clip in split if clip.usable()] for split in (clips, dev))
    if len(clips) < 2 or not dev:
        raise CorpusError(f"{len(clips)} clips to learn from and {len(dev)} to choose by: there must be 2 and 1")
    network, best_epoch = fit_voice(clips, dev, out / RESUME, config, watch)
    know_voices(network, clips)
    known = calibrate(network, answers_of(network, dev))

    def scores() -> dict[str, Any]:
        encoder = VoiceEncoder.load(out)
        return {", ".join(("dev", *names)): asdict(evaluate_voice(encoder, dev, names)) for names in CONDITIONS}

    encoder = write_voice(network, out, {**about, **asdict(config), "best_epoch": best_epoch, **known}, scores)
    (out / RESUME).unlink(missing_ok=True)
    return encoder


def fit_voice(
    clips: Sequence[VoiceClip],
    dev: Sequence[VoiceClip],
    path: Path,
    config: VoiceTraining,
    watch: Callable[[StepDone | EpochDone], None],
) -> tuple[VoiceNetwork, int]:
    """A network trained on usable clips, and its epoch, which dev chooses; without dev it is the last.

    What it needs to go on stays in the file `path`, for the caller to remove.
    """
    torch.manual_seed(config.seed)
    recipe = Recipe(
        key=f"{_digest([*clips, *dev])} {asdict(config)}",
        seed=config.seed,
        first_seed=config.seed * EPOCHS_APART,
        epochs=config.epochs,
        ema=config.ema,
        clip=5.0,
        patience=config.patience if dev else None,
        score_every=config.score_every,
        warm_up=config.warm_up,
        fall_from=config.warm_up,
    )
    fit = Trainer(VoiceTask(clips, dev, config), recipe, path, watch).fit()
    network = VoiceNetwork(config.network).eval()
    network.load_state_dict(fit.weights)
    return network, fit.best_epoch


def write_voice(
    network: VoiceNetwork, out: Path, training: Mapping[str, Any], scores: Callable[[], Mapping[str, Any]]
) -> VoiceEncoder:
    """Write weights and card, with what `scores` finds in the folder then. Raises WeightsError when it cannot."""
    card = {"format": KIND.format, "labels": VOICE_LABELS, "network": asdict(network.config), "training": training}
    write_encoder(network, out, card, scores)
    return VoiceEncoder.load(out)


class VoiceTask:
    """As `trainer.Task`; a batch is an epoch and rows of the data set."""

    def __init__(self, clips: Sequence[VoiceClip], dev: Sequence[VoiceClip], config: VoiceTraining) -> None:
        network: Any = VoiceNetwork(config.network, config.dropout)
        network = nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
        network.begin_with(SpeakerEncoder.load(PRETRAINED / "speaker").recurrent)
        self.network: nn.Module = network
        named = list(network.named_parameters())
        self.groups: list[dict[str, Any]] = [
            {
                "params": [p for name, p in named if name.startswith("recurrent.layers.") == learnt],
                "lr": rate,
                "weight_decay": config.weight_decay,
            }
            for learnt, rate in ((True, config.recurrent_rate), (False, config.learning_rate))
        ]
        self._config = config
        self._dataset = VoiceDataset(clips, config.network.bands, config.seed, config.anew)
        counts = torch.bincount(self._dataset.labels, minlength=len(VOICE_LABELS)).float()
        self._weight = torch.where(counts > 0, len(clips) / (counts.clamp(min=1) * (counts > 0).sum()), 0.0)
        self._dev_labels = classes_of(dev)
        self._dev = [_logmels(dev, names, config.network.bands) for names in CONDITIONS]

    def batches(self, epoch: int, generator: Generator) -> list[tuple[int, Tensor]]:
        """All clips in random order."""
        return [(epoch, rows) for rows in even_batches(len(self._dataset.labels), self._config.batch, generator)]

    def loss(self, network: VoiceNetwork, batch: tuple[int, Tensor], generator: Generator) -> Tensor:
        """Cross-entropy of both parts of the network; rare labels weigh more."""
        epoch, rows = batch
        device = next(network.parameters()).device
        drawn = self._dataset.batch(rows, epoch, self._config.mixup, generator)
        logmels, frames, shares = (part.to(device) for part in drawn)
        with autocast(device):  # 1.5 times as fast where the processor has it
            logits = network.both(logmels, frames)
        both, weight = shares.repeat_interleave(2, 0), self._weight.to(device)
        return F.cross_entropy(logits.float().flatten(0, 1), both, weight, label_smoothing=self._config.smoothing)

    def score(self, network: VoiceNetwork) -> dict[str, float]:
        """Of clean sound and every degradation, and of clean sound alone; without dev every epoch is worth the same."""
        if not len(self._dev_labels):
            return {"not scored": 0.0}
        answers = [_answers(network, logmels) for logmels in self._dev]
        recalls = [uar(confusion(self._dev_labels, part, len(VOICE_LABELS))) for part in answers]
        return {"UAR, degraded too": sum(recalls) / len(recalls), "clean": recalls[0]}


def _logmels(clips: Sequence[VoiceClip], names: Sequence[str], bands: int) -> list[Tensor]:
    """Clips under a condition; of one that is not usable then, a log-mel of nothing."""
    logmel, nothing = LogMel(bands), torch.zeros(bands + POWER_BANDS, 1)
    made = [logmel(samples(degrade(clip.pcm, names))) for clip in clips]
    return [nothing if one is None else one for one in made]


def _answers(network: VoiceNetwork, logmels: Sequence[Tensor]) -> Tensor:
    device = next(network.parameters()).device
    order = sorted(range(len(logmels)), key=lambda row: logmels[row].shape[1])  # little is spent on padding
    answers = torch.empty(len(logmels), dtype=torch.int64)
    for rows in torch.split(torch.tensor(order), TOGETHER):
        together, frames = padded([logmels[row] for row in rows.tolist()])
        with autocast(device):
            answers[rows] = network(together.to(device), frames.to(device)).argmax(1).cpu()
    return answers


def _digest(clips: Sequence[VoiceClip]) -> str:
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(repr((clip.name, clip.label)).encode() + clip.pcm.tobytes())
    return digest.hexdigest()[:16]
