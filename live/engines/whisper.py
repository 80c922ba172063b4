"""The faster-whisper recogniser, made safe for an unattended session.

Three rules. It never opens the network: a model is a folder that is complete on this disk, or an error that says what
to fetch. It never trusts the graphics driver: a wrong cuDNN aborts the process, so CUDA is first tried in a process
that may die. It decodes greedily at temperature 0 and without its own past, so the same samples give the same words.
"""

import logging
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from erc_live.live import config
from erc_live.live.errors import EngineError
from erc_live.models.errors import WeightsError
from erc_live.models.weights import locate
from erc_live.streams.messages import SAMPLE_RATE_HZ

_log = logging.getLogger(__name__)

_NEEDED = (
    "config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
)  # without tokenizer.json it asks the hub for one
_PROBE_LIMIT_S = 120.0
_PROBE = "import sys; from erc_live.live.engines.whisper import try_cuda; try_cuda(*sys.argv[1:])"
_FULL_SCALE = 32768.0  # int16 -> [-1, 1)
_TOKENS_PER_S = 20  # more than any language is spoken at; bounds the time that a decoder stuck in a loop can take
_MAX_TOKENS = 224  # half of Whisper's text context, its own limit for one window


class Segment(Protocol):
    """What faster-whisper says about a stretch of text."""

    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    tokens: list[int]


@dataclass(frozen=True)
class Gates:
    """When decoded text is believed: on noise Whisper invents fluent sentences.

    0.6, -1.0 and 2.4 are the thresholds of Whisper's authors (arXiv 2212.04356, section 4.5), who decode again at a
    higher temperature where the last two fail; decoding here is deterministic, so the text is dropped. Their silence
    rule needs a log-probability under -1.0, which alone drops the text here; ours asks for -0.5, because an invented
    "Thank you." is fluent.
    """

    no_speech_prob: float = 0.6  # above, it is silence, unless the words are surer than `sure_logprob`
    sure_logprob: float = -0.5
    avg_logprob: float = -1.0
    compression_ratio: float = 2.4  # of the text under zlib: above, it repeats itself

    def accept(self, segment: Segment) -> bool:
        """Whether the text of a segment is believed."""
        silent = segment.no_speech_prob > self.no_speech_prob and segment.avg_logprob < self.sure_logprob
        loops = segment.compression_ratio > self.compression_ratio
        return not silent and not loops and segment.avg_logprob >= self.avg_logprob


class Whisper:
    """Samples of one utterance in, words and confidence out. Raises EngineError when the model cannot run here."""

    def __init__(self, choice: config.Transcriber, model: Path, gates: Gates | None = None) -> None:
        self._gates = gates or Gates()
        self._language = choice.language
        device = _device(choice, model)
        compute_type = choice.compute_type
        if compute_type == "auto":
            compute_type = "int8" if device == "cpu" else "auto"
        self._model = _load(model, device, compute_type, choice.threads)
        if self._language not in self._model.supported_languages:
            heard = self._model.supported_languages
            remedy = (
                "choose a multilingual `transcriber.model`, such as base" if heard == ["en"] else "use a code like en"
            )
            raise EngineError(f"{choice.model} does not know the language {self._language!r}: {remedy}")
        self.name = f"faster-whisper {Path(choice.model).name} {self._model.model.compute_type} {device}"

    def recognise(self, pcm: np.ndarray) -> tuple[str, float | None]:
        """Text and the mean probability of its tokens; ("", None) when nothing credible was said.

        Shapes: pcm (n,) int16 at 16 kHz.
        """
        segments, _ = self._model.transcribe(
            pcm.astype(np.float32) / _FULL_SCALE,
            language=self._language,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            no_speech_threshold=None,  # the gates decide, and see all three numbers
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            max_new_tokens=min(_MAX_TOKENS, 16 + math.ceil(_TOKENS_PER_S * len(pcm) / SAMPLE_RATE_HZ)),
        )
        believed = [segment for segment in segments if self._gates.accept(segment) and segment.text.strip()]
        return " ".join(segment.text.strip() for segment in believed), _confidence(believed)

    def warm_up(self) -> None:
        """Make the first call, which allocates. On quiet noise: in pure silence a decoder may run to its limit."""
        noise = np.random.default_rng(0).normal(0.0, 10.0, SAMPLE_RATE_HZ)
        self.recognise(noise.astype(np.int16))


