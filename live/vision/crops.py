"""A face cut out of a picture as the pictures that the network learnt from are (FER+), and how good a view it is.

Upright, eyes and mouth where they have them, 48 px, grey. The mouth is cut out once more, by another rule: what it
moves by is seen only where the cut itself holds still. In a profile the points of the eyes fall together, and a cut
that hangs on them turns and jumps from picture to picture; so this one hangs on the box and the corners of the mouth.

The rule of this file: pure, and a change that moves a pixel counts up `CROP`.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from erc_live.live.vision.detector import Face
from erc_live.models.encoders.face import FACE_PX

CROP = "crop/1"
MOUTH_PX = 32  # sides of the patch around the mouth

# In FER+, as shares of the side of a picture, medians over 178 faces in which YuNet finds its five points. One face
# differs from the next by 0.07 across, 0.05 down, and 14 % in size.
_MIDDLE = (0.50, 0.57)  # of the two eyes and the two corners of the mouth
_REACH = 0.372  # the longer of: from eye to eye, from the eyes to the mouth; turning the head shortens only one of them
_BOX = 1.02  # sides of a box of the Haar cascade, by which FER+ was cut out

_MOUTH_SIDE = 0.5  # of the longer side of the box: from the nose to below the chin
_MOUTH_DOWN = 0.78  # of the height of a box, where the points are not known

_FINER = 8  # at most so many pixels along a side are averaged to one


def crop(picture: np.ndarray, face: Face) -> np.ndarray:
    """A face cut out, upright if its points are known. Beyond the edge of the picture, the edge goes on.

    Shapes: picture (height, width) uint8 -> (48, 48) uint8.
    """
    return _cut(picture, *_frame(face), FACE_PX)


def mouth_patch(picture: np.ndarray, face: Face) -> np.ndarray:
    """The mouth and what is around it, as upright as the picture. Beyond the edge of the picture, the edge goes on.

    Shapes: picture (height, width) uint8 -> (32, 32) uint8.
    """
    side = _MOUTH_SIDE * max(face.width, face.height, 1)
    x, y = face.x + face.width / 2, face.y + _MOUTH_DOWN * face.height
    if face.points:
        x, y = np.mean(face.points[3:], axis=0).tolist()
    return _cut(picture, (x - side / 2, y - side / 2), side, (1.0, 0.0), MOUTH_PX)


def sharpness(face: np.ndarray) -> float:
    """How fine what can be seen is, whatever its contrast: deviation of the Laplacian by that of the grey levels.

    0.85 in the median of FER+, 0 where all is flat. Shapes: (h, w) uint8.
    """
    grey = face.astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) / max(float(grey.std()), 1.0)


def turned(face: Face) -> float:
    """How far the head is turned aside: how far the tip of the nose lies from the middle of the face, in units of what
    `_REACH` measures. 0 for a front view, and where the points are not known.
    """
    marks = _marks(face)
    if marks is None:
        return 0.0
    return abs(float((np.array(face.points[2]) - marks.middle) @ marks.across)) / marks.reach


@dataclass(frozen=True)
class _Marks:
    """The middle of eyes and mouth, the direction from the left to the right of the face, and what `_REACH` measures,
    in px of the picture.
    """

    middle: np.ndarray
    across: np.ndarray
    reach: float


def _marks(face: Face) -> _Marks | None:
    """None where the points are not known, or fall together."""
    if not face.points:
        return None
    left, right, _, mouth_left, mouth_right = (np.array(point) for point in face.points)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    apart = math.dist(left, right)
    if apart < 1.0:
        return None
    return _Marks((eyes + mouth) / 2, (right - left) / apart, max(apart, math.dist(eyes, mouth)))


def _frame(face: Face) -> tuple[tuple[float, float], float, tuple[float, float]]:
    """Upper left corner in px of the picture, side in px, and the direction from the left to the right of the face."""
    marks = _marks(face)
    if marks is not None:
        across, side = marks.across, marks.reach / _REACH
        down = np.array([-across[1], across[0]])
        corner = marks.middle - side * (_MIDDLE[0] * across + _MIDDLE[1] * down)
        return (float(corner[0]), float(corner[1])), side, (float(across[0]), float(across[1]))
    side = _BOX * max(face.width, face.height, 1)
    return (face.x + face.width / 2 - side / 2, face.y + face.height / 2 - side / 2), side, (1.0, 0.0)


def _cut(
    picture: np.ndarray, corner: tuple[float, float], side: float, across: tuple[float, float], px: int
) -> np.ndarray:
    """A square of a picture, from what `_frame` gives. Shapes: (px, px) uint8."""
    finer = min(_FINER, max(1, math.ceil(side / px)))
    scale = px * finer / side
    turn = scale * np.array([across, (-across[1], across[0])])  # rows: what is across and what is down in the square
    shift = turn @ (0.5 - np.array(corner)) - 0.5  # the middle of a pixel lies half a pixel from its edge
    cut = cv2.warpAffine(
        picture,
        np.column_stack([turn, shift]),
        (px * finer, px * finer),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    small: np.ndarray = cv2.resize(cut, (px, px), interpolation=cv2.INTER_AREA) if finer > 1 else cut
    return small
