"""A camera, through OpenCV: grab in a thread of its own -> scaled, encoded once -> the newest picture only.

Cameras lie: a read may block for ever, or return the same stale picture with success, after the cable was pulled. The
rule of this file: `read` never waits for the driver. A camera that brings no new picture is given up, with a `Gap`, and
a new capture object is made in a new thread; the old thread, if it ever wakes, lets go of its own.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from erc_live.live.capture.drivers import camera_remedy, load_opencv
from erc_live.live.capture.source_spec import SourceSpec, public_target
from erc_live.live.capture.video_check import VideoCheck
from erc_live.live.capture.watchdog import START_S, Watchdog
from erc_live.live.config import CaptureSection
from erc_live.live.errors import DeviceError
from erc_live.streams.clock import Clock, SessionClock
from erc_live.streams.messages import Gap, VideoFrame

MAX_BLOCKED = 3  # threads inside a driver that does not return, before no more are started
RATE_WINDOW = 30  # pictures over which the rate is measured


class Pace:
    """Lets through at most `rate_hz` pictures per second of a camera that delivers more, evenly."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(1e9 / rate_hz)
        self._due_ns = 0

    def lets(self, t_ns: int) -> bool:
        """Whether the picture of `t_ns` is one to keep."""
        if t_ns < self._due_ns:
            return False
        # From the time it was due, or cameras of 30 Hz would give 7.5 instead of 10; half a period apart at the least.
        self._due_ns = max(self._due_ns + self._period_ns, t_ns + self._period_ns // 2)
        return True


class Grabber(threading.Thread):
    """One capture object and the thread that waits for it, until it fails or is told to stop."""

    def __init__(
        self, spec: SourceSpec, config: CaptureSection, now_ns: Callable[[], int], deliver: Callable[[VideoFrame], None]
    ) -> None:
        super().__init__(daemon=True, name=spec.name)
        self.stopped = False
        self._spec = spec
        self._config = config
        self._now_ns = now_ns
        self._deliver = deliver
        self._cv2 = load_opencv()
        self._pace = Pace(config.camera_rate_hz)
        self._capture: Any = None

    def open(self) -> bool:
        """Open the camera in the caller's thread: macOS asks for permission in the first one only."""
        cv2 = self._cv2
        if self._spec.medium == "url":
            wait_ms = round(START_S * 1000)
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait_ms]
            self._capture = cv2.VideoCapture(self._spec.target, cv2.CAP_FFMPEG, limits)
        else:
            self._capture = cv2.VideoCapture(int(self._spec.target))
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._config.camera_width_px)
        return bool(self._capture.isOpened())

    def run(self) -> None:
        if self._capture is None:
            self.open()
        # A closed capture object grabs nothing. Every picture is taken from the driver, or its buffer would grow old.
        try:
            while not self.stopped and self._capture.grab():
                t_ns = self._now_ns()
                if self._pace.lets(t_ns):
                    found, image = self._capture.retrieve()
                    if not found:
                        break
                    self._deliver(self._encode(image, t_ns))
        finally:
            self._capture.release()

    def _encode(self, image: Any, t_ns: int) -> VideoFrame:
        cv2, config = self._cv2, self._config
        height, width = image.shape[:2]
        if width > config.camera_width_px:
            height, width = round(height * config.camera_width_px / width), config.camera_width_px
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality])
        return VideoFrame(source=self._spec.name, t_ns=t_ns, width_px=width, height_px=height, jpeg=jpeg.tobytes())


