"""Whether the mouth of a face moves while there is speech: a score from 0 to 1.

Successive pictures of a face are compared as they were cut out, at the mouth and above it. Each region is looked for in
the next picture a little to all sides, so that what is left of a difference is not that the head moved; the best normed
correlation does not depend on light. A mouth moves if it changed clearly more than the upper face did.
The rule of this file: the score is a share of moments, each as heavy as it is loud. One grimace is one moment.
"""

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from erc_live.live.vision.tracks import Glimpse
from erc_live.models.encoders.face import FACE_PX
from erc_live.streams.messages import SAMPLE_RATE_HZ

Region = tuple[float, float, float, float]  # top, bottom, left, right, as shares of the side

_MOUTH: Region = (0.62, 0.94, 0.24, 0.76)
_ABOVE: Region = (0.20, 0.58, 0.14, 0.86)  # brows, eyes and the bridge of the nose
_SEARCH_PX = 2
_MORE = 0.07  # by so much more than the upper face the mouth must change; 0.05 to 0.08 do nearly as well
_APART_NS = 1_000_000_000  # pictures further apart say nothing about what happened between them
_FEWEST = 3  # pairs of pictures; fewer give no score
_FULL_DB, _RANGE_DB = 10.0, 20.0  # down from the loudest moment: up to here in full, then over this range to nothing


def speaking(track: Sequence[Glimpse], pcm: np.ndarray, t_start_ns: int) -> float | None:
    """The share of the loud moments of an utterance in which the mouth moves; None with too few pictures.

    Without sound all moments weigh alike. Shapes: pcm (n,) int16 at `SAMPLE_RATE_HZ`, its first sample at `t_start_ns`.
    """
    pairs = [(a, b) for a, b in pairwise(track) if b.t_ns - a.t_ns <= _APART_NS]
    if len(pairs) < _FEWEST:
        return None
    power = np.array([_power(pcm, a.t_ns - t_start_ns, b.t_ns - t_start_ns) for a, b in pairs])
    down_db = 10 * np.log10(power.max() / power)
    weights = np.clip(1 - (down_db - _FULL_DB) / _RANGE_DB, 0, 1)
    return float(np.average([mouth_moved(a.view.cut, b.view.cut) for a, b in pairs], weights=weights))


def mouth_moved(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether the mouth changed by more than the rest of the face. Shapes: (48, 48) uint8 each."""
    return _change(before, after, _MOUTH) > _change(before, after, _ABOVE) + _MORE


def _change(before: np.ndarray, after: np.ndarray, region: Region) -> float:
    """1 less the best correlation of a region with the next picture, 0 where there is nothing to see."""
    top, bottom, left, right = (round(share * FACE_PX) for share in region)
    pattern = before[top:bottom, left:right]
    reach = _SEARCH_PX
    around = after[top - reach : bottom + reach, left - reach : right + reach]
    if pattern.min() == pattern.max() or around.min() == around.max():
        return 0.0
    best = cv2.matchTemplate(around, pattern, cv2.TM_CCOEFF_NORMED).max()
    return float(np.clip(1 - best, 0, 1))


def _power(pcm: np.ndarray, start_ns: int, end_ns: int) -> float:
    """Mean square of the samples between two times since the first one, at least 1."""
    first, last = (max(0, t_ns * SAMPLE_RATE_HZ // 1_000_000_000) for t_ns in (start_ns, end_ns))
    samples = pcm[first:last].astype(np.float64)
    return 1.0 + float(np.mean(samples**2)) if len(samples) else 1.0
