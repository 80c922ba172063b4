"""Trains the voice network on labelled clips, and measures it, also on sound that a line, noise or a room has spoilt.

Acted clips are few and made in one studio, so each is heard as another person, in another place, every few epochs; two
are mixed, and stretches of time and pitch hidden (Park et al. 2019: "SpecAugment"; Zhang et al. 2018: "mixup"). The
weights that are kept are a moving mean over the steps, of the epoch with the best unweighted average recall on dev, as
the mean of clean sound and every degradation; no other split is read. All chance of an epoch comes from its own seed,
so a run that was interrupted and resumed gives the same weights as one that was not.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from erc_live.models.card import PRETRAINED
from erc_live.models.encoders.speaker import BANDS as POWER_BANDS
from erc_live.models.encoders.speaker import SpeakerEncoder
from erc_live.models.encoders.voice import KIND, RATE_HZ, SHORTEST_S, VOICE_LABELS, Picture, VoiceEncoder, samples
from erc_live.models.encoders.voice_network import VoiceConfig, VoiceNetwork
from erc_live.models.errors import CorpusError
from erc_live.models.training.calibration import calibration_error, temperature
from erc_live.models.training.folder import write
from erc_live.models.training.metrics import accuracy, confusion, recall_per_class, uar
from erc_live.models.training.moving_mean import MovingMean
from erc_live.models.training.sounds import DEGRADATIONS, degrade, spoil, trimmed

UNFINISHED = "unfinished.safetensors"  # in the folder of a run, until it has ended
CONDITIONS: tuple[tuple[str, ...], ...] = ((), *((name,) for name in DEGRADATIONS))  # under which dev is heard

TEMPO, SHARE_TEMPO = 0.15, 0.5  # natural log of the ratio, either way; pitch and throat stay
SHORTEST, LONGEST = 64, 208  # frames of a batch: the network shall not learn how long the sentences are
HIDDEN = 2  # stretches of time, and of pitch, that are hidden in each picture ...
HIDDEN_BANDS, HIDDEN_FRAMES, HIDDEN_SHARE = 8, 20, 5  # ... at most so many bands; frames, and 1 / 5 of the picture
MIXED = 0.4  # both parameters of the beta distribution of the shares of two clips


@dataclass(frozen=True)
class VoiceTraining:
    """How to train. The learning rate is the highest: up over the first `warm_up`, then down along a cosine."""

    seed: int = 0
    epochs: int = 50
    looks: int = 5  # epochs from one look at dev to the next; the last is always looked at
    patience: int = 20  # epochs without a better score after which the run ends
    batch: int = 24
    learning_rate: float = 2e-3
    recurrent_rate: float = 2e-4  # of the layers that have learnt to tell speakers apart
    warm_up: float = 0.1  # share of the steps
    weight_decay: float = 0.03
    smoothing: float = 0.1  # of the labels
    mixing: float = 0.4  # share of the batches
    dropout: float = 0.1
    memory: float = 0.995  # of the moving mean over steps
    anew: int = 4  # epochs after which a clip is spoilt in another way; in between only its picture is
    network: VoiceConfig = field(default_factory=VoiceConfig)


@dataclass(frozen=True)
class Recording:
    """What somebody said, and with which of `VOICE_LABELS`. Shapes: pcm int16 (n,) at `RATE_HZ`."""

    name: str
    pcm: np.ndarray
    label: str


@dataclass(frozen=True)
class VoiceScores:
    """What the network reached on `clips`; `unusable` of them gave no answer, which counts as a wrong one (neutral, or
    surprise where neutral is right). `recall` has the labels that occur; `confusion` a row per label, a column per
    answer.
    """

    clips: int
    unusable: int
    uar: float
    accuracy: float
    recall: dict[str, float]
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, log_probs: Tensor, labels: Tensor) -> "VoiceScores":
        """Shapes: log_probs (n, 7), NaN where there is no answer; labels (n,), n > 0."""
        heard = log_probs.isfinite().all(1)
        answers = torch.where(heard, log_probs.nan_to_num(-math.inf).argmax(1), (labels == 0).long())
        counts = confusion(labels, answers, len(VOICE_LABELS))
        recalls = zip(VOICE_LABELS, recall_per_class(counts).tolist(), counts.sum(1).tolist(), strict=True)
        return cls(
            clips=len(labels),
            unusable=int((~heard).sum()),
            uar=uar(counts),
            accuracy=accuracy(counts),
            recall={label: recall for label, recall, support in recalls if support},
            calibration_error=calibration_error(log_probs[heard].double().exp(), labels[heard]) if heard.any() else 0.0,
            confusion=tuple(tuple(row) for row in counts.tolist()),
        )


@dataclass(frozen=True)
class DevScores:
    """Unweighted average recall of the moving mean on dev: clean, and the mean over clean sound and every degradation,
    by which the epoch is chosen.
    """

    clean: float
    mean: float


@dataclass(frozen=True)
class Epoch:
    """What is reported after each epoch: mean loss; the scores where dev was looked at."""

    epoch: int
    loss: float
    dev: DevScores | None


def vectors(encoder: VoiceEncoder, recordings: Sequence[Recording], names: Sequence[str] = ()) -> Tensor:
    """What the encoder hears in recordings, as they are or spoilt in the given ways one after the other.

    Shapes: N recordings -> (N, 7) float32 log-probabilities, NaN where nothing is usable.
    """
    return torch.from_numpy(encoder.encode([degrade(recording.pcm, names) for recording in recordings]))


def evaluate(encoder: VoiceEncoder, recordings: Sequence[Recording], names: Sequence[str] = ()) -> VoiceScores:
    """Score recordings, as they are or spoilt in the given ways one after the other. Raises CorpusError without any."""
    if not recordings:
        raise CorpusError("there are no clips to score")
    return VoiceScores.of(vectors(encoder, recordings, names), _labels(recordings))


def train(
    clips: Sequence[Recording],
    dev: Sequence[Recording],
    out: Path,
    config: VoiceTraining,
    about: Mapping[str, Any],
    report: Callable[[Epoch], None] = lambda _: None,
) -> VoiceEncoder:
    """Train on `clips`, choose the epoch and the temperature on `dev`, write weights and card into the folder `out`.

    A run that was interrupted goes on where it was. The scores on the card are those of the files as written.

    Args:
        clips: at least one of each label that shall be heard; those too short to say anything are left out.
        dev: of other people.
        out: folder of the run.
        config: how to train.
        about: what else the card is to say (corpus, command, licence).
        report: called after each epoch.

    Raises:
        CorpusError: there is nothing to learn from, or to choose by.
        WeightsError: `out` cannot be written to, or holds an unfinished run with other settings.
    """
    clips, dev = ([part for part in whole_part if _usable(part)] for whole_part in (clips, dev))
    if len(clips) < 2 or not dev:
        raise CorpusError(f"{len(clips)} clips to learn from and {len(dev)} to choose by: there must be 2 and 1")
    with torch.random.fork_rng(devices=[]):
        run = _Run(config, clips)
        judge = _Judge(dev, config.network)
        run.state.resume(out / UNFINISHED)
        for epoch in range(run.state.epoch, config.epochs):
            if epoch - run.state.best_epoch > config.patience:
                break
            loss = run.pass_over(epoch)
            looked = (epoch + 1) % config.looks == 0 or epoch + 1 == config.epochs
            scores = judge.scores(run.state.mean) if looked else None
            run.state.consider(scores.mean if scores else None)
            run.state.save(out / UNFINISHED)
            report(Epoch(epoch, loss, scores))
    network = VoiceNetwork(config.network)
    network.load_state_dict(run.state.best)
    encoder = _write(network, out, dev, {**about, **asdict(config), "best_epoch": run.state.best_epoch})
    (out / UNFINISHED).unlink(missing_ok=True)
    return encoder


class _Run:
    """One run over the clips: their waves, and the pictures of how they were last spoilt."""

    def __init__(self, config: VoiceTraining, clips: Sequence[Recording]) -> None:
        torch.manual_seed(config.seed)
        network: Any = VoiceNetwork(config.network, config.dropout)
        network = nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
        network.begin_with(SpeakerEncoder.load(PRETRAINED / "speaker").recurrent)
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, parameter in network.named_parameters():
            groups[name.startswith("recurrent.layers.")].append(parameter)
        optimiser = torch.optim.AdamW(
            [
                {"params": groups[True], "peak": config.recurrent_rate},
                {"params": groups[False], "peak": config.learning_rate},
            ],
            weight_decay=config.weight_decay,
        )
        self.state = MovingMean(network, optimiser, config.memory, asdict(config))
        self._config = config
        self._picture = Picture(config.network.bands)
        self._waves = [trimmed(samples(clip.pcm)) for clip in clips]
        self._pictures: dict[int, tuple[int, Tensor]] = {}  # of which version each is
        self._labels = _labels(clips)
        counts = torch.bincount(self._labels, minlength=len(VOICE_LABELS)).float()
        self._weight = torch.where(counts > 0, len(clips) / (counts.clamp(min=1) * (counts > 0).sum()), 0.0)

    def pass_over(self, epoch: int) -> float:
        """One epoch; the mean loss."""
        config = self._config
        seed = config.seed * 10_000 + epoch
        torch.manual_seed(seed)  # of the dropout
        generator = Generator().manual_seed(seed)
        batches = torch.split(torch.randperm(len(self._waves), generator=generator), config.batch)
        if len(batches) > 1 and len(batches[-1]) < config.batch:
            batches = batches[:-1]  # a small batch would shake the norms
        self.state.network.train()
        losses = []
        for number, rows in enumerate(batches):
            pictures, frames, shares = self._batch(rows, epoch, generator)
            step = epoch * len(batches) + number
            done = (step + 1) / (config.epochs * len(batches))
            for group in self.state.optimiser.param_groups:
                group["lr"] = group["peak"] * _rate(done, config.warm_up)
            losses.append(self._step(pictures, frames, shares))
            self.state.follow(step)
        return sum(losses) / len(losses)

    def _step(self, pictures: Tensor, frames: Tensor, shares: Tensor) -> float:
        with torch.autocast("cpu", torch.bfloat16):  # 1.5 times as fast where the processor has it
            logits = self.state.network.both(pictures, frames)
        both = shares.repeat_interleave(2, 0)
        loss = F.cross_entropy(logits.float().flatten(0, 1), both, self._weight, label_smoothing=self._config.smoothing)
        self.state.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.state.network.parameters(), 5.0)
        self.state.optimiser.step()
        return loss.item()

    def _batch(self, rows: Tensor, epoch: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Shapes: pictures (B, bands, T), how many frames of each are real (B,), shares of the labels (B, 7)."""
        seen = [_retimed(self._spoilt(row, epoch), generator) for row in rows.tolist()]
        longest = _integer(SHORTEST, LONGEST, generator)
        pictures, frames = _padded([_cut(picture, longest, generator) for picture in seen])
        for picture, count in zip(pictures, frames.tolist(), strict=True):
            _hide(picture[: self._config.network.bands, :count], generator)
        shares = F.one_hot(self._labels[rows], len(VOICE_LABELS)).float()
        if torch.rand((), generator=generator) < self._config.mixing:
            other = torch.randperm(len(rows), generator=generator)
            share = _beta(generator)
            pictures, shares = pictures.lerp(pictures[other], share), shares.lerp(shares[other], share)
            frames = torch.maximum(frames, frames[other])
        return pictures, frames, shares

    def _spoilt(self, row: int, epoch: int) -> Tensor:
        """The picture of a clip as it sounds in this epoch, which depends on nothing that came before."""
        version = (epoch + row) // self._config.anew
        if self._pictures.get(row, (-1,))[0] != version:
            chance = Generator().manual_seed((self._config.seed * len(self._waves) + row) * 10_000 + version)
            picture = self._picture(spoil(self._waves[row], self._waves, chance))
            if picture is None:
                picture = self._picture(self._waves[row])
            assert picture is not None  # as `train` made sure
            self._pictures[row] = (version, picture)
        return self._pictures[row][1]


