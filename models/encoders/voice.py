"""How a voice sounds, as seven log-probabilities, from its samples (the network: voice_network.py).

Training and live use this same class, so features cannot drift apart. What belongs to the recording and not to the
voice is taken out of each utterance alone, never from a past or a neighbour: its level, and its silence before and
after. An utterance is computed by itself, without padding, so that the answer depends on its samples and on nothing
else.
No state, no I/O but `load`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from erc_live.models.encoders.folder import Kind, load
from erc_live.models.encoders.speaker import LEVEL
from erc_live.models.encoders.voice_network import VoiceConfig, VoiceNetwork

VOICE_LABELS: tuple[str, ...] = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
RATE_HZ = 16_000
SHORTEST_S = 0.3  # less than a syllable says nothing
KIND = Kind("voice", "erc.voice/4", VOICE_LABELS)  # to be counted up with every change that moves a value

WINDOW, HOP, POINTS = 400, 160, 512  # 25 ms, 10 ms; samples of the transform
LOW_HZ, HIGH_HZ, MEL_BANDS = 50.0, 7_600.0, 64
SILENT = 2.0**-30  # mean square of a wave in [-1, 1] whose largest deviation is about one step of 16 bit
RANGE_DB = 30.0  # speech is at most this far below its loud parts (their 0.95 quantile) ...
ABOVE_NOISE = 0.3  # ... and this share of the way from the background (the 0.1 quantile) to them above it
MARGIN = 10  # frames that are kept before and after the speech


class SpeechCut:
    """Waves to the speech in them."""

    def __init__(self) -> None:
        self._bank = _mel_bank().sum(0)
        self._window = torch.hann_window(WINDOW)

    def __call__(self, wave: Tensor) -> Tensor | None:
        """The wave from the first speech to the last, at one loudness; None when there is nothing usable.

        Shapes: wave (n,) float32 in [-1, 1], mono at `RATE_HZ` -> (m,), m <= n, of root mean square `LEVEL`. Twice the
        samples give the same. Nothing usable: shorter than `SHORTEST_S`, not finite, or digital silence (also a
        constant).
        """
        if len(wave) < SHORTEST_S * RATE_HZ:
            return None
        wave = wave - wave.mean()
        if not wave.square().mean() > SILENT:  # also where it is NaN
            return None
        wave = wave / wave.abs().max()  # so that rounding does not depend on the level
        spectrum = torch.stft(wave, POINTS, HOP, WINDOW, self._window, pad_mode="constant", return_complex=True)
        speech = _speech(10 * torch.log10(self._bank @ spectrum.abs().square() + 1e-12))
        first, last = max(int(speech[0]) - MARGIN, 0), int(speech[-1]) + MARGIN + 1
        cut = wave[first * HOP : last * HOP]
        return cut * (LEVEL / cut.square().mean().sqrt())


def _speech(level_db: Tensor) -> Tensor:
    """Indices of the frames that are loud enough to be speech; at least one. Shapes: (frames,)"""
    loud = torch.quantile(level_db, 0.95)
    background = torch.quantile(level_db, 0.1)
    threshold = torch.maximum(loud - RANGE_DB, background + ABOVE_NOISE * (loud - background))
    return torch.nonzero(level_db >= threshold)[:, 0]


def _mel_bank() -> Tensor:
    """Triangles on the mel scale (O'Shaughnessy 1987), each of sum 1. Shapes: (MEL_BANDS, POINTS / 2 + 1)"""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (LOW_HZ, HIGH_HZ))
    corners = 700 * (10 ** (torch.linspace(low, high, MEL_BANDS + 2, dtype=torch.float64) / 2595) - 1)
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
        self._network = network.float().eval()
        self._cut = SpeechCut()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read weights and card in `folder`.

        Raises:
            WeightsError: a file is missing or damaged, or the weights are not those of the card.
        """
        network, digest = load(folder, KIND, lambda card: VoiceNetwork(VoiceConfig(**card["network"])))
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
                speech = self._cut(samples(pcm))
                if speech is not None:
                    row[:] = self._network(speech).numpy()
        return rows


def samples(pcm: np.ndarray) -> Tensor:
    """16-bit samples as a wave. Shapes: int16 (n,) -> float32 (n,) in [-1, 1)."""
    return torch.from_numpy(pcm.astype(np.float32) / 32_768.0)
