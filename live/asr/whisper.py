"""The faster-whisper recogniser, made safe for an unattended session.

Three rules. It never opens the network: a model is a folder that is complete on this disk, or an error that says what
to fetch. It never trusts the graphics driver: a wrong cuDNN aborts the process, so CUDA is first tried in a process
that may die. It decodes at temperature 0 and without its own past, so the same samples give the same words.
"""

import itertools
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
from erc_live.live.asr import hallucination_filter
from erc_live.live.asr.hallucination_filter import Gates
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
_PROBE = "import sys; from erc_live.live.asr.whisper import try_cuda; try_cuda(*sys.argv[1:])"
_FULL_SCALE = 32768.0  # int16 -> [-1, 1)
_TOKENS_PER_S = 20  # more than any language is spoken at; bounds the time that a decoder stuck in a loop can take
_ENGLISH_PER_S = 9  # of English, which is spoken at 3 to 6
_SPARE_TOKENS = 6  # a short answer is spoken faster
_MAX_TOKENS = 224  # half of Whisper's text context, its own limit for one window
_BEAMS = 2  # makes good what a short window costs; five do no better and take a third longer
_HOP = SAMPLE_RATE_HZ // 100  # samples of a frame: 10 ms
_WINDOW_S = 30
_WINDOW = _WINDOW_S * 100  # frames
_SILENCE = 800  # frames of silence that a short window holds after the sound: with less the decoder says things twice
_SHORTEST = 1500  # frames of the shortest window; with 800 it goes round in circles
_STEP = 100  # frames that windows differ by: each length of window keeps memory of its own in ctranslate2
_DYNAMIC = 2.0  # silence lies this far under the loudest value of log-mels: 8 decades, of 4 to the unit
_SIZES = ("tiny", "base", "small", "large-v3")
_SEVERAL_CORES = 4  # base takes 0.8 s of one core for each utterance, tiny 0.3 s
_MOST_THREADS = 4
ENGLISH = "en"
DEFAULT = Gates()


class Word(Protocol):
    """What faster-whisper says about a word; times in s from the start of the sound."""

    word: str
    start: float
    end: float
    probability: float


class Segment(hallucination_filter.Segment, Protocol):
    """A stretch of text with its words, None where they were not asked for."""

    words: list[Word] | None


@dataclass(frozen=True)
class Model:
    """A model on this disk and the device, `cpu` or `cuda`, that it is to run on. `name` is what a person calls it."""

    name: str
    folder: Path
    device: str = "cpu"


