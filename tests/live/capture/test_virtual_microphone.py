"""The real thing: what is played into a room is what the microphone source hears, through PortAudio and a sound server.

Run with `pytest -m device`. The microphone runs in a process of its own, as it does in a session.
"""

import json
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from virtual_room import VirtualRoom

pytestmark = [pytest.mark.device, pytest.mark.timeout(90)]

RATE_HZ = 16_000
LEAD_S = 2.5  # a null sink renders up to 2 s at once, and what is rendered is heard, also what was before the listener
SILENT_DEVICE_S = 1.0  # the default of capture.silent_device_s

LISTENER = """
import json, sys
import numpy as np
from erc_live.live.capture.source import open_source
from erc_live.live.config import CaptureSection
from erc_live.live.capture.source_spec import parse_mic
from erc_live.streams.clock import SessionClock
from erc_live.streams.messages import AudioChunk

folder, seconds, target = sys.argv[1], float(sys.argv[2]), sys.argv[3]
source = open_source(parse_mic(target, 0), CaptureSection())
clock = SessionClock()
start_ns = clock.now_ns()
source.start(clock, start_ns)
print("listening", flush=True)
chunks, gaps, lags_ns, notes = [], [], [], []
while clock.now_ns() < start_ns + seconds * 1e9:
    for message in source.read(0.02):
        now_ns = clock.now_ns()
        if isinstance(message, AudioChunk):
            chunks.append(message)
            lags_ns.append(now_ns - message.t_end_ns)
        else:
            gaps.append([message.t_start_ns, message.t_end_ns, now_ns])
            print("gap", flush=True)
    if source.note not in notes:
        notes.append(source.note)
np.save(folder + "/pcm.npy", np.concatenate([chunk.pcm for chunk in chunks]))
report = dict(start_ns=start_ns, t_ns=[chunk.t_ns for chunk in chunks], gaps=gaps, lags_ns=lags_ns, notes=notes)
report |= dict(dropped=source.dropped, rate_hz=source.rate_hz)
open(folder + "/report.json", "w").write(json.dumps(report))
source.close()
"""


class Listener:
    """A process that listens for some seconds."""

    def __init__(self, room: VirtualRoom, folder: Path, seconds: float, target: str = "default") -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", LISTENER, str(folder), str(seconds), target],
            env=room.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == word

    def result(self) -> tuple[np.ndarray, dict[str, Any]]:
        with self.process:
            assert self.process.wait(60) == 0
        return np.load(self.folder / "pcm.npy"), json.loads((self.folder / "report.json").read_text())


def noise(seconds: float) -> np.ndarray:
    """Noise below 1.5 kHz: no two moments are alike, and half a sample of delay changes little. Shapes: (n,) int16."""
    spectrum = np.fft.rfft(np.random.default_rng(7).standard_normal(int(seconds * RATE_HZ)))
    spectrum[int(1500 * seconds) :] = 0
    wave_form = np.fft.irfft(spectrum)
    return (12_000 * wave_form / np.abs(wave_form).max()).astype(np.int16)


def write_wav(path: Path, pcm: np.ndarray) -> None:
    """The sound, (n,) or (n, channels), after `LEAD_S` of silence."""
    channels = 1 if pcm.ndim == 1 else pcm.shape[1]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.zeros(int(LEAD_S * RATE_HZ) * channels, np.int16).tobytes() + pcm.tobytes())


def lag_of(heard: np.ndarray, played: np.ndarray) -> tuple[int, float]:
    """Where `played` begins in `heard`, and how well they agree there (correlation)."""
    size = 1 << (len(heard) + len(played)).bit_length()
    spectrum = np.fft.rfft(heard.astype(float), size) * np.conj(np.fft.rfft(played.astype(float), size))
    lag = int(np.argmax(np.fft.irfft(spectrum, size)[: len(heard) - len(played) + 1]))
    return lag, float(np.corrcoef(heard[lag : lag + len(played)], played)[0, 1])


