"""What the events of a recording depend on beside the recording, and how many processes there is room for.

The rule of this file: it reads cards and sizes, and loads no weights.
"""

import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import psutil

from erc_live.live.asr.pooled_words import pooled_name
from erc_live.live.asr.transcribers import expected
from erc_live.live.asr.whisper_models import choose_model
from erc_live.live.config import Config
from erc_live.live.session.weight_cache import models_folder
from erc_live.models import card
from erc_live.models.card import Described
from erc_live.streams.plural import counted

# Sections of the configuration that have no part in a replay at full speed.
_IRRELEVANT = frozenset(("events", "control", "metrics", "supervisor", "dashboard", "recording", "models"))
_PROCESS_BYTES = (
    1_000_000_000  # of a process, weights not included; measured: 1.03 GB with the shipped ones and tiny.en
)


@dataclass(frozen=True)
class ProcessRoom:
    """How many processes are sensible, and why. `size`: of one, in bytes."""

    processes: int
    reason: str
    size: int


def settings_of(config: Config, weights: Described) -> dict[str, object]:
    """By name, all that would make other events: keys, weights, recogniser, version. `weights`: of the tracker."""
    tree: dict[str, Any] = msgspec.to_builtins(config)
    keys = {
        f"{section}.{key}": value
        for section, values in tree.items()
        if section not in _IRRELEVANT and isinstance(values, dict)
        for key, value in values.items()
    }
    return keys | {
        "alerts": tree["alerts"],
        "weights": dict(weights.hashes),
        "encoders": dict(weights.card.encoders),
        "recogniser": _recogniser(config),
        "erc-live": version("erc-live"),
    }


def _recogniser(config: Config) -> str:
    """Raises EngineError where that of a pool does not answer."""
    choice = config.transcriber
    return pooled_name(choice) if choice.engine == "pool" else expected(choice, models_folder(config.models))


def room(config: Config, free: tuple[int, int] | None = None) -> ProcessRoom:
    """A process per processor, but no more than the memory that is free now has room for. `free`: so many processors
    and bytes elsewhere; None: those of this machine.
    """
    size = _PROCESS_BYTES + _bytes(card.read(config.tracker.weights).folder)
    if config.transcriber.engine in ("auto", "faster-whisper"):
        model = choose_model(config.transcriber, models_folder(config.models))
        size += 0 if model is None else _bytes(model.folder)
    cores, memory = free or (_processors(), psutil.virtual_memory().available)
    reason = f"{counted(cores, 'processor')}, {memory / 1e9:.0f} GB of memory free, {size / 1e9:.1f} GB a process"
    return ProcessRoom(max(1, min(cores, memory // size)), reason, size)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
