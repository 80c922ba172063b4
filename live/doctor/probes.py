"""What is tried in a process of its own, because a wrong driver or library aborts the process that loads it.

The rule of this file: an outcome is one line of JSON on standard output, and every other end of the process is a
finding, too. `attempt` asks; the other functions are what the process runs.
"""

import importlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from erc_live.live import config
from erc_live.live.errors import EngineError

_LIMIT_S = 120.0
_ENOUGH_S = 15.0  # of recognition: a large model on a slow processor need not recognise the whole demo
_CALL = "import sys; from erc_live.live.doctor import probes; getattr(probes, sys.argv[1])(*sys.argv[2:])"


@dataclass(frozen=True)
class ProbeResult:
    """What a process said, or in `failure` why it said nothing."""

    values: dict[str, object] = field(default_factory=dict)
    failure: str = ""


@cache
def attempt(function: str, *arguments: str) -> ProbeResult:
    """Run a function of this file in a process of its own, which may die; the same question is asked once."""
    command = [sys.executable, "-c", _CALL, function, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return ProbeResult(failure=f"no answer in {_LIMIT_S:.0f} s")
    lines = [
        line.strip() for line in (done.stdout if done.returncode == 0 else done.stderr).splitlines() if line.strip()
    ]
    if done.returncode:
        ended = f"its process ended with code {done.returncode}"
        return ProbeResult(failure=f"{ended}: {lines[-1]}" if lines else ended)
    try:
        return ProbeResult(values=json.loads(lines[-1]))
    except (IndexError, ValueError):
        return ProbeResult(failure="its process gave no answer that can be read")


def libraries(*names: str) -> None:
    """Whether libraries can be loaded beside each other."""
    for name in names:
        importlib.import_module(name)
    print_json({"loaded": names})


def torch_cuda() -> None:
    """Whether torch computes on a GPU: a product of matrices (cuBLAS) and a convolution (cuDNN)."""
    import torch

    cudnn: Any = torch.backends.cudnn
    values: dict[str, object] = {"torch": torch.__version__, "available": torch.cuda.is_available()}
    if torch.cuda.is_available():
        left = torch.ones(64, 64, device="cuda")
        torch.nn.functional.conv2d((left @ left)[None, None], torch.ones(1, 1, 3, 3, device="cuda"))
        torch.cuda.synchronize()
        values |= {"device": torch.cuda.get_device_name(), "cudnn": int(cudnn.version() or 0)}
    print_json(values)


def recogniser(settings: str, models_folder: str) -> None:
    """How fast a recogniser is: seconds of work for a second of the demo's speech, utterance by utterance.

    `settings`: the table [transcriber] as JSON.
    """
    import msgspec
    import numpy as np

    from erc_live.live.asr.transcribers import open_transcriber
    from erc_live.live.asr.transcript_file import read_cues
    from erc_live.live.requests import Speech
    from erc_live.streams.media import audio_chunks
    from erc_live.streams.messages import seconds_to_samples

    demo = Path(__file__).parent.parent / "demo"
    pcm = np.concatenate([chunk.pcm for chunk in audio_chunks(demo / "ada.flac", "mic-0", 0)])
    begun_s = time.perf_counter()
    try:
        engine = open_transcriber(msgspec.json.decode(settings, type=config.TranscriberSection), Path(models_folder))
    except EngineError as error:
        sys.exit(str(error))
    load_s, work_s, sound_s = time.perf_counter() - begun_s, 0.0, 0.0
    for cue in read_cues(demo / "transcript.vtt"):
        if cue.speaker == "Ada" and work_s < _ENOUGH_S:
            cut = pcm[seconds_to_samples(cue.start_s) : seconds_to_samples(cue.end_s)]
            at_s = time.perf_counter()
            engine.transcribe(Speech(cut, "mic-0", cue.start_s, cue.end_s))
            work_s += time.perf_counter() - at_s
            sound_s += cue.end_s - cue.start_s
    print_json({"name": engine.name, "load_s": load_s, "real_time_factor": work_s / sound_s, "sound_s": sound_s})


def print_json(values: dict[str, object]) -> None:
    """The one line that `attempt` reads."""
    sys.stdout.write(json.dumps(values) + "\n")
