"""Several channels of sound become one.

Two channels are averaged, and so are many without a layout. Where the layout names loudspeakers (5.1 and its like),
speech is in the middle one: it stays as loud as it is, and the others are added as far as nothing is cut off. Where the
two channels of a pair cancel each other, because one of them was connected the wrong way round, one is turned over.

The rule of this file: what leaves depends on the samples and not on how they are cut, so every choice is made at
boundaries that are counted from the first sample.
"""

from collections.abc import Sequence

import numpy as np

_BLOCK = 2048  # samples after which it is looked again at whether channels cancel
_MEMORY = 0.98  # of what was measured, from block to block: half of it after 35 of them, 1.5 s at 48 kHz
_CANCELLED = 0.03  # of the power of the difference (-15 dB): less is left of no two microphones of one room
_AUDIBLE = 1e-8  # mean power (-80 dB): below it nothing is said about channels

_MIDDLE = "FC"
_PAIR = ("FL", "FR", "FLC", "FRC")
_BASS = ("LFE", "LFE2")
_MIDDLE_GAIN, _PAIR_GAIN, _OTHER_GAIN = (
    1.0,
    0.5,
    0.35,
)  # a pair as where it is alone, the rest 3 dB below

_SCALE = {"u1": 128, "i2": 1 << 15, "i4": 1 << 31, "i8": 1 << 63}  # full scale of whole numbers


class Mixer:
    """Makes one channel of several; a new one for each stream. `turned_over`: whether one of two was, so far."""

    def __init__(self) -> None:
        self.turned_over = False
        self._turning = False
        self._gain = 1.0
        self._count = 0  # samples of the running block
        self._sum = self._difference = 0.0  # energies, remembered over blocks

    def mix(self, samples: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
        """The one channel, float32 (n,). `names`: of the channels, as libav has them, where their layout is known.

        Shapes: samples (n, channels) float32.
        """
        channels = samples.shape[1]
        if channels == 2:
            return self._pair(samples)
        if channels < 3 or _MIDDLE not in names:
            return np.asarray(samples.mean(axis=1, dtype=np.float32))
        gains = np.array([_gain(name) for name in names], np.float32)
        return self._loudspeakers(np.asarray(samples @ gains, np.float32))

    def _loudspeakers(self, mono: np.ndarray) -> np.ndarray:
        """Turned down, from where it would be too loud for the first time."""
        peaks = np.maximum.accumulate(np.abs(mono)) if len(mono) else mono
        gains = np.minimum(self._gain, 1 / np.maximum(peaks, 1.0)).astype(np.float32)
        self._gain = float(gains[-1]) if len(gains) else self._gain
        return np.asarray(mono * gains, np.float32)

    def _pair(self, samples: np.ndarray) -> np.ndarray:
        out = np.empty(len(samples), np.float32)
        start = 0
        while start < len(samples):
            end = min(len(samples), start + _BLOCK - self._count)
            left, right = samples[start:end, 0], samples[start:end, 1]
            both, apart = (left + right) / 2, (left - right) / 2
            out[start:end] = apart if self._turning else both
            self._sum += float(np.square(both, dtype=np.float64).sum())
            self._difference += float(np.square(apart, dtype=np.float64).sum())
            self._count += end - start
            start = end
            if self._count == _BLOCK:
                self._decide()
        return out

    def _decide(self) -> None:
        self._count = 0
        louder = max(self._sum, self._difference)
        if louder > _AUDIBLE * _BLOCK:
            if self._sum < _CANCELLED * self._difference:
                self._turning = self.turned_over = True
            elif self._difference < _CANCELLED * self._sum:
                self._turning = False
        self._sum, self._difference = _MEMORY * self._sum, _MEMORY * self._difference


def in_floats(samples: np.ndarray) -> np.ndarray:
    """The same samples as float32 in [-1, 1]."""
    kind = samples.dtype.str[1:]
    if kind not in _SCALE:
        return samples.astype(np.float32)
    return ((samples.astype(np.float32) - (128 if kind == "u1" else 0)) / np.float32(_SCALE[kind])).astype(np.float32)


def _gain(name: str) -> float:
    if name == _MIDDLE:
        return _MIDDLE_GAIN
    if name in _PAIR:
        return _PAIR_GAIN
    return 0.0 if name in _BASS else _OTHER_GAIN
