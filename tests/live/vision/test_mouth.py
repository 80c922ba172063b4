"""How much a mouth moves, and whether in time with the sound; told from a head that moves and from light."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.vision.mouth import mouth_change, mouth_motion
from erc_live.live.vision.tracks import FaceView, Glimpse

STEP_NS = 100_000_000
RATE = 16_000
SIDE = 32


def mouth(opening: float, shift: int = 0, light: float = 1.0, seed: int = 0) -> np.ndarray:
    """A nose, lips and a chin, drawn, on skin; `opening` of the lips in px of 32."""
    large = np.full((320, 320), 170, np.uint8)
    cv2.line(large, (160, 0), (160, 70), 200, 20)
    cv2.ellipse(large, (160, 150), (80, 8 + round(10 * opening)), 0, 0, 360, 90, -1)
    cv2.ellipse(large, (160, 150), (60, round(8 * opening)), 0, 0, 360, 30, -1)
    cv2.ellipse(large, (160, 300), (90, 30), 0, 180, 360, 120, 8)
    small = cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(float)
    small = np.roll(small, (shift, -shift), (0, 1)) * light + np.random.default_rng(seed).normal(0, 1.5, (SIDE, SIDE))
    return small.clip(0, 255).astype(np.uint8)


def track(mouths: list[np.ndarray], step_ns: int = STEP_NS) -> list[Glimpse]:
    face, row = np.zeros((48, 48), np.uint8), np.zeros(8, np.float32)
    return [Glimpse(i * step_ns, FaceView(0.5, 0.5, 0.2, face, cut, row, 1.0, 0.0)) for i, cut in enumerate(mouths)]


def noise(seconds: float, level: float, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE)).astype(np.int16)


def syllables(levels: np.ndarray, step_s: float = 0.1) -> np.ndarray:
    return np.concatenate([noise(step_s, 10 + 3_000 * level**2, i) for i, level in enumerate(levels)])


def speech(seed: int, count: int = 30) -> np.ndarray:
    """Loudness, 0..1, of bursts and pauses of a few moments each."""
    rng = np.random.default_rng(seed)
    turns = [np.full(rng.integers(2, 5), rng.uniform(0.5, 1) * (i % 2)) for i in range(count)]
    return np.concatenate(turns)[:count]


def lips(levels: np.ndarray) -> list[Glimpse]:
    """A mouth that opens and closes, the wider the louder it is."""
    openings = np.concatenate([[0.0], levels]) * 3 * (np.arange(len(levels) + 1) % 2)
    return track([mouth(float(opening), seed=i) for i, opening in enumerate(openings)])


@pytest.mark.parametrize("after", [mouth(0, seed=2), mouth(0, shift=2, seed=3), mouth(0, light=0.5, seed=4)])
def test_noise_a_moving_head_and_light_change_a_mouth_less_than_opening_it(after: np.ndarray) -> None:
    assert mouth_change(mouth(0), after) < 0.1
    assert mouth_change(mouth(0), mouth(3, seed=2)) > 0.2


@pytest.mark.parametrize("after", [mouth(3, seed=2), mouth(3, shift=2, seed=3), mouth(3, light=0.5, seed=4)])
def test_an_open_mouth_moved_whatever_else_changed(after: np.ndarray) -> None:
    assert mouth_change(mouth(0), after) > 0.2
    assert mouth_change(after, mouth(0)) > 0.2


def test_motion_is_the_mean_of_the_loud_moments() -> None:
    seen = track([mouth(3 * (i % 2) * (i < 10), seed=i) for i in range(21)])
    loud, quiet = noise(1.0, 3_000), noise(1.0, 10)
    talks, rests = (mouth_motion(seen, np.concatenate(pcm), 0).motion for pcm in ((loud, quiet), (quiet, loud)))
    both, silent = (mouth_motion(seen, pcm, 0).motion for pcm in (noise(2.0, 3_000), np.empty(0, np.int16)))
    assert talks is not None
    assert rests is not None
    assert talks > 5 * rests
    assert both == pytest.approx((talks + rests) / 2, rel=0.1)
    assert silent == pytest.approx(both, rel=0.05), "nothing is heard: all moments are alike"


def test_times_are_those_of_the_samples() -> None:
    levels = speech(3)
    answers = [
        mouth_motion(lips(levels), np.concatenate([noise(begun, 10), syllables(levels)]), -round(begun * 1e9))
        for begun in (0.0, 0.5)
    ]
    assert answers[0].motion == pytest.approx(answers[1].motion, abs=0.01)
    assert answers[0].synchrony == pytest.approx(answers[1].synchrony, abs=0.2)


def test_a_mouth_in_time_with_the_sound_is_told_from_one_that_moves_as_much_at_other_times() -> None:
    right, wrong = (
        [mouth_motion(lips(speech(seed + away)), syllables(speech(seed)), 0).synchrony or 0.0 for seed in range(12)]
        for away in (0, 100)
    )
    assert min(right) > 1.0
    assert abs(float(np.mean(wrong))) < 0.8, "chance"
    assert sum(a > b for a, b in zip(right, wrong, strict=True)) >= 10


@pytest.mark.parametrize("late_ms", [-100, 100])
def test_a_camera_that_is_a_little_late_or_early_does_not_matter(late_ms: int) -> None:
    levels = speech(1)
    synchrony = mouth_motion(lips(levels), syllables(levels), late_ms * 1_000_000).synchrony
    assert synchrony is not None
    assert synchrony > 1.5


def test_a_mouth_that_moves_without_end_or_not_at_all_is_in_time_with_nothing() -> None:
    sound = syllables(speech(2))
    for openings in (np.ones(30), np.zeros(30)):
        synchrony = mouth_motion(lips(openings), sound, 0).synchrony
        assert synchrony is not None
        assert abs(synchrony) < 1.5
    assert mouth_motion(lips(speech(2)), np.empty(0, np.int16), 0).synchrony == pytest.approx(0.0)


def test_too_few_pictures_or_too_far_apart_tell_nothing() -> None:
    mouths = [mouth(3 * (i % 2), seed=i) for i in range(10)]
    assert mouth_motion(track(mouths[:3]), noise(1.0, 3_000), 0).motion is None
    assert mouth_motion(track(mouths, step_ns=1_100_000_000), noise(9.0, 3_000), 0).motion is None
    assert mouth_motion([], noise(1.0, 3_000), 0).motion is None
    brief = mouth_motion(track(mouths), noise(1.0, 3_000), 0)
    assert brief.motion is not None
    assert brief.synchrony is None, "too short to move the sound to a wrong time"


@given(seed=st.integers(0, 10_000), count=st.integers(4, 24), flat=st.booleans(), samples=st.integers(0, 40_000))
@settings(max_examples=40, deadline=None)
def test_any_pictures_and_any_sound_give_finite_numbers(seed: int, count: int, flat: bool, samples: int) -> None:
    rng = np.random.default_rng(seed)
    mouths = [
        np.full((SIDE, SIDE), v, np.uint8) if flat else rng.integers(0, v + 1, (SIDE, SIDE), np.uint8)
        for v in range(count)
    ]
    answer = mouth_motion(track(mouths), rng.integers(-32768, 32768, samples).astype(np.int16), 0)
    assert answer.motion is not None
    assert 0 <= answer.motion <= 1
    assert answer.synchrony is None or abs(answer.synchrony) < 2 * count**0.5
