"""Microphones and cameras, and the libraries that open them.

The rule of this file: a microphone is listened to for three seconds, and what stays is how loud it was.
"""

import time
from collections.abc import Iterator

import numpy as np

from erc_live.live.capture.drivers import (
    camera_indices,
    camera_name,
    list_microphones,
    load_opencv,
    load_portaudio,
    portaudio_command,
)
from erc_live.live.doctor.findings import Case, Check, Finding
from erc_live.live.errors import DeviceError

LISTEN_S = 3.0
_QUIET_DBFS = -50.0  # of the loudest tenth: speech at a desk has -35 to -15
_CLIPPED = 0.002  # share of samples that touch the rails, as in `sound_check.py`
_DEVICE_CODE = 3


def device_checks(case: Case) -> Iterator[Check]:
    """In the order in which people read them."""
    yield Check("PortAudio", "devices", _portaudio)
    yield Check("OpenCV", "devices", _opencv)
    listens = case.mic is not None and case.level_test
    asks = f"listening for {LISTEN_S:.0f} s: say something (nothing is kept)" if listens else ""
    yield Check("microphone", "devices", _microphone, asks)
    yield Check("camera", "devices", _camera, "opening the camera" if case.camera is not None else "")


def _portaudio(check: Check, case: Case) -> Finding:
    try:
        microphones = list_microphones(load_portaudio())
    except DeviceError as error:
        if case.mic is None:
            return check.finding("warning", "not installed: no microphone can be used", portaudio_command())
        return check.finding("missing", str(error).partition(":")[0], portaudio_command(), _DEVICE_CODE)
    names = ", ".join(f"{m.index} '{m.name}'{' (default)' if m.default else ''}" for m in microphones)
    return check.finding("ok", f"microphones: {names or 'none'}", figures={"microphones": float(len(microphones))})


def _opencv(check: Check, case: Case) -> Finding:
    """Perception needs it for faces, so also where there is no camera yet. Raises DeviceError."""
    version = load_opencv().__version__
    cameras = camera_indices()
    names = ", ".join(f"{index} '{camera_name(index)}'" for index in cameras)
    return check.finding("ok", f"{version}; cameras: {names or 'none'}", figures={"cameras": float(len(cameras))})


def _microphone(check: Check, case: Case) -> Finding:
    """Raises DeviceError, MediaError."""
    from erc_live.live.capture.source import open_source
    from erc_live.streams.clock import SessionClock
    from erc_live.streams.messages import AudioChunk

    if case.mic is None:
        return check.finding("skipped", "no device is looked for (--no-devices)")
    try:
        source, clock = open_source(case.mic, case.config.capture), SessionClock()
    except DeviceError as error:
        return check.finding("missing", str(error), "of recordings alone: erc-live doctor --no-devices", _DEVICE_CODE)
    chunks: list[np.ndarray] = []
    try:
        if not case.level_test:
            return check.finding("ok", f"{case.mic.target} opens; its level was not tested (--no-level-test)")
        source.start(clock, clock.now_ns())
        until_s = time.monotonic() + LISTEN_S
        while time.monotonic() < until_s and not source.finished:
            chunks += [message.pcm for message in source.read(0.1) if isinstance(message, AudioChunk)]
    finally:
        source.close()
    return level(check, case.mic.target, chunks)


def level(check: Check, name: str, chunks: list[np.ndarray]) -> Finding:
    """What the sound of a microphone says of it. Shapes: of each chunk (n,) int16."""
    from erc_live.live.capture.sound_check import RAIL, level_db

    if not chunks:
        return check.finding("missing", f"{name} delivered nothing in {LISTEN_S:.0f} s", "", _DEVICE_CODE)
    pcm = np.concatenate(chunks)
    if not pcm.any():
        why = f"{name} delivers zeros alone: muted, or not allowed for this program"
        return check.finding("warning", why, "unmute it, or allow the microphone in the privacy settings")
    levels = [level_db(chunk) for chunk in chunks if len(chunk)]
    quiet, loud = (float(value) for value in np.percentile(levels, [10, 90]))
    clipped = float(np.mean(np.abs(pcm.astype(np.int32)) >= RAIL))
    figures = {"quiet_dbfs": quiet, "loud_dbfs": loud, "clipped_share": clipped}
    detail = f"{name}: {quiet:.0f} to {loud:.0f} dBFS"
    if clipped > _CLIPPED:
        return check.finding("warning", f"{detail}, cut off at its loudest", "turn its gain down", figures=figures)
    if loud < _QUIET_DBFS:
        why = f"{detail}, too quiet for speech (if somebody spoke)"
        return check.finding("warning", why, "turn its gain up, or come nearer", figures=figures)
    return check.finding("ok", detail, figures=figures)


def _camera(check: Check, case: Case) -> Finding:
    """Raises DeviceError, MediaError."""
    from erc_live.live.capture.source import open_source

    if case.camera is None:
        return check.finding("skipped", "none was asked for (--camera 0)")
    source = open_source(case.camera, case.config.capture)
    try:
        rate = f", {source.rate_hz:.0f} frames a second" if source.rate_hz else ""
    finally:
        source.close()
    return check.finding("ok", f"{case.camera.target} opens{rate}")
