"""Faces cut out of pictures as the network learnt them, and how good a view each is."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.vision.crops import crop, mouth_patch, sharpness, turned
from erc_live.live.vision.detector import Face

# Where FER+ has them, as shares of the side: eyes, nose, corners of the mouth.
MARKS = np.array([(0.32, 0.39), (0.68, 0.39), (0.50, 0.56), (0.36, 0.75), (0.64, 0.75)])


def face(x: int, y: int, side: int, points: np.ndarray | None = None) -> Face:
    return Face(x, y, side, side, 1.0, () if points is None else tuple((float(px), float(py)) for px, py in points))


def checked(level: int, blur: float = 0.0, side: int = 200) -> np.ndarray:
    """Around a grey level, light from one side and small squares: something large and something sharp to see."""
    squares = np.kron(np.indices((side // 10, side // 10)).sum(0) % 2, np.ones((10, 10))) * 30 - 15
    picture = (level + squares + np.linspace(-40, 40, side)).astype(np.uint8)
    return cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture


@given(
    side=st.floats(48.0, 320.0),
    x=st.floats(150.0, 350.0),
    y=st.floats(150.0, 350.0),
    roll=st.floats(-math.pi * 0.9, math.pi * 0.9),
)
@settings(max_examples=25, deadline=None)
def test_eyes_and_mouth_come_to_lie_where_the_network_learnt_them(side: float, x: float, y: float, roll: float) -> None:
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    points = (MARKS - 0.5) * side @ turn.T + (x, y)
    for index in (0, 1, 3, 4):
        picture = np.zeros((500, 500), np.uint8)
        centre = [round((float(at) - 0.5) * 16) for at in points[index]]  # OpenCV counts from the middle of a pixel
        cv2.circle(picture, centre, round(max(1.5, side / 24) * 16), 255, -1, shift=4)
        cut = crop(picture, face(0, 0, 1, points)).astype(float)
        if cut.sum() < 255:
            continue  # the point lies outside of the picture
        found = np.array([(cut.sum(axis) @ (np.arange(48) + 0.5)) / cut.sum() for axis in (0, 1)])
        inside = (points[index] > side / 20).all() and (points[index] < 500 - side / 20).all()
        assert not inside or np.abs(found - MARKS[index] * 48).max() < 1.2


def test_turning_the_head_changes_the_size_little() -> None:
    turned = MARKS.copy()
    turned[:, 0] = 0.5 + (turned[:, 0] - 0.5) * 0.5  # eyes half as far apart
    picture = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    wide, narrow = (crop(picture, face(0, 0, 1, marks * 100 + 50)) for marks in (MARKS, turned))
    ratio = np.diff(narrow.astype(float)).mean() / np.diff(wide.astype(float)).mean()
    assert ratio == pytest.approx(1.0, abs=0.08)


def test_without_points_the_box_is_what_is_cut_out() -> None:
    picture = np.zeros((300, 300), np.uint8)
    picture[100:200, 60:160] = 200
    assert crop(picture, face(60, 100, 100)).mean() > 190
    small = crop(picture, face(40, 80, 140))
    np.testing.assert_allclose((small > 100).mean(), (100 / 143) ** 2, atol=0.03)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), 70.0)])
def test_points_that_fall_together_are_not_used(points: np.ndarray) -> None:
    picture = checked(128)
    np.testing.assert_array_equal(crop(picture, face(20, 20, 100, points)), crop(picture, face(20, 20, 100)))


@given(x=st.integers(-400, 400), y=st.integers(-400, 400), side=st.integers(1, 3_000))
@settings(max_examples=40, deadline=None)
def test_any_box_and_any_picture_give_a_face_of_48_px(x: int, y: int, side: int) -> None:
    for shape in ((1, 1), (7, 300), (200, 200)):
        cut = crop(np.full(shape, 90, np.uint8), face(x, y, side))
        assert cut.shape == (48, 48)
        assert cut.dtype == np.uint8
        assert (cut == 90).all()  # beyond the edge, the edge goes on


def test_sharpness_is_that_of_the_picture_and_not_of_its_contrast() -> None:
    clear = crop(checked(128), face(0, 0, 200))
    dim = (clear.astype(float) * 0.5 + 30).round().astype(np.uint8)
    assert sharpness(dim) == pytest.approx(sharpness(clear), rel=0.05)
    assert sharpness(crop(checked(128, blur=12.0), face(0, 0, 200))) < 0.25 * sharpness(clear)
    assert sharpness(np.full((48, 48), 77, np.uint8)) == 0


@given(nose=st.floats(-0.4, 0.4), roll=st.floats(-3.0, 3.0), side=st.floats(40.0, 400.0))
def test_a_head_is_turned_as_far_as_its_nose_is_from_the_middle(nose: float, roll: float, side: float) -> None:
    aside = MARKS.copy()
    aside[2, 0] += nose * 0.36  # of the reach, which is 0.36 of the side here
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    assert turned(face(0, 0, 9, (aside - 0.5) * side @ turn.T)) == pytest.approx(abs(nose), abs=1e-6)


def test_without_points_nothing_is_known_of_a_turn() -> None:
    assert turned(face(0, 0, 9)) == turned(face(0, 0, 9, np.zeros((5, 2)))) == 0.0


def test_the_mouth_is_cut_out_alike_however_far_the_head_is_turned() -> None:
    """The points of a profile fall together and turn the face; the mouth hangs on the box and its own corners."""
    picture = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
    front = MARKS * 100 + 100
    profile = front.copy()
    profile[:2] = [(150.0, 130.0), (153.0, 150.0)]
    one, other = (mouth_patch(picture, face(100, 100, 100, points)) for points in (front, profile))
    assert np.array_equal(one, other)
    assert not np.array_equal(crop(picture, face(100, 100, 100, front)), crop(picture, face(100, 100, 100, profile)))


def test_without_points_the_mouth_is_where_mouths_are_and_the_edge_goes_on() -> None:
    picture = np.zeros((200, 200), np.uint8)
    picture[170:186, 90:110] = 255  # at 78 % of the height of the box
    patch = mouth_patch(picture, face(50, 100, 100))
    rows, columns = np.nonzero(patch > 127)
    assert (rows.mean(), columns.mean()) == pytest.approx((15.5, 15.5), abs=0.6)
    assert mouth_patch(np.full((10, 10), 77, np.uint8), face(0, 0, 10)).mean() == 77
