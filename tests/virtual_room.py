"""A room to speak in, without sound card: what is played into it is heard by the microphone of every process in it.

PulseAudio with a null sink, in a runtime folder of its own; the sink's monitor is the default microphone. Needs no
D-Bus, no service manager and no rights.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = ("pulseaudio", "pactl", "paplay")
PACKAGES = "libportaudio2 libasound2-plugins pulseaudio pulseaudio-utils"
RATE_HZ = 48_000


def missing() -> list[str]:
    """Programs that the room needs and that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


class VirtualRoom:
    """`environment` is what a process needs to be in the room."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="room-"))  # short: a socket's path holds some 100 bytes
        self.environment = dict(
            os.environ, XDG_RUNTIME_DIR=str(self.folder), PULSE_RUNTIME_PATH=str(self.folder / "pulse")
        )
        self.environment["PULSE_STATE_PATH"] = str(self.folder / "state")
        self.switch_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.switch_off()
        shutil.rmtree(self.folder, ignore_errors=True)

    def switch_on(self) -> None:
        """Start the sound server; when it returns, microphone and loudspeaker are there."""
        self._server = subprocess.Popen(
            [
                "pulseaudio",
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                f"--log-target=file:{self.folder / 'pulse.log'}",
                "--load=module-native-protocol-unix",
                f"--load=module-null-sink sink_name=room rate={RATE_HZ} channels=2",
            ],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in (("set-default-sink", "room"), ("set-default-source", "room.monitor")):
            self._control(command)

    def switch_off(self) -> None:
        """Kill the sound server, as if everything were unplugged."""
        self._server.send_signal(signal.SIGKILL)
        self._server.wait()
        shutil.rmtree(self.folder / "pulse", ignore_errors=True)

    def mute(self) -> None:
        """Mute the microphone, as a person does in the settings of the system."""
        self._control(("set-source-mute", "room.monitor", "1"))

    def play(self, file: Path) -> subprocess.Popen[bytes]:
        """Play a sound file into the room, in real time; the process ends with the sound."""
        return subprocess.Popen(["paplay", str(file)], env=self.environment)

    def _control(self, command: Sequence[str]) -> None:
        for _ in range(100):  # the server takes a moment to listen
            done = subprocess.run(
                ["pactl", *command], env=self.environment, capture_output=True, timeout=10, check=False
            )
            if done.returncode == 0:
                return
            if self._server.poll() is not None:
                break
        raise RuntimeError(f"pulseaudio does not answer: {(self.folder / 'pulse.log').read_text()[-500:]}")