def find_model(name: str, models_folder: Path) -> Path | None:
    """The folder of a model: one that was fetched, a folder that was named, or a copy in the hub's own cache.

    None when there is none on this disk. Raises EngineError when a named folder is not a complete model.
    """
    try:
        fetched = locate(name, models_folder)
    except WeightsError:  # not in our table: a folder, or a name that only the hub's cache can know
        fetched = None
    if fetched is not None:
        return fetched
    if Path(name).is_dir():
        return _complete(Path(name))
    return _cached(name)


def try_cuda(model: str, compute_type: str) -> None:
    """The body of that process: it dies, one way or another, where CUDA is broken."""
    try:
        whisper = _load(Path(model), "cuda", compute_type, threads=1)
    except EngineError as error:
        sys.exit(str(error))
    sound = np.zeros(SAMPLE_RATE_HZ, np.float32)
    list(whisper.transcribe(sound, language="en", beam_size=1, temperature=0.0, max_new_tokens=8)[0])


def _confidence(segments: Sequence[Segment]) -> float | None:
    tokens = sum(len(segment.tokens) for segment in segments)
    if not tokens:
        return None
    return math.exp(sum(segment.avg_logprob * len(segment.tokens) for segment in segments) / tokens)


def _complete(folder: Path) -> Path:
    missing = [pattern for pattern in _NEEDED if not any(folder.glob(pattern))]
    if missing:
        raise EngineError(f"{folder} is not a faster-whisper model: it has no {', '.join(missing)}")
    return folder


def _cached(name: str) -> Path | None:
    from faster_whisper.utils import download_model  # heavy, and needed by nobody who uses another engine

    try:
        return _complete(Path(download_model(name, local_files_only=True)))
    except (OSError, ValueError, EngineError):  # not in the cache, not a model's name, or a download that broke off
        return None


def _device(choice: config.Transcriber, model: Path) -> str:
    """`cpu` or `cuda`, whichever was asked for and works; `auto` falls back to the CPU with a warning."""
    import ctranslate2

    if choice.device == "cpu" or (choice.device == "auto" and not ctranslate2.get_cuda_device_count()):
        return "cpu"
    failure = cuda_failure(model, choice.compute_type)
    if failure is None:
        return "cuda"
    advice = f"CUDA does not work for faster-whisper: {failure}; {_versions()}"
    if choice.device == "cuda":
        raise EngineError(f"{advice}. Set `transcriber.device` to cpu or auto, or install what is needed.")
    _log.warning("%s; using the CPU.", advice)
    return "cpu"


def cuda_failure(model: Path, compute_type: str) -> str | None:
    """Why a process of its own cannot recognise a second of sound on the GPU; None if it can."""
    command = [sys.executable, "-c", _PROBE, str(model), compute_type]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer in {_PROBE_LIMIT_S:.0f} s"
    if probe.returncode == 0:
        return None
    lines = [line for line in probe.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"its process ended with code {probe.returncode}"


def _versions() -> str:
    """What is installed and what ctranslate2 4.5 and later needs."""
    libraries = ("ctranslate2", "nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cudnn-cu13", "nvidia-cublas")
    return f"needs CUDA 12 and cuDNN 9, found {', '.join(filter(None, map(_installed, libraries)))}"


def _installed(library: str) -> str:
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return ""


def _load(model: Path, device: str, compute_type: str, threads: int) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the second lock; the first is that the folder is complete
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(
            str(_complete(model)),
            device=device,
            compute_type=compute_type,
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(f"faster-whisper cannot load {model} ({device}, {compute_type}): {error}") from error
