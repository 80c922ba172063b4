"""The camera: with an OpenCV that does what it is told, and with the real one on a picture stream of this machine."""

import http.server
import queue
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.capture.camera import MAX_BLOCKED, Camera, Pace
from erc_live.live.capture.source_spec import parse_camera
from erc_live.live.config import CaptureSection
from erc_live.live.errors import DeviceError
from erc_live.streams.clock import ManualClock, SessionClock
from erc_live.streams.messages import Gap, VideoFrame

CONFIG = CaptureSection(camera_rate_hz=10.0, camera_width_px=320)
PATIENCE_S = 200.0  # for another thread on a busy machine; never waited for in full
S = 1_000_000_000


class FakeCapture:
    """The driver's side: pictures, None for a failure, and until then a `grab` that does not return."""

    made: ClassVar["list[FakeCapture]"]
    first: np.ndarray | None
    opens = True

    def __init__(self, *target: Any) -> None:
        self.pictures: queue.Queue[np.ndarray | None] = queue.Queue()
        self.released = threading.Event()
        self.settings: dict[int, float] = {}
        type(self).made.append(self)
        if self.first is not None:
            self.pictures.put(self.first)
        if not self.opens:
            self.pictures.put(None)

    def isOpened(self) -> bool:
        return self.opens

    def set(self, key: int, value: float) -> None:
        self.settings[key] = value

    def grab(self) -> bool:
        self.image = self.pictures.get()
        return self.image is not None

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        return True, self.image

    def release(self) -> None:
        self.released.set()


def picture(shade: int, width_px: int = 640, height_px: int = 480) -> np.ndarray:
    return np.full((height_px, width_px, 3), shade, np.uint8)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeCapture]]:
    class Driver(FakeCapture):
        made: ClassVar[list[FakeCapture]] = []
        first = picture(1)

    monkeypatch.setattr(cv2, "VideoCapture", Driver)
    yield Driver
    for capture in Driver.made:  # let every thread go
        capture.pictures.put(None)


class Session:
    """A started camera and the hands of the clock."""

    def __init__(self, driver: type[FakeCapture]) -> None:
        self.driver = driver
        self.source = Camera(parse_camera("0", 0), CONFIG)
        self.clock = ManualClock(time.monotonic_ns())
        self.source.start(self.clock, self.clock.t_ns)
        assert self.source.read(0) == [], "the picture that showed that it works is older than the session"

    def see(self, shade: int, width_px: int = 640) -> list[VideoFrame | Gap]:
        self.clock.t_ns += S // 10
        self.driver.made[-1].pictures.put(picture(shade, width_px))
        return self.source.read(PATIENCE_S)

    def wait(self, seconds: float) -> list[VideoFrame | Gap]:
        """Nothing comes, and the reader reads on every 50 ms."""
        out: list[VideoFrame | Gap] = []
        for _ in range(round(seconds * 20)):
            self.clock.t_ns += S // 20
            out += self.source.read(0)
        return out


def test_pictures_are_scaled_encoded_once_and_stamped_at_the_grab(driver: type[FakeCapture]) -> None:
    session = Session(driver)
    for i in range(5):
        (frame,) = session.see(shade=40 * i)
        assert isinstance(frame, VideoFrame)
        assert frame.t_ns == session.clock.t_ns
        assert (frame.width_px, frame.height_px) == (320, 240)
        image = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (240, 320, 3)
        assert abs(int(image[100, 100, 0]) - 40 * i) <= 2
    assert session.source.rate_hz == pytest.approx(10.0)
    assert (session.source.dropped, session.source.note) == (0, "")
    (small,) = session.see(shade=9, width_px=160)
    assert (small.width_px, small.height_px) == (160, 480), "never enlarged"
    session.source.close()
    session.source.close()


def test_a_slow_reader_gets_the_newest_picture(driver: type[FakeCapture]) -> None:
    session = Session(driver)
    for shade in (50, 100, 150):
        session.clock.t_ns += S // 10
        driver.made[0].pictures.put(picture(shade))
        deadline = time.monotonic() + PATIENCE_S
        while session.source._newest is None or session.source._newest.t_ns != session.clock.t_ns:
            assert time.monotonic() < deadline
            time.sleep(0)
    (frame,) = session.source.read(0)
    assert isinstance(frame, VideoFrame)
    assert frame.t_ns == session.clock.t_ns
    assert session.source.dropped == 2


def test_a_camera_that_blocks_is_given_up_and_made_anew(driver: type[FakeCapture]) -> None:
    session = Session(driver)
    (last,) = session.see(10)
    (gap,) = session.wait(1.0)
    assert isinstance(gap, Gap)
    assert (gap.t_start_ns, gap.t_end_ns) == (last.t_ns, last.t_ns + S)
    assert gap.lost == 10
    assert "trying again" in session.source.note
    driver.first = None
    driver.made[0].pictures.put(picture(30))  # the old one wakes
    assert driver.made[0].released.wait(PATIENCE_S)
    assert session.wait(0.5) == []
    assert_made(driver, 2)
    (back_gap, frame) = session.see(20)
    assert isinstance(back_gap, Gap)
    assert (back_gap.t_start_ns, back_gap.t_end_ns) == (gap.t_end_ns, frame.t_ns)
    assert session.source.note == ""


