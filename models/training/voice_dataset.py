"""Labelled voices as log-mels, each of them anew every epoch: another person, another place, another piece.

Acted clips are few and made in one studio, so each is heard as another person, in another place, every few epochs; two
are mixed, and stretches of time and pitch hidden (Park et al. 2019: "SpecAugment"; Zhang et al. 2018: "mixup").
The rule of this file: what is drawn depends on the generator that is given, or on clip and epoch alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from erc_live.models.encoders.voice import RATE_HZ, SHORTEST_S, VOICE_LABELS, LogMel, samples
from erc_live.models.training.sounds import spoil, trimmed

TEMPO, SHARE_TEMPO = 0.15, 0.5  # natural log of the ratio, either way; pitch and throat stay
SHORTEST, LONGEST = 64, 208  # frames of a batch: the network shall not learn how long the sentences are
HIDDEN = 2  # stretches of time, and of pitch, that are hidden in each log-mel ...
HIDDEN_BANDS, HIDDEN_FRAMES, HIDDEN_SHARE = 8, 20, 5  # ... at most so many bands; frames, and 1 / 5 of all
MIXED = 0.4  # both parameters of the beta distribution of the shares of two clips


@dataclass(frozen=True)
class VoiceClip:
    """A voice, which of `VOICE_LABELS` it expresses, and whose it is. Shapes: pcm int16 (n,) at `RATE_HZ`."""

    name: str
    pcm: np.ndarray
    label: str
    person: str

    def usable(self) -> bool:
        """Whether anything can be learnt from it."""
        return len(self.pcm) >= SHORTEST_S * RATE_HZ and LogMel(8)(samples(self.pcm)) is not None


def classes_of(clips: Sequence[VoiceClip]) -> Tensor:
    """Shapes: -> (n,) int64"""
    return torch.tensor([VOICE_LABELS.index(clip.label) for clip in clips])


class VoiceDataset:
    """Usable clips: their waves, and the log-mels of how they were last spoilt, which is in another way every `anew`
    epochs; `labels` are their classes (n,).
    """

    def __init__(self, clips: Sequence[VoiceClip], bands: int, seed: int, anew: int) -> None:
        self.labels = classes_of(clips)
        self._waves = [trimmed(samples(clip.pcm)) for clip in clips]
        self._logmel, self._bands, self._seed, self._anew = LogMel(bands), bands, seed, anew
        self._last: dict[int, tuple[int, Tensor]] = {}  # version and log-mel of each

    def batch(self, rows: Tensor, epoch: int, mixup: float, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Some clips as they sound in this epoch, mixed in pairs with a probability of `mixup`.

        Shapes: log-mels (B, bands, T), how many frames of each are real (B,), shares of the labels (B, 7).
        """
        clips = [_retimed(self._spoilt(row, epoch), generator) for row in rows.tolist()]
        longest = _integer(SHORTEST, LONGEST, generator)
        logmels, frames = padded([_cut(logmel, longest, generator) for logmel in clips])
        for logmel, count in zip(logmels, frames.tolist(), strict=True):
            _hide(logmel[: self._bands, :count], generator)
        shares = F.one_hot(self.labels[rows], len(VOICE_LABELS)).float()
        if torch.rand((), generator=generator) < mixup:
            other = torch.randperm(len(rows), generator=generator)
            share = _beta(generator)
            logmels, shares = logmels.lerp(logmels[other], share), shares.lerp(shares[other], share)
            frames = torch.maximum(frames, frames[other])
        return logmels, frames, shares

    def _spoilt(self, row: int, epoch: int) -> Tensor:
        """The log-mel of a clip in this epoch, which depends on nothing that came before."""
        version = (epoch + row) // self._anew
        if self._last.get(row, (-1,))[0] != version:
            generator = Generator().manual_seed((self._seed * len(self._waves) + row) * 10_000 + version)
            logmel = self._logmel(spoil(self._waves[row], self._waves, generator))
            if logmel is None:
                logmel = self._logmel(self._waves[row])
            assert logmel is not None  # as clips are usable
            self._last[row] = (version, logmel)
        return self._last[row][1]


def padded(logmels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Log-mels (bands, frames) of any length as one (B, bands, T), and how many frames of each are real (B,)."""
    frames = torch.tensor([logmel.shape[1] for logmel in logmels])
    together = torch.zeros(len(logmels), logmels[0].shape[0], int(frames.max()))
    for row, logmel in zip(together, logmels, strict=True):
        row[:, : logmel.shape[1]] = logmel
    return together, frames


def _integer(low: int, high: int, generator: Generator) -> int:
    """Any of low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _retimed(logmel: Tensor, generator: Generator) -> Tensor:
    """Spoken faster or slower."""
    if torch.rand((), generator=generator) >= SHARE_TEMPO:
        return logmel
    ratio = math.exp(TEMPO * (2 * float(torch.rand((), generator=generator)) - 1))
    return F.interpolate(logmel[None], size=max(round(logmel.shape[1] * ratio), 8), mode="linear")[0]


def _cut(logmel: Tensor, longest: int, generator: Generator) -> Tensor:
    start = _integer(0, max(logmel.shape[1] - longest, 0), generator)
    return logmel[:, start : start + longest]


def _hide(logmel: Tensor, generator: Generator) -> None:
    bands, frames = logmel.shape
    for _ in range(HIDDEN):
        wide = _integer(0, min(HIDDEN_BANDS, bands // 2), generator)
        first = _integer(0, bands - wide, generator)
        logmel[first : first + wide] = 0
        long = _integer(0, min(HIDDEN_FRAMES, frames // HIDDEN_SHARE), generator)
        first = _integer(0, frames - long, generator)
        logmel[:, first : first + long] = 0


def _beta(generator: Generator) -> float:
    """A share up to 1/2 of the second clip: Beta(a, a) is the ratio of two gamma variables."""
    gamma = torch._standard_gamma(torch.full((2,), MIXED), generator=generator)
    return float(gamma.min() / gamma.sum().clamp(min=1e-12))
