"""The two networks that hear how a voice sounds: one learnt from acted emotions alone, one from thousands of people.

Convolutional: residual blocks (He et al. 2016) on the log-mel power, attentive statistics pooling over time (Okabe,
Koshinaka and Shinoda 2018). Recurrent: the first layers of the network that tells speakers apart (speaker.py), tuned,
on mel power, with the mean and the deviation of each over time; they have heard thousands of people, where sixteen
actors teach a network their own habits. A linear layer on them alone, without any augmentation (by a script), reached
more on clean sound than the convolutional network: recall 0.677 against 0.622. The answer is the mean of the two
logits.

Both were surest where they were wrong: on languages and machines that no actor resembles. So the network also knows how
its training voices lie in what it pools of them, and the farther a voice lies from these, the flatter is its answer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from erc_live.models.encoders.speaker import BANDS as POWER_BANDS
from erc_live.models.encoders.speaker import WIDTH

CLASSES = 7
STRIDE = 8  # frames per step of the convolutional network
LAYERS = 2  # of speaker.py: the third knows less of emotion
DIRECTIONS = 32  # in which voices differ most; of 32, 64 and 128 the best at telling other voices from unheard actors
LEAST = 1e-3  # of the mean variance: that of the other directions, of a few voices, may be none


@dataclass(frozen=True)
class VoiceConfig:
    """Sizes: mel bands; channels of the three levels of resolution; width of the pooled description."""

    bands: int = 64
    widths: tuple[int, int, int] = (24, 48, 96)
    width: int = 160


class VoiceNetwork(nn.Module):
    """Logits of the labels. Shapes: log-mels (n, bands + POWER_BANDS, frames) float32 -> (n, 7).

    `frames` (n,) says how many of each are real, where shorter log-mels of a batch are padded with zeros; padding is
    for training only, for it is seen by the convolutions near it.
    """

    def __init__(self, config: VoiceConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.convolutional = _Convolutional(config, dropout)
        self.recurrent = _Recurrent(dropout)
        self.familiarity = Familiarity(2 * config.width + 2 * LAYERS * WIDTH)

    def forward(self, logmels: Tensor, frames: Tensor | None = None) -> Tensor:
        return self.both(logmels, frames).mean(1)

    def both(self, logmels: Tensor, frames: Tensor | None = None) -> Tensor:
        """What each network says. Shapes: as above -> (n, 2, 7)"""
        return self.described(logmels, frames)[0]

    def described(self, logmels: Tensor, frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What each network says, and what both pooled over time. Shapes: as above -> (n, 2, 7), (n, D)"""
        log, power = logmels[:, : self.config.bands], logmels[:, self.config.bands :]
        first, second = self.convolutional.pooled(log, frames), self.recurrent.pooled(power, frames)
        answers = torch.stack((self.convolutional.answer(first), self.recurrent.answer(second)), 1)
        return answers, torch.cat((first, second), 1)

    def log_probs(self, logmels: Tensor) -> Tensor:
        """The answer, flatter for unfamiliar voices. Shapes: log-mels without padding, as above -> (n, 7)"""
        logits, pooled = self.described(logmels)
        flatness = self.familiarity.temperature(self.familiarity.distance(pooled))
        return (logits.mean(1) / flatness[:, None]).log_softmax(1)

    def begin_with(self, speakers: nn.LSTM) -> None:
        """Take the first layers of the network that tells speakers apart."""
        for place, layer in enumerate(self.recurrent.layers):
            whole: Mapping[str, Tensor] = speakers.state_dict()
            names = {name: f"{name.removesuffix('0')}{place}" for name in layer.state_dict()}
            layer.load_state_dict({name: whole[theirs] for name, theirs in names.items()})


class Familiarity(nn.Module):
    """How far a voice lies from those that were learnt from, and by what its logits are divided for that.

    Distance: that of Mahalanobis from the mean of the training voices (as Lee et al. 2018, with one mean for all
    classes), under the Gaussian of probabilistic principal components (Tipping and Bishop 1999): a variance for each of
    the `DIRECTIONS` in which these voices differ most, one for all others. It is divided by the root of the number of
    dimensions, so 1 is usual among them. Up to `usual`, within which most people lie who taught nothing, the divisor is
    1; beyond, it grows by `slope` for each unit. Before anything is learnt it is always 1.
    """

    centre: Tensor
    directions: Tensor
    variances: Tensor
    rest: Tensor
    usual: Tensor
    slope: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, start in (
            ("centre", torch.zeros(width)),
            ("directions", torch.eye(DIRECTIONS, width)),
            ("variances", torch.ones(DIRECTIONS)),
            ("rest", torch.ones(())),
            ("usual", torch.zeros(())),
            ("slope", torch.zeros(())),
        ):
            self.register_buffer(name, start)

    def fit(self, learnt: Tensor) -> None:
        """Learn where the training voices lie. Shapes: (n, width), n > 1, width > `DIRECTIONS`"""
        values, vectors = torch.linalg.eigh(torch.cov(learnt.T.double()))
        rest = values[:-DIRECTIONS].mean().clamp(min=LEAST * float(values.mean()))
        self.centre.copy_(learnt.mean(0))
        self.directions.copy_(vectors[:, -DIRECTIONS:].T)
        self.variances.copy_(values[-DIRECTIONS:].clamp(min=rest))
        self.rest.copy_(rest)

    def distance(self, pooled: Tensor) -> Tensor:
        """Shapes: (n, width) -> (n,)"""
        away = pooled - self.centre
        along = (away @ self.directions.T).square()
        beside = (away.square().sum(1) - along.sum(1)).clamp(min=0)
        return (((along / self.variances).sum(1) + beside / self.rest) / pooled.shape[1]).sqrt()

    def temperature(self, distance: Tensor) -> Tensor:
        """What divides the logits of voices so far away. Shapes: (n,) -> (n,), at least 1"""
        return 1 + self.slope * (distance - self.usual).clamp(min=0)


