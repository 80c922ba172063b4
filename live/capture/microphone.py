"""A microphone, through PortAudio: the driver's blocks -> bounded ring -> stamped chunks.

The rule of this file: the driver's thread copies a block and its time, nothing else; all work is done in `read`. Once
open, a microphone never raises: what goes wrong becomes a `Gap` and a note, and the device is opened again by its name.
"""

import threading
from collections import deque
from typing import Any

import numpy as np

from erc_live.live.capture.drivers import MicrophoneInfo, find_microphone, list_microphones, load_portaudio
from erc_live.live.capture.sample_clock import Block, Chunker, block_time_ns
from erc_live.live.capture.sound_check import TURNED_OVER, SoundCheck
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.capture.watchdog import START_S, Watchdog
from erc_live.live.config import CaptureSection
from erc_live.live.errors import DeviceError
from erc_live.streams.clock import Clock, SessionClock
from erc_live.streams.messages import CHUNK_S, AudioChunk, Gap

MAX_CHANNELS = 2  # averaged; sound servers claim 32, and the rest of an interface's inputs is seldom a voice
RING_BLOCKS = round(30 / CHUNK_S)  # what waits for a reader that is busy
PREROLL_BLOCKS = round(1 / CHUNK_S)  # what waits for the start of the session
NOTABLE_PPM = 20.0  # of drift, which is mended; an ordinary crystal has less
_BUSY = -9985  # PortAudio's paDeviceUnavailable


