"""Recordings that are scored without weights: what a process makes of one is in the file."""

import os
import signal
import time
from pathlib import Path

from msgspec import structs

from erc_live.live.config import Config
from erc_live.live.errors import EngineError
from erc_live.live.scoring.score_task import ScoredRecording, ScoreTask
from erc_live.streams.errors import MediaError


def tracking(weights: str) -> Config:
    """A configuration with these weights, which `fake_load` looks at."""
    return structs.replace(Config(), tracker=structs.replace(Config().tracker, weights=weights))


def fake_load(config: Config):
    if config.tracker.weights == "none":
        raise EngineError("no weights here: fetch them")
    if config.tracker.weights == "too large":
        os.kill(os.getpid(), signal.SIGKILL)
    return fake_score


def fake_score(task: ScoreTask, advance) -> ScoredRecording:
    """`die once` and `die` end the process with kill -9; `die once` leaves a file beside, and then is well."""
    word = task.path.read_text()
    advance(1.0)
    marker = task.path.with_suffix(".died")
    match word:
        case "unreadable":
            raise MediaError(f"{task.path}: is not media")
        case "bug":
            raise ValueError("a bug")
        case "die" | "die once" if word == "die" or not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        case "long":  # until somebody ends it
            time.sleep(600)
    return ScoredRecording(f"{word} by {os.getpid()}\n".encode(), 1, 2.0, (), "broke off" if word == "broken" else "")


def recordings(folder: Path, **words: str) -> list[ScoreTask]:
    """A recording for each keyword argument."""
    for name, word in words.items():
        (folder / f"{name}.wav").write_text(word)
    return [ScoreTask(f"{name}.wav", folder / f"{name}.wav") for name in words]
