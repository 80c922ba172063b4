"""Which of Whisper's models is to recognise: what lies on this disk, and what this machine keeps up with.

Three rules. Whoever only asks loads no engine unless there is something to load. A model is a folder that is complete
on this disk: the network is never opened. The graphics driver is never trusted: a wrong cuDNN aborts the process, so
CUDA is first tried in a process that may die (`whisper.try_cuda`).
"""

import itertools
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from erc_live.live import config
from erc_live.live.errors import EngineError
from erc_live.models.errors import WeightsError
from erc_live.models.weights import Hub, locate, weight

_log = logging.getLogger(__name__)

_NEEDED = (
    "config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
)  # without tokenizer.json it asks the hub for one
_PROBE_LIMIT_S = 120.0
_PROBE = "import sys; from erc_live.live.asr.whisper import try_cuda; try_cuda(*sys.argv[1:])"
_SIZES = ("tiny", "base", "small", "large-v3")
_SEVERAL_CORES = 4  # base takes 0.8 s of one core for each utterance, tiny 0.3 s
_MOST_THREADS = 4
ENGLISH = "en"


@dataclass(frozen=True)
class Model:
    """A model on this disk and the device, `cpu` or `cuda`, that it is to run on. `name` is what a person calls it."""

    name: str
    folder: Path
    device: str = "cpu"


def choose_model(choice: config.TranscriberSection, models_folder: Path) -> Model | None:
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


def recommended(choice: config.TranscriberSection) -> str:
    """What to fetch when nothing is here: the configured model; for `auto` the one that this machine keeps up with."""
    if choice.model != "auto":
        return choice.model
    size = _affordable("cpu" if choice.device == "cpu" or not _cuda_devices() else "cuda")
    wanted = "small" if size == _SIZES[-1] else size  # larger ones are several GB
    return f"{wanted}.en" if choice.language in ("auto", ENGLISH) else wanted


def recommendations(choice: config.TranscriberSection) -> tuple[str, ...]:
    """What to fetch, the best first: what is recommended; for `auto` smaller ones, too, in case it cannot be had.

    Where there is no smaller size the next larger one is the last resort: `choose_model` takes it, too.
    """
    wanted, names = recommended(choice), _names(choice.language)
    if choice.model != "auto":
        return (wanted,)
    place = names.index(wanted)
    larger = names[place + 1 :][::-1] if _size(wanted) == _SIZES[0] else ()
    return (*names[place::-1], *(name for name in larger if _size(name) == _SIZES[1]))


def is_here(choice: config.TranscriberSection, models_folder: Path) -> bool:
    """Whether the disk has a model that `choose_model` would find.

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
        return complete(Path(name))
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


def threads() -> int:
    """Half of the processors: the others hear, see and draw."""
    return min(_MOST_THREADS, max(1, _cores() // 2))


def complete(folder: Path) -> Path:
    """The same folder. Raises EngineError when it is not a whole model."""
    missing = [pattern for pattern in _NEEDED if not any(folder.glob(pattern))]
    if missing:
        raise EngineError(f"{folder} is not a faster-whisper model: it has no {', '.join(missing)}")
    return folder


def _cached(name: str) -> Path | None:
    """The copy of a model in the hub's own cache."""
    if not _perhaps_cached(name):
        return None
    from faster_whisper.utils import download_model  # heavy, and needed by nobody who uses another engine

    try:
        return complete(Path(download_model(name, local_files_only=True)))
    except (OSError, ValueError, EngineError):  # not in the cache, not a model's name, or a download that broke off
        return None


def _perhaps_cached(name: str) -> bool:
    """Whether the hub's cache has a folder for a model, or the model is none of our table, so only the hub can know."""
    from huggingface_hub import constants

    try:
        sources = weight(name).sources
    except WeightsError:
        return True
    repos = [source.repo for source in sources if isinstance(source, Hub)]
    return any((Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}").is_dir() for repo in repos)


def _cuda_devices() -> int:
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count())


def _device(choice: config.TranscriberSection, model: Path) -> str:
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
