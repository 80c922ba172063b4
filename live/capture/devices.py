"""What is plugged in: the tables of `erc-live devices`."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.capture.drivers import (
    MicrophoneInfo,
    camera_indices,
    camera_name,
    camera_remedy,
    list_microphones,
    load_opencv,
    load_portaudio,
)
from erc_live.live.errors import DeviceError


class CameraInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A camera that could be opened. `fps` is the driver's word, None where it has none."""

    index: int
    name: str
    width_px: int
    height_px: int
    fps: float | None


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """What is plugged in; `notes` say what stands in the way of more, and the remedy."""

    microphones: tuple[MicrophoneInfo, ...]
    cameras: tuple[CameraInfo, ...]
    notes: tuple[str, ...]


def list_devices() -> Devices:
    """Look for microphones and cameras. Opens every camera for a moment."""
    notes = []
    microphones: list[MicrophoneInfo] = []
    with _quiet_stderr():
        try:
            microphones = list_microphones(load_portaudio())
            if not microphones:
                notes.append("no microphone found")
        except DeviceError as error:
            notes.append(str(error))
        try:
            cameras, closed = _list_cameras(load_opencv())
            notes += closed
            if not cameras:
                notes.append("no camera found")
        except DeviceError as error:
            cameras = []
            notes.append(str(error))
    return Devices(microphones=tuple(microphones), cameras=tuple(cameras), notes=tuple(notes))


def render(devices: Devices) -> RenderableType:
    """The tables of `erc-live devices`."""
    parts: list[RenderableType] = []
    if devices.microphones:
        rows = [
            (f"{m.index}{' *' if m.default else ''}", m.name, m.host_api, f"{m.channels}", f"{m.rate_hz:.0f} Hz")
            for m in devices.microphones
        ]
        parts.append(_table(("--mic", "microphone (* = default)", "through", "channels", "rate"), rows))
    if devices.cameras:
        rows_of_cameras = [
            (f"{c.index}", c.name, f"{c.width_px} x {c.height_px}", f"{c.fps:.0f} fps" if c.fps else "")
            for c in devices.cameras
        ]
        parts.append(_table(("--camera", "camera", "size", "rate"), rows_of_cameras))
    return Group(*parts, *(Text(note) for note in devices.notes))


def _list_cameras(cv2: Any) -> tuple[list[CameraInfo], list[str]]:
    cameras, closed = [], []
    for index in camera_indices():
        capture = cv2.VideoCapture(index)
        if capture.isOpened():
            fps = capture.get(cv2.CAP_PROP_FPS)
            cameras.append(
                CameraInfo(
                    index=index,
                    name=camera_name(index),
                    width_px=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
                    height_px=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
                    fps=fps if fps > 0 else None,
                )
            )
        elif sys.platform == "linux":  # elsewhere the number was a guess
            closed.append(f"camera {index} '{camera_name(index)}' does not open: {camera_remedy(index)}")
        capture.release()
    return cameras, closed


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a device's name may hold what rich takes for markup
    return table


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Nothing on standard error, not even from C libraries: ALSA and V4L2 tell there what they tried in vain."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
