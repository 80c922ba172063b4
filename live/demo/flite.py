"""flite, a small speech synthesiser, as a program: a sentence in, sound out; the same flite gives the same samples.

The rule of this file: who needs a voice of flite asks here, and where it is missing the error says how to get it.
"""

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from erc_live.live.errors import EngineError
from erc_live.streams.messages import SAMPLE_RATE_HZ


def installed() -> bool:
    """Whether flite is on the PATH."""
    return shutil.which("flite") is not None


def synthesise(text: str, voice: str, pitch_hz: float, pace: float) -> np.ndarray:
    """A sentence as flite speaks it: int16 (n,) at `SAMPLE_RATE_HZ`.

    Args:
        text: English.
        voice: a name of `flite -lv`, of a voice at 16 kHz.
        pitch_hz: the mean.
        pace: durations relative to the voice's own.

    Raises:
        EngineError: flite is missing, or cannot speak this with this voice.
    """
    program = shutil.which("flite")
    if program is None:
        raise EngineError("flite is not on the PATH, and synthetic voices need it: install it, e.g. apt install flite")
    settings = (f"duration_stretch={pace:.3f}", f"int_f0_target_mean={pitch_hz:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "line.wav"
        command = [program, "-voice", voice, "-t", text, "-o", str(target)]
        for setting in settings:
            command += ["--setf", setting]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not target.is_file():
            raise EngineError(f"flite cannot say {text!r} with voice {voice}: {done.stderr.strip()}")
        with wave.open(str(target)) as sound:
            rate_hz, samples = sound.getframerate(), np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
    if rate_hz != SAMPLE_RATE_HZ:
        raise EngineError(f"flite voice {voice} has {rate_hz} Hz, not {SAMPLE_RATE_HZ}")
    return samples
