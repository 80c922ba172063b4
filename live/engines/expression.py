"""What the faces of an utterance show: its pictures in, the log-probabilities of the labels of `FACE_LABELS` out.

A face is cut out as the pictures that the network learnt from are (FER+): upright, eyes and mouth where they have them,
48 px, grey. Every picture counts alike, and in a picture every face (the rule of VisExtNet, Shi and Huang 2023), for
nobody knows yet who of them speaks. Left out are bystanders, who are far smaller than the largest face of the picture,
and what is far more blurred than the clearest face of the utterance: people and their hands move. Faces smaller than
`visual.min_face_px` are not found at all.
The rule of this file: no state; the same pictures give the same answer, and without a face there is none.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from erc_live.live import config
from erc_live.live.engines.faces import Face, FaceFinder, open_face_finder
from erc_live.models.encoders.face import FACE_PX, FaceEncoder
from erc_live.streams.messages import VideoFrame

RECIPE = "crop/1"  # to be counted up with every change that moves a pixel

# In FER+, as shares of the side of a picture, medians over 178 faces in which YuNet finds its five points. One face
# differs from the next by 0.07 across, 0.05 down, and 14 % in size.
_MIDDLE = (0.50, 0.57)  # of the two eyes and the two corners of the mouth
_REACH = 0.372  # the longer of: from eye to eye, from the eyes to the mouth; turning the head shortens only one of them
_BOX = 1.02  # sides of a box of the Haar cascade, by which FER+ was cut out

_FINER = 8  # at most so many pixels along a side are averaged to one
_BYSTANDER = 0.5  # of the width of the largest face in the picture
_BLURRED = 0.25  # of the sharpness of the clearest face: out of focus by about 1.3 px of 48


class FaceReader:
    """`describe(frames)` of one utterance; `fingerprint` names all that its answers depend on but the pictures."""

    def __init__(self, finder: FaceFinder, encoder: FaceEncoder) -> None:
        self.finder = finder
        self.encoder = encoder
        self.fingerprint = f"{encoder.fingerprint} {RECIPE} {finder.name}"

    def __call__(self, frames: Sequence[VideoFrame]) -> np.ndarray | None:
        """Only the vector of `describe`."""
        return self.describe(frames)[0]

    def describe(self, frames: Sequence[VideoFrame]) -> tuple[np.ndarray | None, float | None]:
        """The logarithm of the mean probabilities, and the share of the pictures that show a face.

        Shapes: (8,) float32 in the order of `FACE_LABELS`, None without a face; the share is None without pictures. A
        picture that cannot be decoded shows none.
        """
        if not frames:
            return None, None
        found = [faces for faces in (self._faces(frame.jpeg) for frame in frames) if faces]
        if not found:
            return None, 0.0
        clear = _BLURRED * max(sharpness(face) for faces in found for face in faces)
        seen = [[face for face in faces if sharpness(face) >= clear] for faces in found]
        seen = [faces for faces in seen if faces]
        rows = self.encoder(np.stack([face for faces in seen for face in faces])).astype(np.float64)
        ends = np.cumsum([len(faces) for faces in seen])[:-1]
        pictures = [_mean(part) for part in np.split(rows, ends)]
        return _mean(np.stack(pictures)).astype(np.float32), len(found) / len(frames)

    def _faces(self, jpeg: bytes) -> list[np.ndarray]:
        """The faces of a picture that count, cut out. Shapes: (48, 48) uint8 each."""
        sight = self.finder.find(jpeg)
        if sight is None or not sight.faces:
            return []
        near = [face for face in sight.faces if face.width >= _BYSTANDER * sight.faces[0].width]
        grey = cv2.cvtColor(sight.picture, cv2.COLOR_BGR2GRAY)
        return [crop(grey, face) for face in near]


def open_face_reader(choice: config.Visual, models_folder: Path, weights: Path) -> FaceReader | None:
    """Reads faces with the weights in a folder; None when no face finder is wanted or there.

    Raises:
        EngineError: the face finder cannot run.
        WeightsError: the weights cannot be read.
    """
    finder = open_face_finder(choice, models_folder)
    return None if finder is None else FaceReader(finder, FaceEncoder.load(weights))


def crop(picture: np.ndarray, face: Face) -> np.ndarray:
    """A face cut out, upright if its points are known. Beyond the edge of the picture, the edge goes on.

    Shapes: picture (height, width) uint8 -> (48, 48) uint8.
    """
    corner, side, across = _frame(face)
    finer = min(_FINER, max(1, math.ceil(side / FACE_PX)))
    scale = FACE_PX * finer / side
    turn = scale * np.array([across, (-across[1], across[0])])  # rows: what is across and what is down in the face
    shift = turn @ (0.5 - np.array(corner)) - 0.5  # the middle of a pixel lies half a pixel from its edge
    size = (FACE_PX * finer, FACE_PX * finer)
    cut = cv2.warpAffine(
        picture, np.column_stack([turn, shift]), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    small: np.ndarray = cv2.resize(cut, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA) if finer > 1 else cut
    return small


def sharpness(face: np.ndarray) -> float:
    """How fine what can be seen is, whatever its contrast: deviation of the Laplacian by that of the grey levels.

    0.85 in the median of FER+, 0 where all is flat. Shapes: (h, w) uint8.
    """
    grey = face.astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std()) / max(float(grey.std()), 1.0)


def _frame(face: Face) -> tuple[tuple[float, float], float, tuple[float, float]]:
    """Upper left corner in px of the picture, side in px, and the direction from the left to the right of the face."""
    if face.points:
        left, right, _, mouth_left, mouth_right = (np.array(point) for point in face.points)
        eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
        apart, reach = math.dist(left, right), max(math.dist(left, right), math.dist(eyes, mouth))
        if apart >= 1.0:
            across = (right - left) / apart
            down = np.array([-across[1], across[0]])
            side = reach / _REACH
            corner = (eyes + mouth) / 2 - side * (_MIDDLE[0] * across + _MIDDLE[1] * down)
            return (float(corner[0]), float(corner[1])), side, (float(across[0]), float(across[1]))
    side = _BOX * max(face.width, face.height, 1)
    return (face.x + face.width / 2 - side / 2, face.y + face.height / 2 - side / 2), side, (1.0, 0.0)


def _mean(rows: np.ndarray) -> np.ndarray:
    """The logarithm of the mean of what rows are the logarithms of. Shapes: (n, 8) -> (8,)"""
    mean: np.ndarray = np.logaddexp.reduce(rows, axis=0) - math.log(len(rows))
    return mean
