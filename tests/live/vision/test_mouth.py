"""A mouth that moves while there is speech, told from a head that moves and from light."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.vision.mouth import mouth_moved, speaking
from erc_live.live.vision.tracks import FaceView, Glimpse

STEP_NS = 200_000_000
RATE = 16_000


def face(opening: float, shift: int = 0, light: float = 1.0, seed: int = 0) -> np.ndarray:
    """Two eyes under brows, a nose and a mouth, drawn, on skin; `opening` of the mouth in px of 48."""
    large = np.full((480, 480), 170, np.uint8)
    for x in (160, 320):
        cv2.ellipse(large, (x, 190), (45, 20), 0, 0, 360, 60, -1)
        cv2.line(large, (x - 60, 140), (x + 60, 135), 70, 14)
    cv2.line(large, (240, 190), (240, 270), 200, 20)
    cv2.ellipse(large, (240, 360), (80, 8 + round(10 * opening)), 0, 0, 360, 90, -1)
    cv2.ellipse(large, (240, 360), (60, round(8 * opening)), 0, 0, 360, 30, -1)
    small = cv2.resize(large, (48, 48), interpolation=cv2.INTER_AREA).astype(float)
    small = np.roll(small, (shift, -shift), (0, 1)) * light + np.random.default_rng(seed).normal(0, 1.5, (48, 48))
    return small.clip(0, 255).astype(np.uint8)


def track(cuts: list[np.ndarray], step_ns: int = STEP_NS) -> list[Glimpse]:
    return [
        Glimpse(i * step_ns, FaceView(0.5, 0.5, 0.2, cut, np.zeros(8, np.float32), 1.0, 0.0))
        for i, cut in enumerate(cuts)
    ]


def noise(seconds: float, level: float) -> np.ndarray:
    return (np.random.default_rng(1).normal(0, level, round(seconds * RATE))).astype(np.int16)


@pytest.mark.parametrize("after", [face(0, seed=2), face(0, shift=2, seed=3), face(0, light=0.5, seed=4)])
def test_noise_a_moving_head_and_light_do_not_move_the_mouth(after: np.ndarray) -> None:
    assert not mouth_moved(face(0), after)


@pytest.mark.parametrize("after", [face(3, seed=2), face(3, shift=2, seed=3), face(3, light=0.5, seed=4)])
def test_an_open_mouth_moved_whatever_else_changed(after: np.ndarray) -> None:
    assert mouth_moved(face(0), after)
    assert mouth_moved(after, face(0))


def test_the_score_is_the_share_of_the_loud_moments_in_which_the_mouth_moves() -> None:
    talks = [face(3 * (1 - i % 2), seed=i) for i in range(6)]
    rests = [face(0, seed=10 + i) for i in range(5)]
    loud, quiet = noise(1.0, 3_000), noise(1.0, 10)
    seen = track([*talks, *rests])
    assert speaking(seen, np.concatenate([loud, quiet]), 0) == pytest.approx(1.0)
    assert speaking(seen, np.concatenate([quiet, loud]), 0) == pytest.approx(0.0)
    assert speaking(seen, np.concatenate([loud, loud]), 0) == pytest.approx(0.5, abs=0.02)
    assert speaking(seen, np.empty(0, np.int16), 0) == pytest.approx(0.5)  # nothing is heard: all moments are alike


def test_times_are_those_of_the_samples() -> None:
    seen = track([*(face(3 * (1 - i % 2), seed=i) for i in range(6)), *(face(0, seed=10 + i) for i in range(5))])
    sound = np.concatenate([noise(0.5, 10), noise(1.0, 3_000), noise(1.0, 10)])
    assert speaking(seen, sound, -500_000_000) == pytest.approx(1.0)


def test_one_grimace_is_one_moment() -> None:
    cuts = [face(0 if i < 5 else 3, seed=i) for i in range(11)]
    assert speaking(track(cuts), noise(2.0, 3_000), 0) == pytest.approx(0.1, abs=0.02)


def test_too_few_pictures_or_too_far_apart_tell_nothing() -> None:
    cuts = [face(3 * (i % 2), seed=i) for i in range(6)]
    assert speaking(track(cuts[:3]), noise(1.0, 3_000), 0) is None
    assert speaking(track(cuts, step_ns=1_100_000_000), noise(9.0, 3_000), 0) is None
    assert speaking([], noise(1.0, 3_000), 0) is None


@given(seed=st.integers(0, 10_000), count=st.integers(4, 8), flat=st.booleans(), samples=st.integers(0, 40_000))
@settings(max_examples=40, deadline=None)
def test_any_pictures_and_any_sound_give_a_share(seed: int, count: int, flat: bool, samples: int) -> None:
    rng = np.random.default_rng(seed)
    cuts = [
        np.full((48, 48), v, np.uint8) if flat else rng.integers(0, v + 1, (48, 48), np.uint8) for v in range(count)
    ]
    score = speaking(track(cuts), rng.integers(-32768, 32768, samples).astype(np.int16), 0)
    assert score is not None
    assert 0 <= score <= 1