def test_what_is_played_is_heard_whole_and_in_time(virtual_room: VirtualRoom, tmp_path: Path) -> None:
    played = noise(4.0)
    write_wav(tmp_path / "noise.wav", played)
    listener = Listener(virtual_room, tmp_path, seconds=10.0)
    listener.wait_for("listening")
    begin_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
    assert virtual_room.play(tmp_path / "noise.wav").wait(30) == 0
    heard, report = listener.result()

    lag, correlation = lag_of(heard, played)
    assert correlation > 0.95
    piece = RATE_HZ // 2
    for offset in range(0, len(played) - piece, piece):
        piece_lag, _ = lag_of(heard, played[offset : offset + piece])
        assert abs(piece_lag - offset - lag) <= 1, "no sample is lost, doubled or moved"

    times = np.array(report["t_ns"])
    assert report["gaps"] == []
    assert report["dropped"] == 0
    assert set(np.diff(times)) == {32_000_000}
    assert 0 <= times[0] - report["start_ns"] <= 62_500, "from the first sample of the session on"
    assert abs(times[0] + lag * 62_500 - begin_ns) < LEAD_S * 1e9, "the stamp is the time when it was played"
    assert np.percentile(report["lags_ns"], 95) < 0.3e9


def test_each_person_on_a_channel_of_one_device(virtual_room: VirtualRoom, tmp_path: Path) -> None:
    played = noise(3.0)
    left, right = played, np.roll(played, RATE_HZ)
    write_wav(tmp_path / "noise.wav", np.stack([left, right], axis=1))
    listeners = []
    for channel in (1, 2):
        (tmp_path / f"{channel}").mkdir()
        listeners.append(Listener(virtual_room, tmp_path / f"{channel}", seconds=9.0, target=f"default@{channel}"))
    for listener in listeners:
        listener.wait_for("listening")
    assert virtual_room.play(tmp_path / "noise.wav").wait(30) == 0
    for listener, own, other in zip(listeners, (left, right), (right, left), strict=True):
        heard, report = listener.result()
        lag, correlation = lag_of(heard, own)
        assert correlation > 0.95
        assert abs(np.corrcoef(heard[lag : lag + len(other)], other)[0, 1]) < 0.1, "nothing of the other one"
        assert report["gaps"] == []


def test_a_microphone_that_is_muted_in_the_system_says_so(virtual_room: VirtualRoom, tmp_path: Path) -> None:
    virtual_room.mute()
    listener = Listener(virtual_room, tmp_path, seconds=6.0)
    listener.wait_for("listening")
    _, report = listener.result()
    assert any("muted" in note for note in report["notes"])
    assert report["gaps"] == []


def test_the_sound_server_dies_and_comes_back(virtual_room: VirtualRoom, tmp_path: Path) -> None:
    played = noise(2.0)
    write_wav(tmp_path / "noise.wav", played)
    listener = Listener(virtual_room, tmp_path, seconds=18.0)
    listener.wait_for("listening")
    time.sleep(1.5)
    virtual_room.switch_off()
    off_ns = time.monotonic_ns()
    listener.wait_for("gap")
    virtual_room.switch_on()
    on_ns = time.monotonic_ns()
    listener.wait_for("gap")  # from there to the first sound
    back_ns = time.monotonic_ns()
    assert virtual_room.play(tmp_path / "noise.wav").wait(30) == 0
    heard, report = listener.result()

    assert back_ns - on_ns < 6e9  # the next try within 2 s; the server then takes up to 2 s to deliver
    (gap_start_ns, gap_end_ns, told_ns), (next_start_ns, sound_ns, _) = report["gaps"][:2]
    assert gap_end_ns - off_ns < (SILENT_DEVICE_S + 0.5) * 1e9
    assert told_ns - gap_end_ns < 0.5e9
    assert next_start_ns == gap_end_ns
    assert gap_start_ns < off_ns < sound_ns
    assert any("plug it in" in note or "trying again" in note for note in report["notes"])
    times = np.array(report["t_ns"])
    assert (np.diff(times) > 0).all()
    assert not ((times >= gap_start_ns) & (times < sound_ns)).any()
    assert lag_of(heard, played)[1] > 0.95
