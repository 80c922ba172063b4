"""PortAudio and OpenCV, and how they name devices.

The rule of this file: a driver is loaded here, and only when a device is asked for. To replay a file or to watch a
session must work where neither library can be loaded.
"""

import difflib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec

from erc_live.live.errors import DeviceError

_PORTAUDIO_PACKAGES = {  # package manager -> what installs PortAudio with it
    "apt-get": "apt-get install libportaudio2",
    "dnf": "dnf install portaudio",
    "pacman": "pacman -S portaudio",
    "zypper": "zypper install libportaudio2",
    "apk": "apk add portaudio",
    "brew": "brew install portaudio",
}
_PROBED_CAMERAS = 4  # where the system does not list them
_DEV = Path("/dev")
_SYS_VIDEO = Path("/sys/class/video4linux")


class MicrophoneInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An input that PortAudio offers. `rate_hz` is the rate it runs at when nobody asks for another."""

    index: int
    name: str
    host_api: str
    channels: int
    rate_hz: float
    default: bool


def load_portaudio() -> Any:
    """The `sounddevice` module. Raises DeviceError, with the command that installs what is missing."""
    try:
        import sounddevice
    except OSError as error:  # the wheels for Linux bring no PortAudio
        raise DeviceError(f"PortAudio is not installed: {portaudio_command()}") from error
    return sounddevice


def portaudio_command() -> str:
    """The one command that installs PortAudio on this system."""
    for manager, command in _PORTAUDIO_PACKAGES.items():
        if shutil.which(manager):
            as_root = manager == "brew" or not hasattr(os, "geteuid") or os.geteuid() == 0
            return command if as_root else f"sudo {command}"
    return "install the package called portaudio or libportaudio2"


def load_opencv() -> Any:
    """The `cv2` module: one thread, and silent where it would write to the terminal. Raises DeviceError."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # quiet
    try:
        import cv2
    except ImportError as error:  # opencv-python wants libGL, which servers do not have
        raise DeviceError(
            f"OpenCV cannot be loaded ({error}): pip install 'opencv-python-headless>=4.13,<5'"
        ) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    cv2.setNumThreads(1)
    return cv2


def list_microphones(portaudio: Any) -> list[MicrophoneInfo]:
    """Every device with at least one input channel."""
    apis = portaudio.query_hostapis()
    try:
        default = portaudio.query_devices(kind="input")["index"]
    except (portaudio.PortAudioError, ValueError):
        default = None
    return [
        MicrophoneInfo(
            index=device["index"],
            name=device["name"],
            host_api=apis[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            rate_hz=device["default_samplerate"],
            default=device["index"] == default,
        )
        for device in portaudio.query_devices()
        if device["max_input_channels"] > 0
    ]


def find_microphone(microphones: list[MicrophoneInfo], target: str) -> MicrophoneInfo:
    """The input that `target` means: "default", a number, a name, or a part of a name (the first that fits).

    Raises DeviceError that names the nearest ones.
    """
    if not microphones:
        raise DeviceError("no microphone found: plug one in, or give --mic a media file; `erc-live devices` lists them")
    if target == "default":
        fits = [m for m in microphones if m.default] or microphones
    elif target.isdigit():
        fits = [m for m in microphones if m.index == int(target)]
    else:
        wanted = target.casefold()
        fits = [m for m in microphones if m.name.casefold() == wanted]
        fits += [m for m in microphones if wanted in m.name.casefold()]
    if not fits:
        names = {f"{m.index}" if target.isdigit() else m.name: m for m in microphones}
        nearest = difflib.get_close_matches(target, names, n=3, cutoff=0.3) or list(names)[:3]
        offered = ", ".join(f"{names[name].index} '{names[name].name}'" for name in nearest)
        raise DeviceError(f"no microphone '{target}'; there is {offered}; `erc-live devices` lists all")
    return fits[0]


def camera_remedy(index: int) -> str:
    """Why a camera may not open, and what to do."""
    if sys.platform == "darwin":
        return "allow it for your terminal in System Settings > Privacy & Security > Camera, and close other programs"
    if sys.platform != "linux":
        return "allow it for desktop programs in the privacy settings, and close other programs that use it"
    node = _DEV / f"video{index}"
    if not node.exists():
        present = ", ".join(str(i) for i in camera_indices()) or "none"
        return f"there is no {node}; camera numbers here: {present}"
    if not os.access(node, os.R_OK | os.W_OK):
        return f"no permission for {node}: sudo usermod -aG video $USER, then log in again"
    return "another program uses it, or it is not a camera; `erc-live devices` lists what opens"


def camera_indices() -> list[int]:
    if sys.platform != "linux":
        return list(range(_PROBED_CAMERAS))
    numbers = (re.fullmatch(r"video(\d+)", node.name) for node in _DEV.glob("video*"))
    return sorted(int(number[1]) for number in numbers if number and _captures(int(number[1])))


def _captures(index: int) -> bool:
    """Linux gives most cameras a second node with metadata only, which never opens: the pictures have `index` 0."""
    try:
        return (_SYS_VIDEO / f"video{index}" / "index").read_text().strip() == "0"
    except OSError:
        return True


def camera_name(index: int) -> str:
    try:
        return (_SYS_VIDEO / f"video{index}" / "name").read_text().strip()
    except OSError:
        return f"camera {index}"
