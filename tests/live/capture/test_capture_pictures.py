"""What is said of pictures that show nothing."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from erc_live.live.capture.source import open_source
from erc_live.live.capture.source_spec import parse_camera
from erc_live.live.capture.video_check import VideoCheck
from erc_live.live.config import CaptureSection
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import VideoFrame

RNG = np.random.default_rng(0)
ROOM = cv2.GaussianBlur(RNG.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 3)
SECOND = 1_000_000_000


def noisy(picture: np.ndarray, level: float = 3.0) -> np.ndarray:
    return np.clip(picture + RNG.normal(0, level, picture.shape), 0, 255).astype(np.uint8)


def with_clock(picture: np.ndarray) -> np.ndarray:
    return cv2.putText(picture, "12:00", (10, 20), cv2.FONT_HERSHEY_PLAIN, 1, (255, 255, 255))


def notes(*pictures: np.ndarray | bytes, rate_hz: float = 10.0) -> list[str]:
    check, out = VideoCheck(), []
    for number, picture in enumerate(pictures):
        data = picture if isinstance(picture, bytes) else cv2.imencode(".jpg", picture)[1].tobytes()
        t_ns = 7 * SECOND + round(number * SECOND / rate_hz)
        check.look(VideoFrame(source="camera-0", t_ns=t_ns, width_px=320, height_px=240, jpeg=data))
        out.append(check.note)
    return out


@pytest.mark.parametrize("rate_hz", [1.0, 10.0, 30.0])
def test_a_room_is_well_also_in_the_evening_and_at_any_rate(rate_hz: float) -> None:
    evening = (ROOM * 0.25).astype(np.uint8)
    assert set(notes(*(noisy(picture) for picture in (ROOM, evening) for _ in range(20)), rate_hz=rate_hz)) == {""}


@pytest.mark.parametrize("level", [0.0, 3.0, 8.0])
@pytest.mark.parametrize("mark", [np.asarray, with_clock])
def test_black_is_said_after_a_second_and_taken_back(level: float, mark) -> None:
    black = [mark(noisy(np.zeros_like(ROOM), level)) for _ in range(20)]
    said = notes(noisy(ROOM), *black, noisy(ROOM))
    assert said[9] == ""
    assert said[10].startswith("picture is black")
    assert said[-2].startswith("picture is black")
    assert said[-1] == ""


def test_frozen_is_said_after_three_seconds_and_taken_back() -> None:
    said = notes(noisy(ROOM), *[ROOM] * 35, noisy(ROOM))
    assert set(said[:31]) == {""}
    assert said[31].startswith("picture is frozen")
    assert said[-2].startswith("picture is frozen")
    assert said[-1] == ""


def test_black_from_the_beginning() -> None:
    assert notes(*[np.zeros_like(ROOM)] * 40)[-1].startswith("picture is black")


def test_what_is_no_picture_is_for_others_to_say() -> None:
    assert set(notes(*(b"broken %d" % number for number in range(40)))) == {""}


def test_a_recording_that_shows_nothing_says_so(tmp_path: Path) -> None:
    """From the file to what the screen is told."""
    path = tmp_path / "black.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    clock = ManualClock(7 * SECOND)
    source = open_source(parse_camera(str(path), 0), CaptureSection())
    source.start(clock, clock.t_ns)
    clock.t_ns += round(1.5 * SECOND)
    assert len(source.read(0)) == 16
    assert source.note.startswith("picture is black")