class _Judge:
    """Dev under every condition, as pictures."""

    def __init__(self, dev: Sequence[Recording], config: VoiceConfig) -> None:
        picture = Picture(config.bands)
        self._labels = _labels(dev)
        heard = [[picture(samples(degrade(clip.pcm, names))) for clip in dev] for names in CONDITIONS]
        self._pictures = [
            [torch.zeros(config.bands + POWER_BANDS, 1) if seen is None else seen for seen in part] for part in heard
        ]

    @torch.inference_mode()
    def scores(self, network: nn.Module) -> DevScores:
        answers = [self._answers(network, part) for part in self._pictures]
        recalls = [uar(confusion(self._labels, part, len(VOICE_LABELS))) for part in answers]
        return DevScores(recalls[0], sum(recalls) / len(recalls))

    def _answers(self, network: nn.Module, pictures: Sequence[Tensor]) -> Tensor:
        order = sorted(range(len(pictures)), key=lambda row: pictures[row].shape[1])  # little is spent on padding
        answers = torch.empty(len(pictures), dtype=torch.int64)
        for rows in torch.split(torch.tensor(order), 32):
            with torch.autocast("cpu", torch.bfloat16):
                answers[rows] = network(*_padded([pictures[row] for row in rows.tolist()])).argmax(1)
        return answers


