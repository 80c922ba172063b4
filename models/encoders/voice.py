"""How a voice sounds, as seven log-probabilities, from its mel spectrogram (the networks: voice_network.py).

Training and live use this same class, so features cannot drift apart. Everything that belongs to the recording and not
to the voice is taken out of each utterance alone, never from a past or a neighbour: its level, its silence before and
after, and, for the convolutional network, the mean of each band, in which microphone, line and room colour speech. An
utterance is computed by itself, without padding, so that the answer depends on its samples and on nothing else.
No state, no I/O but `load`.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from erc_live.models.encoders.folder import Kind, load
from erc_live.models.encoders.speaker import LEVEL, Mel
from erc_live.models.encoders.voice_network import VoiceConfig, VoiceNetwork

VOICE_LABELS: tuple[str, ...] = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
RATE_HZ = 16_000
SHORTEST_S = 0.3  # less than a syllable says nothing
KIND = Kind("voice", "erc.voice/3", VOICE_LABELS)  # to be counted up with every change that moves a value

WINDOW, HOP, POINTS = 400, 160, 512  # 25 ms, 10 ms; samples of the transform
LOW_HZ, HIGH_HZ = 50.0, 7_600.0
SILENT = 2.0**-30  # mean square of a wave in [-1, 1] whose largest deviation is about one step of 16 bit
FLOOR = 1e-5  # of the mean power of the speech: 50 dB below it nothing is heard
RANGE_DB = 30.0  # speech is at most this far below its loud parts (their 0.95 quantile) ...
ABOVE_NOISE = 0.3  # ... and this share of the way from the background (the 0.1 quantile) to them above it
MARGIN = 10  # frames that are kept before and after the speech
SCALE = 2.5  # about the standard deviation of a natural logarithm of mel power in speech


class LogMel:
    """Samples to the log-mel that the networks read."""

    def __init__(self, bands: int) -> None:
        self._bank = _mel_bank(bands)
        self._window = torch.hann_window(WINDOW)
        self._mel = Mel()

    def __call__(self, wave: Tensor) -> Tensor | None:
        """Log-mel power of the speech, mean 0 in each band, and below it power as speaker.py sees it, at one loudness;
        None when there is nothing usable.

        Shapes: wave (n,) float32 in [-1, 1], mono at `RATE_HZ`; result (bands + POWER_BANDS, frames). Twice the samples
        give the same log-mel. Nothing usable: shorter than `SHORTEST_S`, not finite, or digital silence (also a
        constant).
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
        first, last = max(int(speech[0]) - MARGIN, 0), int(speech[-1]) + MARGIN + 1
        log = torch.log(power[:, first:last] / power[:, speech].mean() + FLOOR)
        loudness = wave[first * HOP : last * HOP].square().mean().sqrt()
        seen = self._mel(wave[None] * (LEVEL / loudness))[0, first:last]
        return torch.cat(((log - log.mean(1, keepdim=True)) / SCALE, seen.T))


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


class VoiceEncoder:
    """Utterances of 16-bit samples to calibrated log-probabilities of `VOICE_LABELS`, flatter for voices unlike those
    that were learnt from. `fingerprint` names recipe and weights.
    """

    dim = len(VOICE_LABELS)

    def __init__(self, network: VoiceNetwork, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._network: Any = nn.utils.convert_conv2d_weight_memory_format(
            network.float().eval(), torch.channels_last
        )  # 1.3 times as fast
        self._logmel = LogMel(network.config.bands)

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
                logmel = self._logmel(samples(pcm))
                if logmel is not None:
                    row[:] = self._network.log_probs(logmel[None])[0].numpy()
        return rows


def samples(pcm: np.ndarray) -> Tensor:
    """16-bit samples as a wave. Shapes: int16 (n,) -> float32 (n,) in [-1, 1)."""
    return torch.from_numpy(pcm.astype(np.float32) / 32_768.0)


def _config(sizes: Mapping[str, Any]) -> VoiceConfig:
    return VoiceConfig(**{**sizes, "widths": tuple(sizes["widths"])})