class _Convolutional(nn.Module):
    """Shapes: log-mel power (n, bands, frames) -> (n, 7), by way of `pooled`"""

    def __init__(self, config: VoiceConfig, dropout: float = 0.0) -> None:
        super().__init__()
        first, second, third = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        self.body = nn.Sequential(
            _VoiceBlock(first, first, 1, dropout),
            _VoiceBlock(first, second, 2, dropout),
            _VoiceBlock(second, second, 1, dropout),
            _VoiceBlock(second, third, 2, dropout),
            _VoiceBlock(third, third, 1, dropout),
        )
        rows = math.ceil(config.bands / STRIDE)
        self.merge = nn.Sequential(
            nn.Conv1d(third * rows, config.width, 1, bias=False), nn.BatchNorm1d(config.width), nn.ReLU()
        )
        self.attention = nn.Sequential(
            nn.Conv1d(config.width, config.width // 4, 1), nn.Tanh(), nn.Conv1d(config.width // 4, config.width, 1)
        )
        self.norm = nn.BatchNorm1d(2 * config.width)
        self.drop = nn.Dropout(3 * dropout)
        self.head = nn.Linear(2 * config.width, CLASSES)

    def pooled(self, logmels: Tensor, frames: Tensor | None = None) -> Tensor:
        """Mean and deviation over time, by attention. Shapes: -> (n, 2 width)"""
        seen = self.merge(self.body(self.stem(logmels[:, None])).flatten(1, 2)).float()
        scores = self.attention(seen).float()
        if frames is not None:
            steps = torch.div(frames + STRIDE - 1, STRIDE, rounding_mode="floor")
            scores = scores.masked_fill(~_real(steps, seen.shape[2])[:, None], -math.inf)
        weight = scores.softmax(2)
        mean = (weight * seen).sum(2)
        deviation = ((weight * seen.square()).sum(2) - mean.square()).clamp(min=1e-4).sqrt()
        description: Tensor = self.norm(torch.cat((mean, deviation), 1))
        return description

    def answer(self, pooled: Tensor) -> Tensor:
        """Shapes: (n, 2 width) -> (n, 7)"""
        logits: Tensor = self.head(self.drop(pooled))
        return logits


class _Recurrent(nn.Module):
    """Shapes: mel power (n, POWER_BANDS, frames) -> (n, 7), by way of `pooled`"""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        widths = (POWER_BANDS, *[WIDTH] * (LAYERS - 1))
        self.layers = nn.ModuleList(nn.LSTM(width, WIDTH, batch_first=True) for width in widths)
        self.norm = nn.BatchNorm1d(2 * LAYERS * WIDTH)
        self.drop = nn.Dropout(4 * dropout)
        self.head = nn.Linear(2 * LAYERS * WIDTH, CLASSES)

    def pooled(self, power: Tensor, frames: Tensor | None = None) -> Tensor:
        """Mean and deviation of each layer over time. Shapes: -> (n, 2 * LAYERS * WIDTH)"""
        real = power.new_ones(len(power), power.shape[2]) if frames is None else _real(frames, power.shape[2]).float()
        weight = (real / real.sum(1, keepdim=True))[:, :, None]
        seen, pooled = power.transpose(1, 2), []
        with torch.autocast(power.device.type, enabled=False):
            for layer in self.layers:
                seen, _ = layer(seen)
                mean = (seen * weight).sum(1)
                deviation = ((seen - mean[:, None]).square() * weight).sum(1).clamp(min=1e-6).sqrt()
                pooled += [mean, deviation]
            description: Tensor = self.norm(torch.cat(pooled, 1))
        return description

    def answer(self, pooled: Tensor) -> Tensor:
        """Shapes: (n, 2 * LAYERS * WIDTH) -> (n, 7)"""
        with torch.autocast(pooled.device.type, enabled=False):
            logits: Tensor = self.head(self.drop(pooled))
        return logits


class _VoiceBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int, wide: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, wide, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(wide)
        self.second = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(wide)
        self.drop = nn.Dropout2d(dropout)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide)
            )

    def forward(self, seen: Tensor) -> Tensor:
        change = F.relu(self.first_norm(self.first(seen)))
        change = self.second_norm(self.second(change))
        return F.relu(self.shortcut(seen) + self.drop(change))


def _real(frames: Tensor, longest: int) -> Tensor:
    """Which frames are real, and no padding. Shapes: (n,) -> (n, longest) bool"""
    return torch.arange(longest, device=frames.device) < frames[:, None]
