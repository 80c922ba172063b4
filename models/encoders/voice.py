"""How a voice sounds, as seven log-probabilities: a small convolutional network on the log-mel spectrogram.

Training and live use this same class, so features cannot drift apart. Everything that belongs to the recording and not
to the voice is taken out of each utterance alone, never from a past or a neighbour: its level, its silence before and
after, and the mean of each band, in which microphone, line and room colour speech. An utterance is computed by itself,
without padding, so that the answer depends on its samples and on nothing else.
No state, no I/O but `load`.

Network: residual blocks (He et al. 2016), attentive statistics pooling over time (Okabe, Koshinaka and Shinoda 2018).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from erc_live.models.encoders.folder import Kind, load

VOICE_LABELS: tuple[str, ...] = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
RATE_HZ = 16_000
SHORTEST_S = 0.3  # less than a syllable says nothing
KIND = Kind("voice", "erc.voice/1", VOICE_LABELS)  # to be counted up with every change that moves a value

WINDOW, HOP, POINTS = 400, 160, 512  # 25 ms, 10 ms; samples of the transform
LOW_HZ, HIGH_HZ = 50.0, 7_600.0
SILENT = 2.0**-30  # mean square of a wave in [-1, 1] whose largest deviation is about one step of 16 bit
FLOOR = 1e-5  # of the mean power of the speech: 50 dB below it nothing is heard
RANGE_DB = 30.0  # speech is at most this far below its loud parts (their 0.95 quantile) ...
ABOVE_NOISE = 0.3  # ... and this share of the way from the background (the 0.1 quantile) to them above it
MARGIN = 10  # frames that are kept before and after the speech
SCALE = 2.5  # about the standard deviation of a natural logarithm of mel power in speech
STRIDE = 8  # frames per step of the pooling


@dataclass(frozen=True)
class VoiceConfig:
    """Sizes: mel bands; channels of the three levels of resolution; width of the pooled description."""

    bands: int = 64
    widths: tuple[int, int, int] = (24, 48, 96)
    width: int = 160


class LogMel:
    """Samples to the picture that the network sees."""

    def __init__(self, bands: int) -> None:
        self._bank = _mel_bank(bands)
        self._window = torch.hann_window(WINDOW)

    def __call__(self, wave: Tensor) -> Tensor | None:
        """Log-mel power of the speech, mean 0 in each band; None when there is nothing usable.

        Shapes: wave (n,) float32 in [-1, 1], mono at `RATE_HZ`; result (bands, frames). Twice the samples give the
        same picture. Nothing usable: shorter than `SHORTEST_S`, not finite, or digital silence (also a constant).
        """
        if len(wave) < SHORTEST_S * RATE_HZ:
            return None
        wave = wave - wave.mean()
        if not wave.square().mean() > SILENT:  # also where it is NaN
            return None
        wave = wave / wave.abs().max()  # so that rounding does not depend on the level
        spectrum = torch.stft(wave, POINTS, HOP, WINDOW, self._window, pad_mode="constant", return_complex=True)
        power = self._bank @ spectrum.abs().square()
        speech = _speech(10 * torch.log10(power.sum(0) + 1e-12))
        kept = power[:, max(int(speech[0]) - MARGIN, 0) : int(speech[-1]) + MARGIN + 1]
        log = torch.log(kept / power[:, speech].mean() + FLOOR)
        return (log - log.mean(1, keepdim=True)) / SCALE


def _speech(level_db: Tensor) -> Tensor:
    """Indices of the frames that are loud enough to be speech; at least one. Shapes: (frames,)"""
    loud = torch.quantile(level_db, 0.95)
    background = torch.quantile(level_db, 0.1)
    threshold = torch.maximum(loud - RANGE_DB, background + ABOVE_NOISE * (loud - background))
    return torch.nonzero(level_db >= threshold)[:, 0]


def _mel_bank(bands: int) -> Tensor:
    """Triangles on the mel scale (O'Shaughnessy 1987), each of sum 1. Shapes: (bands, POINTS / 2 + 1)"""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (LOW_HZ, HIGH_HZ))
    corners = 700 * (10 ** (torch.linspace(low, high, bands + 2, dtype=torch.float64) / 2595) - 1)
    hertz = torch.linspace(0, RATE_HZ / 2, POINTS // 2 + 1, dtype=torch.float64)
    below, top, above = (part[:, None] for part in (corners[:-2], corners[1:-1], corners[2:]))
    weight = torch.minimum((hertz - below) / (top - below), (above - hertz) / (above - top)).clamp(min=0)
    return (weight / weight.sum(1, keepdim=True)).float()


class VoiceNetwork(nn.Module):
    """Logits of the labels. Shapes: pictures (n, bands, frames) float32 -> (n, 7).

    `frames` (n,) says how many of each are real, where shorter pictures of a batch are padded with zeros; padding is
    for training only, for it is seen by the convolutions near it.
    """

    def __init__(self, config: VoiceConfig, dropout: float = 0.0) -> None:
        super().__init__()
        first, second, third = config.widths
        self.config = config
        self.stem = nn.Sequential(
            nn.Conv2d(1, first, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        self.body = nn.Sequential(
            _Block(first, first, 1, dropout),
            _Block(first, second, 2, dropout),
            _Block(second, second, 1, dropout),
            _Block(second, third, 2, dropout),
            _Block(third, third, 1, dropout),
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
        self.head = nn.Linear(2 * config.width, len(VOICE_LABELS))

    def forward(self, pictures: Tensor, frames: Tensor | None = None) -> Tensor:
        seen = self.merge(self.body(self.stem(pictures[:, None])).flatten(1, 2)).float()
        scores = self.attention(seen).float()
        if frames is not None:
            steps = torch.div(frames + STRIDE - 1, STRIDE, rounding_mode="floor")
            scores = scores.masked_fill(torch.arange(seen.shape[2]) >= steps[:, None, None], -math.inf)
        weight = scores.softmax(2)
        mean = (weight * seen).sum(2)
        deviation = ((weight * seen.square()).sum(2) - mean.square()).clamp(min=1e-4).sqrt()
        logits: Tensor = self.head(self.drop(self.norm(torch.cat((mean, deviation), 1))))
        return logits


class _Block(nn.Module):
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


class VoiceEncoder:
    """Utterances of 16-bit samples to log-probabilities of `VOICE_LABELS`, calibrated. `fingerprint` names recipe and
    weights.
    """

    dim = len(VOICE_LABELS)

    def __init__(self, network: VoiceNetwork, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._network: Any = nn.utils.convert_conv2d_weight_memory_format(
            network.float().eval(), torch.channels_last
        )  # 1.3 times as fast
        self._picture = LogMel(network.config.bands)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read weights and card in `folder`.

        Raises:
            WeightsError: a file is missing or damaged, or the weights are not those of the card.
        """
        network, digest = load(folder, KIND, lambda card: VoiceNetwork(_config(card["network"])))
        return cls(network, f"{KIND.format}@{digest[:12]}")

    def __call__(self, pcm: np.ndarray) -> np.ndarray:
        """Hear one utterance. Shapes: int16 (n,), n >= 0, at `RATE_HZ` -> float32 (7,), NaN when nothing is usable."""
        row: np.ndarray = self.encode([pcm])[0]
        return row

    def encode(self, waves: Sequence[np.ndarray]) -> np.ndarray:
        """Hear utterances; a row depends on its own samples only. Shapes: N times int16 (n,) -> float32 (N, 7)."""
        rows = np.full((len(waves), self.dim), np.nan, np.float32)
        with torch.inference_mode():
            for row, pcm in zip(rows, waves, strict=True):
                picture = self._picture(samples(pcm))
                if picture is not None:
                    row[:] = self._network(picture[None]).log_softmax(1)[0].numpy()
        return rows


def samples(pcm: np.ndarray) -> Tensor:
    """16-bit samples as a wave. Shapes: int16 (n,) -> float32 (n,) in [-1, 1)."""
    return torch.from_numpy(pcm.astype(np.float32) / 32_768.0)


def _config(sizes: Mapping[str, Any]) -> VoiceConfig:
    return VoiceConfig(**{**sizes, "widths": tuple(sizes["widths"])})
