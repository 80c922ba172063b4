"""The microphone with a PortAudio that does what it is told."""

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from erc_live.live.capture import microphone as microphone_module
from erc_live.live.capture.microphone import PREROLL_BLOCKS, RING_BLOCKS, Microphone
from erc_live.live.capture.source_spec import parse_mic
from erc_live.live.config import CaptureSection
from erc_live.live.errors import DeviceError
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import CHUNK_SAMPLES, AudioChunk, Gap

RATE_HZ = 48_000
BLOCK = 1536  # 32 ms
BLOCK_NS = 32_000_000


class PortAudioError(Exception):
    pass


class FakeStream:
    """The driver's side: `deliver` is what its thread does. Its clock has an origin of its own."""

    latency = 0.1
    time = 500.0

    def __init__(self, owner: "FakePortAudio", channels: int, callback: Callable[..., None], **options: Any) -> None:
        if owner.refuses is not None:
            raise owner.refuses
        self.owner, self.channels, self.callback, self.options = owner, channels, callback, options
        self.closed = False
        owner.streams.append(self)

    def start(self) -> None:
        if not self.owner.mute:
            self.deliver()

    def deliver(self, value: float = 0.25, overflow: bool = False, age_s: float = 0.04) -> None:
        channels = value * np.sin(np.arange(BLOCK) * np.pi / 24)[:, None] / np.arange(1, self.channels + 1)
        samples = channels.astype(np.float32)  # 1 kHz, in each channel less of it
        times = SimpleNamespace(inputBufferAdcTime=self.time - age_s)
        self.callback(samples, BLOCK, times, SimpleNamespace(input_overflow=overflow))
        samples[:] = np.nan  # the driver uses its buffer again

    def close(self, ignore_errors: bool = False) -> None:
        self.closed = True