class Camera:
    """A source of `VideoFrame` and `Gap` (`source.Source`). Raises DeviceError when it does not open or shows nothing.

    `dropped` counts pictures that a newer one replaced before they were read, and those that a lost camera did not
    bring.
    """

    finished = False
    end_ns = None
    level_db = None

    def __init__(self, spec: SourceSpec, config: CaptureSection) -> None:
        self.note = ""
        self.dropped = 0
        self._spec = spec
        self._config = config
        self._clock: Clock = SessionClock()
        self._watchdog = Watchdog(config.silent_device_s)
        self._arrived = threading.Condition()
        self._newest: VideoFrame | None = None
        self._stamps: deque[int] = deque(maxlen=RATE_WINDOW)
        self._seen_ns = 0  # up to here pictures came, or were said to be lost
        self._lost = False
        self._video = VideoCheck()
        self._blocked: list[Grabber] = []
        self._grabber: Grabber | None = self._new_grabber()
        if not self._grabber.open():
            raise DeviceError(self._why("does not open"))
        self._grabber.start()
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._newest is not None, START_S):
                self._grabber.stopped = True
                raise DeviceError(self._why("opens, but shows nothing"))

    @property
    def rate_hz(self) -> float | None:
        """Measured, of the pictures that were handed over."""
        if len(self._stamps) < 2:
            return None
        return (len(self._stamps) - 1) * 1e9 / max(1, self._stamps[-1] - self._stamps[0])

    def start(self, clock: Clock, start_ns: int) -> None:
        """Pictures taken before `start_ns` of `clock` are passed over."""
        self._clock = clock
        self._seen_ns = start_ns
        self.dropped = 0
        self._watchdog.alive(clock.now_ns())

    def read(self, timeout_s: float) -> list[VideoFrame | Gap]:
        """The newest picture that was not yet read."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._newest is not None, timeout_s)
            frame, self._newest = self._newest, None
        now_ns = self._clock.now_ns()
        if frame is not None and self._grabber is not None:  # else it is of one that was given up, and woke
            self._watchdog.alive(now_ns)
            return self._accept(frame) if frame.t_ns >= self._seen_ns else []
        if self._grabber is None:
            if self._watchdog.due(now_ns):
                self._reopen(now_ns)
        elif self._watchdog.dead(now_ns) or not self._grabber.is_alive():
            return self._give_up(now_ns)
        return []

    def close(self) -> None:
        """Let go of the camera. May be called twice."""
        if self._grabber is not None:
            self._grabber.stopped = True
            self._grabber.join(timeout=1.0)
            self._grabber = None

    def _accept(self, frame: VideoFrame) -> list[VideoFrame | Gap]:
        gap = [self._gap(frame.t_ns)] if self._lost else []
        self._lost = False
        self._seen_ns = frame.t_ns
        self._stamps.append(frame.t_ns)
        self._video.look(frame)
        self.note = self._video.note
        return [*gap, frame]

    def _give_up(self, now_ns: int) -> list[VideoFrame | Gap]:
        """Leave the capture object to its thread; the first time, report the loss."""
        assert self._grabber is not None
        self._grabber.stopped = True
        self._blocked.append(self._grabber)
        self._grabber = None
        self._stamps.clear()
        self.note = f"camera {public_target(self._spec)} brings no pictures: trying again"
        self._watchdog.lost(now_ns)
        if self._lost:
            return []
        self._lost = True
        return [self._gap(now_ns)]

    def _reopen(self, now_ns: int) -> None:
        self._blocked = [grabber for grabber in self._blocked if grabber.is_alive()]
        if len(self._blocked) >= MAX_BLOCKED:
            self.note = (
                f"the driver of camera {public_target(self._spec)} hangs: unplug the camera and plug it in again"
            )
            self._watchdog.lost(now_ns)
            return
        self._grabber = self._new_grabber()
        self._grabber.start()
        self._watchdog.opened(now_ns)

    def _new_grabber(self) -> Grabber:
        return Grabber(self._spec, self._config, lambda: self._clock.now_ns(), self._hand_over)

    def _hand_over(self, frame: VideoFrame) -> None:
        """In the grabber's thread."""
        with self._arrived:
            self.dropped += self._newest is not None
            self._newest = frame
            self._arrived.notify()

    def _gap(self, until_ns: int) -> Gap:
        lost = max(1, round((until_ns - self._seen_ns) * self._config.camera_rate_hz / 1e9))
        gap = Gap(source=self._spec.name, t_start_ns=self._seen_ns, t_end_ns=until_ns, lost=lost, cause="device")
        self._seen_ns = until_ns
        self.dropped += lost
        return gap

    def _why(self, trouble: str) -> str:
        if self._spec.medium == "url":
            return f"camera {public_target(self._spec)} {trouble}: check the address, and that it plays elsewhere"
        return f"camera {self._spec.target} {trouble}: {camera_remedy(int(self._spec.target))}"
