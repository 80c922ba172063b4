"""espeak-ng, a speech synthesiser of many voices, as a program: a sentence in, sound out; it draws nothing, so the same
espeak-ng gives the same samples.

The rule of this file: as `flite.py` does, it says how to get the program where it is missing.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from erc_live.live.errors import EngineError
from erc_live.streams.errors import MediaError
from erc_live.streams.media import audio_chunks

WORDS_PER_MINUTE = 175  # its own pace
PITCH = 50  # its own, on its scale from 0 to 99


def synthesise(text: str, voice: str, pitch: int = PITCH, pace: float = 1.0) -> np.ndarray:
    """A sentence as espeak-ng speaks it: int16 (n,) at `SAMPLE_RATE_HZ`.

    Args:
        text: English.
        voice: a name of `espeak-ng --voices=en`, and a variant behind a plus sign: en-us+f2.
        pitch: 0 to 99, on its own scale.
        pace: durations relative to its own.

    Raises:
        EngineError: espeak-ng is missing, or cannot speak this with this voice.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise EngineError(
            "espeak-ng is not on the PATH, and synthetic voices need it: install it, e.g. apt install espeak-ng"
        )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "line.wav"
        speed = round(WORDS_PER_MINUTE / pace)
        command = [program, "-v", voice, "-s", f"{speed}", "-p", f"{pitch}", "-w", str(target), "--stdin"]
        done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
        try:
            parts = [chunk.pcm for chunk in audio_chunks(target, voice, 0)]
        except MediaError as error:
            problem = done.stderr.strip() or str(error)
            raise EngineError(f"espeak-ng cannot say {text!r} with voice {voice}: {problem}") from error
    return np.concatenate(parts)