class Microphone:
    """A source of `AudioChunk` and `Gap` (`source.Source`).

    Raises DeviceError when it does not open or delivers nothing.
    """

    finished = False
    end_ns = None

    def __init__(self, spec: SourceSpec, config: CaptureSection) -> None:
        self._spec = spec
        self._clock: Clock = SessionClock()
        self._watchdog = Watchdog(config.silent_device_s)
        self._ring: deque[Block] = deque()
        self._arrived = threading.Event()
        self._started = False
        self._ring_overflowed = False
        self._trouble = ""  # of the device
        self._chunker: Chunker | None = None
        self._portaudio = load_portaudio()
        self._device = find_microphone(list_microphones(self._portaudio), spec.target)
        self._sound = SoundCheck("device", self._device.rate_hz)
        self._stream: Any = None
        self._open()
        if not self._arrived.wait(START_S):
            self.close()
            raise DeviceError(
                f"microphone '{self._device.name}' opens, but delivers nothing: unplug it and plug it in again, "
                "or choose another; `erc-live devices` lists them"
            )

    @property
    def rate_hz(self) -> float:
        """The device's own rate; what leaves here has another."""
        return self._device.rate_hz

    @property
    def level_db(self) -> float | None:
        return None if self._trouble else self._sound.level_db

    @property
    def note(self) -> str:
        if self._trouble:
            return self._trouble
        ppm = self._chunker.ppm if self._chunker else None
        clock = f"clock {5 * round(ppm / 5):+} ppm" if ppm is not None and abs(ppm) > NOTABLE_PPM else ""
        turned = TURNED_OVER if self._chunker and self._chunker.turned_over else ""
        return "; ".join(note for note in (self._sound.note, turned, clock) if note)

    @property
    def dropped(self) -> int:
        return self._chunker.dropped if self._chunker else 0

    def start(self, clock: Clock, start_ns: int) -> None:
        """Chunks begin at `start_ns` of `clock`."""
        self._clock = clock
        self._chunker = Chunker(self._spec.name, round(self.rate_hz), self._used_channels, start_ns)
        self._watchdog.alive(clock.now_ns())
        self._started = True

    def read(self, timeout_s: float) -> list[AudioChunk | Gap]:
        """What came since the last call. To open a lost device again takes as long as its driver takes."""
        assert self._chunker is not None, "read before start"
        out: list[AudioChunk | Gap] = []
        arrived = self._arrived.wait(timeout_s)
        self._arrived.clear()  # before the ring is emptied: a block that comes meanwhile wakes the next call
        while self._ring:
            out += self._chunker.feed(self._ring.popleft())
        out = [self._checked(message) for message in out]
        now_ns = self._clock.now_ns()
        if arrived:
            self._watchdog.alive(now_ns)
        elif self._watchdog.dead(now_ns):
            out += [self._checked(message) for message in self._chunker.lose(now_ns)]
            self._lost(now_ns, f"microphone '{self._device.name}' delivers nothing: trying again")
        elif self._watchdog.due(now_ns):
            self._reopen(now_ns)
        return out

    def close(self) -> None:
        """Let go of the device. May be called twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)

    @property
    def _used_channels(self) -> int:
        return 1 if self._spec.channel else self._opened_channels

    @property
    def _opened_channels(self) -> int:
        return min(self._device.channels, max(MAX_CHANNELS, self._spec.channel or 0))

    def _open(self) -> None:
        portaudio, device = self._portaudio, self._device
        if (self._spec.channel or 0) > device.channels:
            raise DeviceError(f"microphone '{device.name}': no channel {self._spec.channel}, it has {device.channels}")
        try:
            self._stream = portaudio.InputStream(
                device=device.index,
                samplerate=device.rate_hz,
                blocksize=round(device.rate_hz * CHUNK_S),
                channels=self._opened_channels,
                dtype="float32",
                callback=self._take,
            )
            self._stream.start()
        except (portaudio.PortAudioError, ValueError) as error:
            self.close()
            raise DeviceError(_why(device, error, self._spec.channel)) from error

    def _take(self, samples: np.ndarray, frames: int, times: Any, status: Any) -> None:
        """In the driver's thread: copy and return."""
        stream = self._stream
        if stream is None:  # closing
            return
        broken, self._ring_overflowed = bool(status.input_overflow) or self._ring_overflowed, False
        if len(self._ring) >= (RING_BLOCKS if self._started else PREROLL_BLOCKS):
            if self._started:
                self._ring_overflowed = True
                return
            self._ring.popleft()
        age_s = stream.time - times.inputBufferAdcTime
        t_ns = block_time_ns(self._clock.now_ns(), age_s, frames / self.rate_hz, stream.latency)
        if channel := self._spec.channel:
            samples = samples[:, channel - 1 : channel]
        self._ring.append(Block(samples.copy(), t_ns, broken))
        self._arrived.set()

    def _lost(self, now_ns: int, trouble: str) -> None:
        self.close()
        self._trouble = trouble
        self._watchdog.lost(now_ns)

    def _reopen(self, now_ns: int) -> None:
        """By name: numbers change when devices come and go, and "default" would be another device than before."""
        assert self._chunker is not None
        portaudio, name = self._portaudio, self._device.name
        try:
            # PortAudio lists the devices once, when it is initialised.
            portaudio._terminate()
            portaudio._initialize()
            self._device = find_microphone([m for m in list_microphones(portaudio) if m.name == name], name)
            self._ring.clear()
            self._open()
        except (DeviceError, portaudio.PortAudioError):
            self._lost(now_ns, f"microphone '{name}' is gone: plug it in again; trying every few seconds")
            return
        self._chunker.restart(round(self.rate_hz), self._used_channels)
        self._watchdog.opened(now_ns)

    def _checked(self, message: AudioChunk | Gap) -> AudioChunk | Gap:
        if isinstance(message, Gap):
            return message
        self._trouble = ""
        return self._sound.take(message)


def _why(device: MicrophoneInfo, error: Exception, channel: int | None) -> str:
    code = error.args[1] if len(error.args) > 1 else None
    if code == _BUSY or "busy" in str(error).lower():
        shared = " (to open it once for each channel takes a sound server, as 'default' mostly is)" if channel else ""
        return f"microphone '{device.name}' is busy: close the program that uses it, or choose another{shared}"
    return f"microphone '{device.name}' does not open ({error}); `erc-live devices` lists what does"
