"""A drawn head that talks: what the camera of the demo sees.

Why drawn: a face of nobody needs no consent. It is shaded like a photograph as far as face finders ask for it: dark
eyes under brows, a light bridge of the nose, light cheeks. A test holds that they find it.
The rule of this file: a pure function of speaker, manner and moment; the same input gives the same picture.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from erc_live.live.demo.script import Manner, ScriptSpeaker

WIDTH_PX, HEIGHT_PX = 320, 240
_SCALE = 2  # drawn larger and shrunk, for smooth edges
_SHIFT = 4  # cv2 takes coordinates in 1/16 px
_WALL = (196, 188, 176)
_WHITE, _IRIS, _DARK, _LIPS, _INSIDE = (238, 240, 242), (70, 56, 40), (22, 22, 28), (92, 84, 168), (40, 30, 60)

Point = tuple[float, float]
Colour = tuple[float, float, float]


def draw(speaker: ScriptSpeaker, manner: Manner, mouth: float, blink: bool, time_s: float) -> np.ndarray:
    """One picture: head and shoulders before a wall.

    `mouth`: 0 closed ... 1 wide open. Shapes: uint8 (240, 320, 3), blue, green, red.
    """
    canvas = _Canvas(160 + 3 * math.sin(0.9 * time_s), 116 + 1.5 * math.sin(1.7 * time_s))
    _body(canvas, speaker)
    _head(canvas, speaker)
    for side in (-1, 1):
        _eye(canvas, speaker, manner, side, blink)
    _nose(canvas, speaker)
    _mouth(canvas, speaker, manner, mouth)
    return canvas.picture()


class _Canvas:
    """Shapes in px of the final picture, relative to the middle of the face."""

    def __init__(self, x: float, y: float) -> None:
        self._middle = np.array([x, y])
        self._image = np.full((HEIGHT_PX * _SCALE, WIDTH_PX * _SCALE, 3), _WALL, np.uint8)

    def _place(self, points: Sequence[Point]) -> np.ndarray:
        placed = (np.asarray(points, np.float64) + self._middle) * _SCALE * 2**_SHIFT
        whole: np.ndarray = np.round(placed).astype(np.int32)
        return whole

    def ellipse(self, middle: Point, radii: Point, colour: Colour, arc: tuple[float, float] = (0, 360)) -> None:
        """A filled ellipse, or the part of it from one angle to the other (degrees, clockwise from the right)."""
        angles = np.radians(np.linspace(*arc, 60))
        self.shape([(middle[0] + radii[0] * math.cos(a), middle[1] + radii[1] * math.sin(a)) for a in angles], colour)

    def shape(self, points: Sequence[Point], colour: Colour) -> None:
        cv2.fillPoly(self._image, [self._place(points)], colour, cv2.LINE_AA, _SHIFT)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        cv2.polylines(self._image, [self._place(points)], False, colour, round(width * _SCALE), cv2.LINE_AA, _SHIFT)

    def soften(self, sigma_px: float) -> None:
        """Blur all that was drawn so far: skin has no edges."""
        self._image = cv2.GaussianBlur(self._image, (0, 0), sigma_px * _SCALE)

    def picture(self) -> np.ndarray:
        small: np.ndarray = cv2.resize(self._image, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
        return small


def _shade(colour: Colour, light: float) -> Colour:
    """Darker for light < 1, lighter for light > 1."""
    blue, green, red = (min(255.0, part * light) for part in colour)
    return blue, green, red


def _body(canvas: _Canvas, speaker: ScriptSpeaker) -> None:
    if speaker.long_hair:
        canvas.ellipse((0, 8), (68, 92), speaker.hair)
    canvas.ellipse((0, 152), (104, 66), speaker.shirt)
    canvas.shape([(-24, 50), (24, 50), (30, 96), (0, 108), (-30, 96)], _shade(speaker.skin, 0.78))


def _head(canvas: _Canvas, speaker: ScriptSpeaker) -> None:
    skin = speaker.skin
    canvas.ellipse((0, -22), (60, 64), speaker.hair)
    for side in (-1, 1):
        canvas.ellipse((side * 55, 4), (8, 15), _shade(skin, 0.85))
    canvas.ellipse((0, 6), (54, 74), _shade(skin, 0.84))
    canvas.ellipse((0, 4), (47, 68), skin)
    canvas.ellipse((0, -34), (34, 20), _shade(skin, 1.07))
    for side in (-1, 1):
        canvas.ellipse((side * 23, -8), (17, 10), _shade(skin, 0.74))  # sockets
        canvas.ellipse((side * 26, 24), (15, 11), _shade(skin, 1.09))  # cheeks
    canvas.ellipse((0, 60), (17, 10), _shade(skin, 1.06))
    canvas.soften(2.6)
    canvas.ellipse((0, -44), (57, 42), speaker.hair, (180, 360))
    canvas.ellipse((0, -45), (54, 13), speaker.hair, (0, 180))
    canvas.soften(0.7)


def _eye(canvas: _Canvas, speaker: ScriptSpeaker, manner: Manner, side: int, blink: bool) -> None:
    x, y = side * 22.0, -7.0
    height = 0.8 if blink else 5.2 + 2.4 * manner.eyes
    canvas.ellipse((x, y), (11.5, height + 1.2), _DARK)
    if not blink:
        canvas.ellipse((x, y + 0.8), (10.0, height - 0.2), _WHITE)
        canvas.ellipse((x, y), (4.9, min(4.9, height)), _IRIS)
        canvas.ellipse((x, y), (2.4, min(2.4, height)), _DARK)
    brow_y = y - 13.0 - 5.0 * manner.brows
    inner, outer = 4.5 * manner.frown, -1.5 * manner.frown
    points = [(x - side * 13, brow_y + inner), (x, brow_y - 2.5), (x + side * 14, brow_y + 2.0 + outer)]
    canvas.line(points, 4.6, _shade(speaker.hair, 0.8))


def _nose(canvas: _Canvas, speaker: ScriptSpeaker) -> None:
    canvas.line([(0, -12), (0, 16)], 6.0, _shade(speaker.skin, 1.12))
    for side in (-1, 1):
        canvas.line([(side * 5, -6), (side * 7, 14)], 1.6, _shade(speaker.skin, 0.88))
        canvas.ellipse((side * 6, 22), (4.2, 2.4), _shade(speaker.skin, 0.55))


def _mouth(canvas: _Canvas, speaker: ScriptSpeaker, manner: Manner, opening: float) -> None:
    """Lips around a gap: two arcs between corners that a smile lifts."""
    half, drop = 20.0 + 3.0 * abs(manner.smile) - 4.0 * opening, 1.0 + 12.0 * opening
    corner_y, middle_y = 43.0 - 5.5 * manner.smile, 43.0 + 4.0 * manner.smile
    across = np.linspace(-1.0, 1.0, 25)
    curve = middle_y + (corner_y - middle_y) * across**2
    bow = 1.0 - across**2
    upper = [(half * a, c - 0.35 * drop * b) for a, c, b in zip(across, curve, bow, strict=True)]
    lower = [(half * a, c + 0.65 * drop * b) for a, c, b in zip(across, curve, bow, strict=True)]
    canvas.line([(-14, 60), (14, 60)], 2.5, _shade(speaker.skin, 0.93))
    canvas.shape(upper + lower[::-1], _INSIDE)
    if opening > 0.25:
        canvas.line([(x, y + 2.0) for x, y in upper[8:17]], 3.0, _WHITE)  # teeth, in the middle third
    canvas.line(upper, 3.4, _LIPS)
    canvas.line(lower, 4.2, _LIPS)
