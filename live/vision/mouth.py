"""How much the mouth of a face moves while there is speech, and whether it moves in time with it.

Successive pictures of the mouth are compared as they were cut out (`crops.mouth_patch`). The first is looked for in the
next a little to all sides, so that what is left of a difference is not that the head moved; the best normed correlation
does not depend on light. That is the change of the mouth between two pictures. The loudness of the sound is averaged
between the same two pictures, so both have one sample there, whatever syllables came between.

The rule of this file: synchrony is what the right sound gives beyond the same sound moved elsewhere. A face that moves
without end, or by fits, correlates a little with any sound; only what is lost by moving the sound counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from erc_live.live.vision.crops import MOUTH_PX
from erc_live.live.vision.tracks import Glimpse
from erc_live.streams.messages import SAMPLE_RATE_HZ

_SEARCH_PX = 4  # an eighth of the patch, a sixteenth of the face
_APART_NS = 1_000_000_000  # pictures further apart say nothing about what happened between them
_FEWEST = 3  # pairs of pictures; fewer give no motion
_FULL_DB, _RANGE_DB = 10.0, 20.0  # down from the loudest moment: up to here in full, then over this range to nothing
_LAGS_NS = (-100_000_000, 0, 100_000_000)  # lips lead the sound, and cameras deliver late
_WRONG_NS = 400_000_000  # more than a syllable: sound moved by this much and more is the wrong one
_FEWEST_WRONG = 4  # lags; fewer give no synchrony, which takes 1.2 s at 10 pictures per second
_SPAN = 2  # pictures that one movement of the mouth lasts: so many fewer samples are independent


@dataclass(frozen=True)
class MouthMotion:
    """`motion`: the mean change of the mouth in the loud moments, 0..1. `synchrony` as in `Appearance`."""

    motion: float | None
    synchrony: float | None


def mouth_motion(track: Sequence[Glimpse], pcm: np.ndarray, t_start_ns: int) -> MouthMotion:
    """How the mouth of a face moves with the sound; None where too few pictures tell.

    Without sound all moments weigh alike, and there is no synchrony: 0. Shapes: pcm (n,) int16 at `SAMPLE_RATE_HZ`, its
    first sample at `t_start_ns`.
    """
    pairs = [(a, b) for a, b in pairwise(track) if b.t_ns - a.t_ns <= _APART_NS]
    if len(pairs) < _FEWEST:
        return MouthMotion(None, None)
    changes = np.array([mouth_change(a.view.mouth, b.view.mouth) for a, b in pairs])
    spans = np.array([(a.t_ns, b.t_ns) for a, b in pairs]) - t_start_ns
    levels = np.stack([_levels_db(pcm, spans + lag) for lag in _LAGS_NS])
    weights = np.clip(1 + (levels[_LAGS_NS.index(0)] + _FULL_DB) / _RANGE_DB, 0, 1)
    wrong = math.ceil(_WRONG_NS / float(np.median(spans[:, 1] - spans[:, 0])))
    return MouthMotion(float(np.average(changes, weights=weights)), _synchrony(np.sqrt(changes), levels, wrong))


def mouth_change(before: np.ndarray, after: np.ndarray) -> float:
    """1 less the best correlation of the mouth with the next picture, 0 where there is nothing to see.

    Shapes: (32, 32) uint8 each.
    """
    pattern = before[_SEARCH_PX : MOUTH_PX - _SEARCH_PX, _SEARCH_PX : MOUTH_PX - _SEARCH_PX]
    if pattern.min() == pattern.max() or after.min() == after.max():
        return 0.0
    best = cv2.matchTemplate(after, pattern, cv2.TM_CCOEFF_NORMED).max()
    return float(np.clip(1 - best, 0, 1))


def _synchrony(changes: np.ndarray, levels: np.ndarray, wrong: int) -> float | None:
    """The correlation at the best lag less its mean at wrong ones, the sound moved in a circle by `wrong` samples or
    more, in standard deviations of a correlation by chance. Shapes: changes (n,), levels (lags, n).
    """
    count = len(changes)
    if count - 2 * wrong + 1 < _FEWEST_WRONG:
        return None
    moved = np.stack([np.roll(levels, by, axis=1) for by in range(count)])
    correlations = (_normed(moved) @ _normed(changes)).max(axis=1)
    beyond = float(correlations[0] - correlations[wrong : count - wrong + 1].mean())
    return beyond * math.sqrt(count / _SPAN)


def _normed(samples: np.ndarray) -> np.ndarray:
    """Without their mean and of length 1 along the last axis; 0 where all are alike."""
    centred = samples - samples.mean(axis=-1, keepdims=True)
    normed: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-6)
    return normed


def _levels_db(pcm: np.ndarray, spans_ns: np.ndarray) -> np.ndarray:
    """The loudness in spans since the first sample, below the loudest of them, which is 0; not below the range in which
    a moment counts. Shapes: spans_ns (n, 2) -> (n,).
    """
    edges = np.clip(spans_ns * SAMPLE_RATE_HZ // 1_000_000_000, 0, len(pcm))
    power = np.array([_power(pcm[first:last]) for first, last in edges])
    levels: np.ndarray = np.maximum(10 * np.log10(power / power.max()), -(_FULL_DB + _RANGE_DB))
    return levels


def _power(samples: np.ndarray) -> float:
    """Mean square of the differences of samples, at least 1: it weakens what lies under speech, rumble and hum."""
    return 1.0 + float(np.mean(np.diff(samples.astype(np.float64)) ** 2)) if len(samples) > 1 else 1.0
