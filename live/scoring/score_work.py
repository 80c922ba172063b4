"""The life of a process that scores, wherever it is: load once, then recordings in and answers out.

The rule of this file: what one recording does is an answer about that recording. What concerns all of them, weights
that are missing, is an exception, which ends the run.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from erc_live.live.config import Config
from erc_live.live.errors import exit_code, mendable
from erc_live.live.scoring.score_report import BUG, UNREADABLE
from erc_live.live.scoring.score_task import ScoredRecording, ScoreTask
from erc_live.live.session.heap import Heap

ADVANCE_S = 0.5  # between two signs of how far a recording is

Advance = Callable[[float], None]  # called with how much of the recording is done, in s
Score = Callable[[ScoreTask, Advance], ScoredRecording]
Load = Callable[[Config], Score]


@dataclass(frozen=True)
class RecordingFailed:
    """As of `TaskFailure`."""

    reason: str
    code: int
    trace: str = ""


# None: it has loaded. A number: so many s of the recording are done. An exception: what ends the run.
Answer = None | float | ScoredRecording | RecordingFailed | Exception


def load_here(config: Config) -> Score:
    """`score_one` with the weights loaded. Raises EngineError or WeightsError."""
    from erc_live.live.scoring.score_one import LoadedModels, score_one  # who starts the processes loads no engine

    models = LoadedModels(config)
    return lambda task, advance: score_one(task, models, advance)


def work(receive: Callable[[], ScoreTask], send: Callable[[Answer], object], config: Config, load: Load) -> None:
    """Recordings in, answers out, until one of the functions raises, or `load` does, which is sent."""
    heap = Heap()
    try:
        score = load(config)
    except Exception as raised:
        raised.add_note(traceback.format_exc())  # else nobody would see where it was raised
        send(mendable(raised))
        return
    send(None)
    _score_each(receive, send, score, heap)


def _score_each(
    receive: Callable[[], ScoreTask], send: Callable[[Answer], object], score: Score, heap: Heap
) -> NoReturn:
    while True:
        send(_answer(receive(), send, score))
        heap.trim()


def _answer(task: ScoreTask, send: Callable[[Answer], object], score: Score) -> Answer:
    sent_s = time.monotonic()

    def advance(media_s: float) -> None:
        nonlocal sent_s
        if time.monotonic() - sent_s >= ADVANCE_S:
            sent_s = time.monotonic()
            send(media_s)

    try:
        return score(task, advance)
    except Exception as raised:
        error = mendable(raised)
        code = UNREADABLE if isinstance(error, OSError) else exit_code(error)
        if code == UNREADABLE:
            return RecordingFailed(str(error), code)
        if code is None:
            return RecordingFailed(f"{type(error).__name__}: {error}", BUG, traceback.format_exc())
        return error