class FakePortAudio:
    """Stands in for the module `sounddevice`; lists its devices only when it is initialised, as PortAudio does."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        self.plugged = ["HDA Analog", "USB Mic", "Loopback USB"]
        self.streams: list[FakeStream] = []
        self.refuses: Exception | None = None
        self.mute = False
        self.clock = ManualClock(1_000_000_000_000)
        self._initialize()

    def _initialize(self) -> None:
        self.listed = list(self.plugged)

    def _terminate(self) -> None:
        self.listed = []

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "ALSA"}]

    def query_devices(self, kind: str | None = None) -> Any:
        devices = [
            {"index": i, "name": name, "hostapi": 0, "max_input_channels": 8, "default_samplerate": float(RATE_HZ)}
            for i, name in enumerate(self.listed)
        ]
        if kind is None:
            return [*devices, {"index": 9, "name": "Speaker", "hostapi": 0, "max_input_channels": 0}]
        if not devices:
            raise PortAudioError("Error querying device -1")
        return devices[min(1, len(devices) - 1)]

    def InputStream(self, **options: Any) -> FakeStream:
        return FakeStream(self, **options)


@pytest.fixture
def portaudio(monkeypatch: pytest.MonkeyPatch) -> FakePortAudio:
    fake = FakePortAudio()
    monkeypatch.setattr(microphone_module, "SessionClock", lambda: fake.clock)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)  # type: ignore[arg-type]
    return fake


class Session:
    """A started microphone and the hands of the clock."""

    def __init__(self, portaudio: FakePortAudio, target: str = "default") -> None:
        self.portaudio = portaudio
        self.source = Microphone(parse_mic(target, 0), CaptureSection())
        self.clock = portaudio.clock
        self.clock.t_ns += BLOCK_NS  # one block came when it was opened
        self.start_ns = self.clock.t_ns - 40_000_000  # of the first sample of the first block to come
        self.source.start(self.clock, self.start_ns)

    def hear(self, blocks: int = 1, **what: Any) -> list[AudioChunk | Gap]:
        out: list[AudioChunk | Gap] = []
        for _ in range(blocks):
            self.portaudio.streams[-1].deliver(**what)
            self.clock.t_ns += BLOCK_NS
            out += self.source.read(0)
        return out

    def wait(self, seconds: float) -> list[AudioChunk | Gap]:
        """Nothing comes, and the reader reads on every 10 ms."""
        out: list[AudioChunk | Gap] = []
        for _ in range(round(seconds * 100)):
            self.clock.t_ns += 10_000_000
            out += self.source.read(0)
        return out


def gaps(messages: list[AudioChunk | Gap]) -> list[Gap]:
    return [message for message in messages if isinstance(message, Gap)]


def test_sound_is_averaged_resampled_and_stamped_from_the_drivers_time(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    chunks = session.hear(blocks=20)
    assert not gaps(chunks)
    assert chunks[0].t_ns == session.start_ns
    for i, chunk in enumerate(chunks):
        assert chunk.t_ns == chunks[0].t_ns + i * BLOCK_NS
        assert len(chunk.pcm) == CHUNK_SAMPLES
    assert abs(int(chunks[-1].pcm[100]) - round(0.75 * 8192)) <= 2, "the mean of a whole and a half"
    assert session.source.level_db == pytest.approx(-12.04 - 2.5 - 3.01, abs=0.01)
    assert portaudio.streams[0].options["device"] == 1
    assert portaudio.streams[0].channels == 2, "not the eight that it claims"
    assert (session.source.rate_hz, session.source.dropped, session.source.note) == (RATE_HZ, 0, "")


@pytest.mark.parametrize(("channel", "opened"), [(1, 2), (2, 2), (5, 5)])
def test_one_channel_of_several(portaudio: FakePortAudio, channel: int, opened: int) -> None:
    session = Session(portaudio, f"USB Mic@{channel}=Ben")
    (*_, chunk) = session.hear(blocks=20)
    assert isinstance(chunk, AudioChunk)
    assert abs(int(chunk.pcm.max()) - 8192 / channel) <= 2
    assert portaudio.streams[0].channels == opened


def test_a_channel_that_the_device_does_not_have(portaudio: FakePortAudio) -> None:
    with pytest.raises(DeviceError, match="'USB Mic': no channel 9, it has 8"):
        Microphone(parse_mic("1@9", 0), CaptureSection())


def test_a_crystal_that_is_off_is_told_when_it_is_known_and_makes_no_gap(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    out = session.hear(blocks=10)
    for _ in range(7000):  # nearly four minutes
        session.clock.t_ns += round(BLOCK_NS * 85e-6)  # a block lasts longer than it should
        out += session.hear()
    assert session.source.note == "clock -85 ppm"
    assert not gaps(out)
    assert abs(out[-1].t_end_ns - (session.clock.t_ns - 40_000_000)) < 2 * BLOCK_NS


def test_nothing_comes_and_read_returns_in_time(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    session.source.read(0)
    begin = time.monotonic()
    assert session.source.read(0.01) == []
    assert time.monotonic() - begin < 1.0


def test_overflow_reported_by_the_driver_is_a_gap_of_its_length(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    out = session.hear(blocks=10)
    session.clock.t_ns += 3 * BLOCK_NS  # three blocks fell on the floor
    out += session.hear(overflow=True)
    (gap,) = gaps([*out, *session.hear(blocks=5)])
    assert gap.cause == "device"
    assert abs((gap.t_end_ns - gap.t_start_ns) - 3 * BLOCK_NS) < BLOCK_NS
    assert session.source.dropped == gap.lost == 3


def test_a_reader_that_sleeps_too_long_loses_the_newest_and_is_told(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    for _ in range(RING_BLOCKS + 100):
        portaudio.streams[0].deliver()
        session.clock.t_ns += BLOCK_NS
    out = session.source.read(0)
    assert len(out) >= RING_BLOCKS - 2
    (gap,) = gaps(session.hear(blocks=10))
    assert abs((gap.t_end_ns - gap.t_start_ns) / BLOCK_NS - 101) <= 2


def test_waiting_for_the_session_costs_a_second_of_memory_and_no_gap(portaudio: FakePortAudio) -> None:
    source = Microphone(parse_mic("default", 0), CaptureSection())
    for _ in range(10 * PREROLL_BLOCKS):
        portaudio.clock.t_ns += BLOCK_NS
        portaudio.streams[0].deliver()
    source.start(portaudio.clock, portaudio.clock.t_ns)
    assert source.read(0) == [], "all of it was before the start"
    assert source.dropped == 0


def test_unplugged_for_ten_seconds(portaudio: FakePortAudio) -> None:
    """Gap within a second, opened again by name within two, under another number, and not the device that is there."""
    session = Session(portaudio, "USB Mic")
    before = session.hear(blocks=20)
    portaudio.plugged.remove("USB Mic")
    silence = session.wait(1.0)
    (first,) = gaps(silence)
    assert first.t_start_ns == [m for m in [*before, *silence] if isinstance(m, AudioChunk)][-1].t_end_ns
    assert first.t_end_ns <= session.clock.t_ns
    assert "USB Mic" in session.source.note
    assert session.source.level_db is None
    assert portaudio.streams[0].closed
    portaudio.mute = True
    assert session.wait(9.0) == [], "one gap is enough"
    assert len(portaudio.streams) == 1
    assert "plug it in" in session.source.note

    portaudio.plugged = ["USB Mic 2", "Dock", "USB Mic"]
    session.wait(2.0)
    assert len(portaudio.streams) == 2
    assert portaudio.streams[1].options["device"] == 2
    session.wait(1.5)
    assert len(portaudio.streams) == 2, "a stream that was just opened has time to begin"
    second, *after = session.hear(blocks=10)
    assert isinstance(second, Gap)
    assert second.t_start_ns == first.t_end_ns
    assert after[0].t_ns == second.t_end_ns
    assert session.source.note == ""


def test_a_device_that_opens_again_but_stays_silent_is_tried_again(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    portaudio.mute = True
    session.wait(20.0)
    assert len(portaudio.streams) > 2
    assert all(stream.closed for stream in portaudio.streams[:-1])


def test_zeros_are_worth_a_note(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    session.hear(blocks=90, value=0.0)
    assert session.source.note == ""
    session.hear(blocks=10, value=0.0)
    assert "all zero" in session.source.note
    session.hear(blocks=2)
    assert session.source.note == ""


def test_closing_twice_and_a_late_callback(portaudio: FakePortAudio) -> None:
    session = Session(portaudio)
    session.source.close()
    session.source.close()
    portaudio.streams[0].deliver()
    assert portaudio.streams[0].closed


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("usb mic", "no-error"),
        ("1", "no-error"),
        ("USB Mik", "'USB Mic'"),
        ("7", "no microphone '7'; there is 0 'HDA Analog', 1 'USB Mic', 2 'Loopback USB'"),
    ],
)
def test_a_device_by_name_or_number(portaudio: FakePortAudio, target: str, expected: str) -> None:
    if expected == "no-error":
        assert Microphone(parse_mic(target, 0), CaptureSection()).rate_hz == RATE_HZ
        assert portaudio.streams[0].options["device"] == 1
        return
    with pytest.raises(DeviceError) as error:
        Microphone(parse_mic(target, 0), CaptureSection())
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (PortAudioError("Error opening InputStream: Device unavailable [PaErrorCode -9985]", -9985), "busy"),
        (PortAudioError("Error opening InputStream: Invalid sample rate", -9997), "Invalid sample rate"),
    ],
)
def test_a_device_that_does_not_open(portaudio: FakePortAudio, refusal: Exception, expected: str) -> None:
    portaudio.refuses = refusal
    with pytest.raises(DeviceError, match=expected) as error:
        Microphone(parse_mic("default", 0), CaptureSection())
    assert "\n" not in str(error.value)


def test_a_device_that_one_program_may_open_has_its_channels_through_a_sound_server(portaudio: FakePortAudio) -> None:
    portaudio.refuses = PortAudioError("Error opening InputStream: Device unavailable", -9985)
    with pytest.raises(DeviceError, match=r"busy: .* sound server"):
        Microphone(parse_mic("1@2=Ben", 0), CaptureSection())


def test_a_device_that_opens_and_delivers_nothing(portaudio: FakePortAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone_module, "START_S", 0.0)
    portaudio.mute = True
    with pytest.raises(DeviceError, match="delivers nothing"):
        Microphone(parse_mic("default", 0), CaptureSection())
    assert portaudio.streams[0].closed


def test_no_microphone_at_all(portaudio: FakePortAudio) -> None:
    portaudio.listed = []
    with pytest.raises(DeviceError, match="no microphone found"):
        Microphone(parse_mic("default", 0), CaptureSection())