class Whisper:
    """Samples of one utterance in, text out. Raises EngineError when the model cannot run here.

    On a processor it first hears the sound in a window that is little longer than it, which costs two fifths of the
    30 s that Whisper was trained on; what no gate believes there is heard again in 30 s. Not for several threads.
    """

    def __init__(self, choice: config.Transcriber, model: Model, believed: Gates = DEFAULT) -> None:
        self._gates = believed
        compute_type = choice.compute_type
        if compute_type == "auto":
            compute_type = "int8" if model.device == "cpu" else "auto"
        self._model = _load(model.folder, model.device, compute_type, choice.threads or _threads())
        self._language = _language(choice.language, self._model.supported_languages, model.name)
        self._short_windows = choice.short_windows and model.device == "cpu"
        self._encode, self._model.encode = self._model.encode, self._encode_window
        self._sound, self._window = 0, _WINDOW  # frames of what is heard now, and of the window it stands in
        self._detected = self._language or ENGLISH
        self.name = f"faster-whisper {Path(model.name).name} {self._model.model.compute_type} {model.device}"

    def recognise(self, pcm: np.ndarray, with_words: bool = True) -> tuple[list[Segment], str]:
        """The stretches of text that are believed, and the language that was heard. Above 30 s there are no words.

        Shapes: pcm (n,) int16 at 16 kHz.
        """
        window = _window(len(pcm)) if self._short_windows else _WINDOW
        segments = self._transcribe(pcm, with_words, window)
        if window < _WINDOW and not self._credible(segments, len(pcm)):
            segments = self._transcribe(pcm, with_words, _WINDOW)
        return [segment for segment in segments if self._gates.accept(segment)], self._detected

    def warm_up(self) -> None:
        """Make the first call, which allocates. On quiet noise: in pure silence a decoder may run to its limit."""
        noise = np.random.default_rng(0).normal(0.0, 10.0, SAMPLE_RATE_HZ)
        self.recognise(noise.astype(np.int16))

    def _transcribe(self, pcm: np.ndarray, with_words: bool, window: int) -> list[Segment]:
        """All stretches with text, believed or not."""
        self._sound, self._window = len(pcm) // _HOP, window
        with_words = with_words and self._sound <= _WINDOW
        segments, _ = self._model.transcribe(
            pcm.astype(np.float32) / _FULL_SCALE,
            language=self._language or ENGLISH,
            multilingual=self._language is None,  # then by the sound, with the encoder's one pass
            beam_size=_BEAMS,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            word_timestamps=with_words,
            no_speech_threshold=None,  # the gates decide, and see all three numbers
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            max_new_tokens=self._most_tokens(len(pcm)),
        )
        if with_words:  # one window gives one stretch; asked for more, it would hear the rest after the last word again
            segments = itertools.islice(segments, 1)
        return [segment for segment in segments if segment.text.strip()]

    def _credible(self, segments: Sequence[Segment], samples: int) -> bool:
        """Whether a short window was long enough: text, all of it believed, that came to an end by itself."""
        finished = sum(len(segment.tokens) for segment in segments) < self._most_tokens(samples)
        return bool(segments) and finished and all(map(self._gates.accept, segments))

    def _most_tokens(self, samples: int) -> int:
        """Tokens that so much sound can hold."""
        per_s = _ENGLISH_PER_S if self._language == ENGLISH else _TOKENS_PER_S
        return min(_MAX_TOKENS, _SPARE_TOKENS + math.ceil(per_s * samples / SAMPLE_RATE_HZ))

    def _encode_window(self, features: np.ndarray) -> Any:
        """What the recogniser calls to encode a window. It pads sound to 30 s with zeros, which in log-mels are no
        silence but a loud hiss: here stands what Whisper was trained on, the log-mels of digital silence. Nor does it
        tell the language.

        Shapes: features (mels, 3000), zeros after the sound.
        """
        if self._sound < _WINDOW:
            features = features[:, : self._window].copy()
            features[:, self._sound :] = features[:, : self._sound].max(initial=0.0) - _DYNAMIC
        output = self._encode(features)
        if self._language is None:
            ((token, _), *_), *_ = self._model.model.detect_language(output)
            self._detected = token.strip("<|>")
        return output