def _usable(recording: Recording) -> bool:
    return len(recording.pcm) >= SHORTEST_S * RATE_HZ and Picture(8)(samples(recording.pcm)) is not None


def _labels(recordings: Sequence[Recording]) -> Tensor:
    return torch.tensor([VOICE_LABELS.index(recording.label) for recording in recordings])


def _padded(pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Pictures (bands, frames) of any length as one (B, bands, T), and how many frames of each are real (B,)."""
    frames = torch.tensor([picture.shape[1] for picture in pictures])
    padded = torch.zeros(len(pictures), pictures[0].shape[0], int(frames.max()))
    for row, picture in zip(padded, pictures, strict=True):
        row[:, : picture.shape[1]] = picture
    return padded, frames


def _integer(low: int, high: int, generator: Generator) -> int:
    """Any of low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _retimed(picture: Tensor, generator: Generator) -> Tensor:
    """Spoken faster or slower."""
    if torch.rand((), generator=generator) >= SHARE_TEMPO:
        return picture
    ratio = math.exp(TEMPO * (2 * float(torch.rand((), generator=generator)) - 1))
    return F.interpolate(picture[None], size=max(round(picture.shape[1] * ratio), 8), mode="linear")[0]


def _cut(picture: Tensor, longest: int, generator: Generator) -> Tensor:
    start = _integer(0, max(picture.shape[1] - longest, 0), generator)
    return picture[:, start : start + longest]


def _hide(picture: Tensor, generator: Generator) -> None:
    bands, frames = picture.shape
    for _ in range(HIDDEN):
        wide = _integer(0, min(HIDDEN_BANDS, bands // 2), generator)
        first = _integer(0, bands - wide, generator)
        picture[first : first + wide] = 0
        long = _integer(0, min(HIDDEN_FRAMES, frames // HIDDEN_SHARE), generator)
        first = _integer(0, frames - long, generator)
        picture[:, first : first + long] = 0


def _beta(generator: Generator) -> float:
    """A share up to 1/2 of the second clip: Beta(a, a) is the ratio of two gamma variables."""
    gamma = torch._standard_gamma(torch.full((2,), MIXED), generator=generator)
    return float(gamma.min() / gamma.sum().clamp(min=1e-12))


def _rate(done: float, warm_up: float) -> float:
    if done < warm_up:
        return done / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm_up) / (1 - warm_up))


def _write(network: VoiceNetwork, out: Path, dev: Sequence[Recording], training: Mapping[str, Any]) -> VoiceEncoder:
    softness = temperature(vectors(VoiceEncoder(copy.deepcopy(network), ""), dev), _labels(dev))
    with torch.no_grad():
        for head in (network.convolutional.head, network.recurrent.head):
            head.weight.div_(softness)
            head.bias.div_(softness)
    training = {**training, "temperature": softness}
    card = {"format": KIND.format, "labels": VOICE_LABELS, "network": asdict(network.config), "training": training}

    def scores() -> dict[str, Any]:
        encoder = VoiceEncoder.load(out)
        return {", ".join(("dev", *names)): asdict(evaluate(encoder, dev, names)) for names in CONDITIONS}

    write(network, out, card, scores)
    return VoiceEncoder.load(out)
