"""What becomes of recordings while they are scored: what is told of each as it happens.

The rule of this file: data; who scores, and where, is not in it.
"""

from dataclasses import dataclass

from erc_live.live.scoring.score_task import ScoredRecording, ScoreTask

BUG, UNREADABLE, DIED = 1, 4, 7  # exit codes, as of `live/errors.py`


@dataclass(frozen=True)
class TaskAdvance:
    """So much of a recording is done."""

    task: ScoreTask
    media_s: float


@dataclass(frozen=True)
class TaskResult:
    """A recording is done."""

    task: ScoreTask
    scored: ScoredRecording


@dataclass(frozen=True)
class TaskRetry:
    """The process of a recording died; it is begun anew."""

    task: ScoreTask
    reason: str


@dataclass(frozen=True)
class TaskFailure:
    """Nothing came of a recording. `code` is the exit code that belongs to it; `trace`, of a bug of ours."""

    task: ScoreTask
    reason: str
    code: int
    trace: str = ""


@dataclass(frozen=True)
class PoolShrunk:
    """A process died before it had any recording, and is not replaced: so many go on."""

    processes: int
    reason: str


Report = TaskAdvance | TaskResult | TaskRetry | TaskFailure | PoolShrunk