def _window(samples: int) -> int:
    """Frames of the window for so many samples: the sound and enough silence, in whole steps."""
    frames = max(samples // _HOP + _SILENCE, _SHORTEST)
    return min(-(-frames // _STEP) * _STEP, _WINDOW)


def choose_model(choice: config.Transcriber, models_folder: Path) -> Model | None:
    """The model that the configuration names; for `auto` the best on this disk that this machine keeps up with.

    Where only larger ones are here, the smallest of them. None when there is none. Raises EngineError when a named
    folder is not a complete model, or `transcriber.device` is cuda and that does not work.
    """
    if choice.model != "auto":
        folder = find_model(choice.model, models_folder)
        return None if folder is None else Model(choice.model, folder, _device(choice, folder))
    found = [(name, folder) for name in _names(choice.language) if (folder := _on_disk(name, models_folder))]
    if not found:
        return None
    device = _device(choice, found[0][1])
    fitting = [model for model in found if _SIZES.index(_size(model[0])) <= _SIZES.index(_affordable(device))]
    return Model(*(fitting or found[:1])[-1], device)


def smaller_model(model: Model, language: str, models_folder: Path) -> Model | None:
    """The next smaller size on this disk that knows the same languages; None for a folder of somebody's own."""
    names = _names(language) if model.name.endswith(".en") or language == ENGLISH else _SIZES
    below = names[: names.index(model.name)] if model.name in names else ()
    for name in reversed(below):
        folder = _on_disk(name, models_folder)
        if folder and _size(name) != _size(model.name):
            return Model(name, folder, model.device)
    return None


def recommended(choice: config.Transcriber) -> str:
    """What to fetch when nothing is here: the configured model; for `auto` the one that this machine keeps up with."""
    if choice.model != "auto":
        return choice.model
    size = _affordable("cpu" if choice.device == "cpu" or not _cuda_devices() else "cuda")
    wanted = "small" if size == _SIZES[-1] else size  # larger ones are several GB
    return f"{wanted}.en" if choice.language in ("auto", ENGLISH) else wanted


def recommendations(choice: config.Transcriber) -> tuple[str, ...]:
    """What to fetch, the best first: what is recommended; for `auto` smaller ones, too, in case it cannot be had.

    Where there is no smaller size the next larger one is the last resort: `choose_model` takes it, too.
    """
    wanted, names = recommended(choice), _names(choice.language)
    if choice.model != "auto":
        return (wanted,)
    place = names.index(wanted)
    larger = names[place + 1 :][::-1] if _size(wanted) == _SIZES[0] else ()
    return (*names[place::-1], *(name for name in larger if _size(name) == _SIZES[1]))


def is_here(choice: config.Transcriber, models_folder: Path) -> bool:
    """Whether the disk has a model that `choose_model` would find. It loads nothing where one was fetched.

    Raises EngineError when a named folder is not a complete model.
    """
    if choice.model != "auto":
        return find_model(choice.model, models_folder) is not None
    names = _names(choice.language)
    return any(locate(name, models_folder) for name in names) or any(map(_cached, names))


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


def _on_disk(name: str, models_folder: Path) -> Path | None:
    return locate(name, models_folder) or _cached(name)


def _names(language: str) -> tuple[str, ...]:
    """The models that know a language, the best last: of equal size the English one, where English is enough."""
    sizes = [(size, f"{size}.en") for size in _SIZES[:-1]]
    english = (*itertools.chain(*sizes), _SIZES[-1])
    return english if language in ("auto", ENGLISH) else _SIZES


def _size(name: str) -> str:
    return name.removesuffix(".en")


def _affordable(device: str) -> str:
    if device == "cuda":
        return _SIZES[-1]
    return "base" if _cores() >= _SEVERAL_CORES else "tiny"


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> int:
    """Half of the processors: the others hear, see and draw."""
    return min(_MOST_THREADS, max(1, _cores() // 2))


def _language(wanted: str, known: Sequence[str], model: str) -> str | None:
    """The language of all speech; None: each utterance is to be asked for its own."""
    if wanted == "auto":
        return None if len(known) > 1 else known[0]
    if wanted not in known:
        remedy = "choose a multilingual `transcriber.model`, such as base" if known == ["en"] else "use a code like en"
        raise EngineError(f"{model} does not know the language {wanted!r}: {remedy}")
    return wanted


def try_cuda(model: str, compute_type: str) -> None:
    """The body of that process: it dies, one way or another, where CUDA is broken."""
    try:
        whisper = _load(Path(model), "cuda", compute_type, threads=1)
    except EngineError as error:
        sys.exit(str(error))
    sound = np.zeros(SAMPLE_RATE_HZ, np.float32)
    list(whisper.transcribe(sound, language="en", beam_size=1, temperature=0.0, max_new_tokens=8)[0])


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


def _cuda_devices() -> int:
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count())


def _device(choice: config.Transcriber, model: Path) -> str:
    """`cpu` or `cuda`, whichever was asked for and works; `auto` falls back to the CPU with a warning."""
    if choice.device == "cpu" or (choice.device == "auto" and not _cuda_devices()):
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
