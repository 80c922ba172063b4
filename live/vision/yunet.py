"""YuNet, a small face detection network (Wu, Peng and Yu 2023, Machine Intelligence Research 20), run by onnxruntime.

OpenCV has a class for it, but the published file with free input size loads only in OpenCV 5, and our fallback, the
Haar cascades, exists only in OpenCV 4. What that class does after the network is done here: boxes and points from three
grids of anchors, then suppression of overlapping ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from erc_live.live.errors import EngineError

Point = tuple[float, float]  # x, y in px of the picture, with 0 at its edge

_STRIDES_PX = (8, 16, 32)  # one grid of anchors each
_MULTIPLE_PX = 32  # sides must be one of this, so that all grids fit
_SCORE = 0.7  # OpenCV's example takes 0.9, which loses turned faces
_OVERLAP = 0.3  # intersection over union above which two boxes are one face


@dataclass(frozen=True)
class Hit:
    """A face: `box` is x, y, width, height in px of the picture. `points`, of an engine that finds them: the eyes, the
    tip of the nose and the corners of the mouth, of each pair first the one on the left of the picture.
    """

    box: tuple[float, float, float, float]
    score: float
    points: tuple[Point, ...] = ()


class Yunet:
    """`yunet(picture)` gives the faces of a picture, best first. Raises EngineError if the file is not the network."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal only: its warnings would cut through the screen
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"], sess_options=options
            )
        except Exception as error:  # onnxruntime raises classes of its own that share no base
            raise EngineError(f"{path} is not a face finder: erc-live models verify yunet") from error
        self._outputs = [f"{kind}_{stride}" for stride in _STRIDES_PX for kind in ("cls", "obj", "bbox", "kps")]

    def __call__(self, picture: np.ndarray) -> list[Hit]:
        """Shapes: picture (height, width, 3) uint8, blue first."""
        height, width = picture.shape[:2]
        below, right = -height % _MULTIPLE_PX, -width % _MULTIPLE_PX
        padded = cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)
        pixels = padded.transpose(2, 0, 1)[np.newaxis].astype(np.float32)  # 0..255, as it was trained
        answers = self._session.run(self._outputs, {"input": pixels})
        columns = padded.shape[1]
        grids = [_likely(answers[4 * i : 4 * i + 4], stride, columns // stride) for i, stride in enumerate(_STRIDES_PX)]
        rows = np.concatenate(grids)
        kept = cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, 4].tolist(), _SCORE, _OVERLAP)
        return [_hit(rows[index].tolist()) for index in kept]


def _likely(answer: Sequence[np.ndarray], stride: int, columns: int) -> np.ndarray:
    """The likely faces of one grid as rows: x, y, width, height, score, then x, y of five points.

    An anchor at grid point (c, r) moves its centre by (dx, dy) strides and has sides of exp(dw), exp(dh) strides; each
    point lies so many strides from the anchor. The score is the geometric mean of "is a face" and "the box fits".
    Shapes: answer (1, n, 1), (1, n, 1), (1, n, 4), (1, n, 10).
    """
    face, fits, box, points = answer
    score = np.sqrt(np.clip(face[0, :, 0], 0, 1) * np.clip(fits[0, :, 0], 0, 1))
    likely = np.flatnonzero(score >= _SCORE)
    grid = np.stack([likely % columns, likely // columns], axis=1)
    centre = (grid + box[0, likely, :2]) * stride
    size = np.exp(box[0, likely, 2:]) * stride
    marks = (np.tile(grid, 5) + points[0, likely]) * stride
    return np.concatenate([centre - size / 2, size, score[likely, np.newaxis], marks], axis=1)


def _hit(row: Sequence[float]) -> Hit:
    x, y, width, height, score, *marks = row
    return Hit((x, y, width, height), score, tuple(zip(marks[::2], marks[1::2], strict=True)))