def test_a_driver_that_hangs_does_not_fill_the_process_with_threads(driver: type[FakeCapture]) -> None:
    session = Session(driver)
    driver.first = None
    gaps = session.wait(60.0)
    assert len(gaps) == 1
    assert_made(driver, MAX_BLOCKED)
    assert "hangs" in session.source.note
    for capture in driver.made:
        capture.pictures.put(None)
        assert capture.released.wait(PATIENCE_S)
    driver.first = picture(5)
    deadline = time.monotonic() + PATIENCE_S
    while not any(isinstance(message, VideoFrame) for message in session.wait(0.1)):
        assert time.monotonic() < deadline


def test_a_camera_that_fails_is_replaced_without_waiting(driver: type[FakeCapture]) -> None:
    session = Session(driver)
    session.see(10)
    driver.made[0].pictures.put(None)
    assert driver.made[0].released.wait(PATIENCE_S)
    session.source._grabber.join(PATIENCE_S)
    (gap,) = session.source.read(0)
    assert isinstance(gap, Gap)


def test_a_frozen_or_black_picture_is_worth_a_note(driver: type[FakeCapture]) -> None:
    session = Session(driver)
    for _ in range(25):
        session.see(100)
    assert session.source.note == ""
    for _ in range(10):
        session.see(100)
    assert "picture is frozen" in session.source.note
    session.see(110)
    assert session.source.note == ""
    for _ in range(12):
        session.see(1)
    assert "picture is black" in session.source.note


@pytest.mark.parametrize(("opens", "trouble"), [(False, "does not open"), (True, "shows nothing")])
def test_a_camera_that_cannot_be_used(
    driver: type[FakeCapture], opens: bool, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("erc_live.live.capture.camera.START_S", 0.0)
    driver.opens, driver.first = opens, None
    with pytest.raises(DeviceError, match=f"^camera 0 .*{trouble}: .") as error:
        Camera(parse_camera("0", 0), CONFIG)
    assert "\n" not in str(error.value)


@given(rate_hz=st.floats(1, 60), camera_hz=st.floats(1, 120), seed=st.integers(0, 1000))
def test_the_pace_is_even_and_no_faster_than_asked(rate_hz: float, camera_hz: float, seed: int) -> None:
    pace, rng = Pace(rate_hz), np.random.default_rng(seed)
    times = S + (np.arange(300) / camera_hz * 1e9 + rng.uniform(0, 0.2, 300) / camera_hz * 1e9).astype(np.int64)
    kept = [int(t_ns) for t_ns in times if pace.lets(int(t_ns))]
    seconds = (times[-1] - times[0]) / 1e9
    assert len(kept) <= seconds * rate_hz + 2
    assert len(kept) >= seconds * min(rate_hz, camera_hz) * 0.75 - 2
    assert all(b - a >= 0.49e9 / rate_hz for a, b in pairwise(kept))


def test_thirty_a_second_become_ten() -> None:
    pace = Pace(10.0)
    assert sum(pace.lets(S + round(i * S / 30)) for i in range(300)) in (100, 101)


def assert_made(driver: type[FakeCapture], count: int) -> None:
    """The capture objects are made in threads of their own."""
    deadline = time.monotonic() + PATIENCE_S
    while len(driver.made) < count:
        assert time.monotonic() < deadline
        time.sleep(0)
    assert len(driver.made) == count


class MotionJpeg(http.server.BaseHTTPRequestHandler):
    """A camera of the network: a new picture 25 times a second until its `unplugged` is set."""

    unplugged: threading.Event

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        shade = 0
        while not self.unplugged.wait(0.04):
            shade = (shade + 10) % 250
            jpeg = cv2.imencode(".jpg", picture(shade))[1].tobytes()
            try:
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n")
            except OSError:  # nobody looks any more
                return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def network_camera() -> Iterator[tuple[str, threading.Event]]:
    handler = type("Handler", (MotionJpeg,), {"unplugged": threading.Event()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/live.mjpeg", handler.unplugged
        handler.unplugged.set()
        server.shutdown()


@pytest.mark.slow
def test_a_camera_of_the_network_seen_through_the_real_opencv(network_camera: tuple[str, threading.Event]) -> None:
    address, unplugged = network_camera
    source = Camera(parse_camera(address, 0), CONFIG)
    clock = SessionClock()
    start_ns = clock.now_ns()
    source.start(clock, start_ns)
    frames = []
    while clock.now_ns() < start_ns + 2 * S:
        frames += source.read(0.02)
    assert all(isinstance(frame, VideoFrame) for frame in frames)
    assert 12 <= len(frames) <= 22
    assert (frames[0].width_px, frames[0].height_px) == (320, 240)
    assert len({frame.jpeg for frame in frames}) > 10, "pictures, not one picture"
    times = [frame.t_ns for frame in frames]
    assert times == sorted(set(times))
    unplugged.set()
    cut_ns = clock.now_ns()
    messages = []
    while not any(isinstance(m, Gap) for m in messages) and clock.now_ns() < cut_ns + 10 * S:
        messages += source.read(0.02)
    assert any(isinstance(m, Gap) for m in messages)
    assert clock.now_ns() - cut_ns < 2 * S
    unplugged.clear()
    back_ns = clock.now_ns()
    messages = []
    while not any(isinstance(m, VideoFrame) for m in messages) and clock.now_ns() < back_ns + 10 * S:
        messages += source.read(0.02)
    assert [type(m) for m in messages] == [Gap, VideoFrame]
    source.close()


def test_an_address_where_nobody_is() -> None:
    with pytest.raises(DeviceError, match="check the address"):
        Camera(parse_camera("http://me:secret@127.0.0.1:9/live", 0), CONFIG)
