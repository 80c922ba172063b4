"""Faces followed through the pictures of an utterance: which face here is which face there.

Between two pictures 0.2 s apart a head moves by a fraction of its width, so place and size decide; what a face looks
like is not compared, and nobody is recognised. The rule of this file: pure, and the same pictures give the same tracks.
Two shots of an edited film with faces at the same place become one track.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_FAR = 0.8  # of the mean width of two faces: centres further apart belong to two people
_SIZES = 1.6  # ratio of two widths above which they do
_STILL = 0.2  # grey levels from one picture to the next: a compressed still has 0.04, a calm face 5, in the dark 1.6


@dataclass(frozen=True)
class FaceView:
    """A face in one picture. `x`, `y` of its centre and `width` are in widths of the picture.

    `sharpness` as of `crops.sharpness`; `turned` as of `crops.turned`. Shapes: cut (48, 48) uint8, mouth (32, 32)
    uint8, row (8,) float32.
    """

    x: float
    y: float
    width: float
    cut: np.ndarray
    mouth: np.ndarray
    row: np.ndarray
    sharpness: float
    turned: float


@dataclass(frozen=True)
class Glimpse:
    """A view and when it was taken."""

    t_ns: int
    view: FaceView


FaceTrack = list[Glimpse]


def is_still(track: FaceTrack) -> bool:
    """Whether the face is a picture of one: on the wall, instead of a camera, or of a camera that hangs."""
    cuts = [glimpse.view.cut.astype(np.float32) for glimpse in track]
    changes = [float(np.abs(after - before).mean()) for before, after in pairwise(cuts)]
    return bool(changes) and float(np.median(changes)) < _STILL


def follow(pictures: Iterable[tuple[int, Sequence[FaceView]]]) -> list[FaceTrack]:
    """The tracks of one camera's pictures, given with their times in order; each as long as its face was found.

    A face that is lost for some pictures is taken up again where it was. Nearest pairs are joined first.
    """
    tracks: list[FaceTrack] = []
    for t_ns, views in pictures:
        free = dict(enumerate(views))
        waiting = dict(enumerate(tracks))
        near = [(_apart(track[-1].view, view), i, j) for i, track in waiting.items() for j, view in free.items()]
        for apart, i, j in sorted(near):
            if apart < _FAR and i in waiting and j in free:
                waiting.pop(i).append(Glimpse(t_ns, free.pop(j)))
        tracks += [[Glimpse(t_ns, view)] for view in free.values()]
    return tracks


def _apart(one: FaceView, other: FaceView) -> float:
    """Distance of the centres in mean widths; infinite for faces of very different size."""
    small, large = sorted((one.width, other.width))
    if large > _SIZES * small:
        return math.inf
    return math.hypot(one.x - other.x, one.y - other.y) / ((small + large) / 2)
