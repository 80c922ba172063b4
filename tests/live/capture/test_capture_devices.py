"""What `erc-live devices` says, and the one command that mends a missing driver."""

import builtins
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import msgspec
import pytest
from rich.console import Console

from erc_live.live.capture import drivers
from erc_live.live.capture.devices import CameraInfo, Devices, list_devices, render
from erc_live.live.capture.drivers import MicrophoneInfo, camera_remedy, load_opencv, load_portaudio
from erc_live.live.errors import DeviceError

MIC = MicrophoneInfo(index=1, name="USB [Mic]", host_api="ALSA", channels=2, rate_hz=48000.0, default=True)


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine: camera 0 with pictures, node 1 with its metadata, camera 2 that does not open."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(drivers, "_DEV", tmp_path)
    monkeypatch.setattr(drivers, "_SYS_VIDEO", tmp_path / "sys")
    for number, name, index in ((0, "Front", 0), (1, "Front", 1), (2, "Door", 0)):
        (tmp_path / f"video{number}").touch()
        folder = tmp_path / "sys" / f"video{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "index").write_text(f"{index}\n")
    return tmp_path


class FakeCapture:
    def __init__(self, index: int) -> None:
        self.index = index

    def isOpened(self) -> bool:
        return self.index == 0

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 1280.0, cv2.CAP_PROP_FRAME_HEIGHT: 720.0, cv2.CAP_PROP_FPS: 30.0}[what]

    def release(self) -> None:
        pass


@pytest.fixture
def no_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importer(name: str, *args: Any) -> Any:
        if name == "sounddevice":
            raise OSError("PortAudio library not found")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", importer)


@pytest.mark.parametrize(
    ("manager", "user", "command"),
    [
        ("apt-get", 0, "apt-get install libportaudio2"),
        ("apt-get", 1000, "sudo apt-get install libportaudio2"),
        ("dnf", 1000, "sudo dnf install portaudio"),
        ("pacman", 1000, "sudo pacman -S portaudio"),
        ("brew", 501, "brew install portaudio"),
        ("", 1000, "install the package called"),
    ],
)
@pytest.mark.usefixtures("no_portaudio")
def test_a_missing_portaudio_is_one_command(
    manager: str, user: int, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == manager else None)
    monkeypatch.setattr(drivers.os, "geteuid", lambda: user)
    with pytest.raises(DeviceError, match=f"PortAudio is not installed: {command}"):
        load_portaudio()


@pytest.mark.usefixtures("no_portaudio")
def test_cameras_are_listed_where_portaudio_is_missing(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    found = list_devices()
    assert found.microphones == ()
    assert found.cameras == (CameraInfo(index=0, name="Front", width_px=1280, height_px=720, fps=30.0),)
    portaudio, door = found.notes
    assert "PortAudio is not installed" in portaudio
    assert "camera 2 'Door' does not open: another program uses it" in door


def test_opencv_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DeviceError, match="pip install 'opencv-python-headless"):
        load_opencv()


def test_why_a_camera_does_not_open(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert camera_remedy(7) == f"there is no {nodes / 'video7'}; camera numbers here: 0, 2"
    monkeypatch.setattr(drivers.os, "access", lambda *_: False)
    assert "usermod -aG video" in camera_remedy(0)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "System Settings" in camera_remedy(0)


def test_the_default_microphone_is_marked() -> None:
    device = {"index": 1, "name": "USB", "hostapi": 0, "max_input_channels": 2, "default_samplerate": 44100.0}
    portaudio = SimpleNamespace(
        PortAudioError=ValueError,
        query_hostapis=lambda: ({"name": "ALSA"},),
        query_devices=lambda kind=None: device if kind else [{"max_input_channels": 0}, device],
    )
    (only,) = drivers.list_microphones(portaudio)
    assert only == MicrophoneInfo(index=1, name="USB", host_api="ALSA", channels=2, rate_hz=44100.0, default=True)


def test_the_tables_and_the_same_for_programs() -> None:
    camera = CameraInfo(index=0, name="Front", width_px=640, height_px=480, fps=None)
    found = Devices(microphones=(MIC,), cameras=(camera,), notes=("camera 2 does not open",))
    console = Console(width=80, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(render(found))
    text = captured.get()
    for expected in ("1 *", "USB [Mic]", "48000 Hz", "Front", "640 x 480", "camera 2 does not open"):
        assert expected in text
    assert msgspec.json.decode(msgspec.json.encode(found), type=Devices) == found


def test_nothing_plugged_in_is_said_in_words() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(render(Devices(microphones=(), cameras=(), notes=("no microphone found",))))
    assert captured.get().strip() == "no microphone found"
