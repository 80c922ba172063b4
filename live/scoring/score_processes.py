"""Recordings through several processes, each of which loads the weights once and scores one recording after the other.

Each process has a pipe of its own, so when one dies, it is known which recording it was at: that one is tried once more
in a fresh process. The standard library's executor ends as a whole with one of its processes, and does not say which
task it was.
The rule of this file: what one recording does costs that recording alone. What concerns all of them, weights that are
missing, ends the run.
"""

import os
import signal
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process, resource_tracker
from typing import Any

from erc_live.live.config import Config
from erc_live.live.errors import WorkerError, exit_code, mendable
from erc_live.live.scoring.score_task import ScoredRecording, ScoreTask
from erc_live.live.session.heap import Heap

BUG, UNREADABLE, DIED = 1, 4, 7  # exit codes, as of `live/errors.py`
TRIES = 2  # of a recording whose process dies
ADVANCE_S = 0.5  # between two signs of how far a recording is
LEAVE_S = 10.0  # for a process to end by itself
_SPAWN = get_context("spawn")  # a fork would share the threads and locks of libraries

Score = Callable[[ScoreTask, Config, Callable[[float], None]], ScoredRecording]


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


Report = TaskAdvance | TaskResult | TaskRetry | TaskFailure


def score_here(task: ScoreTask, config: Config, advance: Callable[[float], None]) -> ScoredRecording:
    """As `score_one`."""
    from erc_live.live.scoring.score_one import score_one  # in the call: who starts the processes loads no engine

    return score_one(task, config, advance)


def score_all(
    tasks: Sequence[ScoreTask], config: Config, processes: int, score: Score = score_here
) -> Generator[Report, None, None]:
    """What becomes of the recordings, as it comes; each has one result or failure in the end. `score` is called in so
    many processes, which are killed when the iterator is closed.

    Raises EngineError, WeightsError and the like where no recording can be scored, and WorkerError where one process
    after the other dies.
    """
    waiting, deaths, in_a_row = deque(tasks), Counter[ScoreTask](), 0
    running: list[ScoreProcess] = []
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                running.append(ScoreProcess(waiting.popleft(), config, score))
            for process in _ready(running):
                report = process.report()
                if isinstance(report, TaskRetry):
                    in_a_row += 1
                    running.remove(process)
                    report = _again(report, deaths, waiting, in_a_row > TRIES * (processes + 1))
                elif not isinstance(report, TaskAdvance):
                    in_a_row = 0
                    _go_on(process, running, waiting)
                yield report
    finally:
        for process in running:
            process.kill()


def _ready(running: Sequence["ScoreProcess"]) -> list["ScoreProcess"]:
    """Those that have something to say, or died."""
    pipes = connection.wait([process.pipe for process in running])
    return [process for process in running if process.pipe in pipes]


def _go_on(process: "ScoreProcess", running: list["ScoreProcess"], waiting: deque[ScoreTask]) -> None:
    if waiting:
        process.begin(waiting.popleft())
    else:
        process.end()
        running.remove(process)


def _again(
    report: TaskRetry, deaths: Counter[ScoreTask], waiting: deque[ScoreTask], hopeless: bool
) -> TaskRetry | TaskFailure:
    """The recording waits once more, or has failed. Raises WorkerError where that is `hopeless`."""
    if hopeless:
        raise WorkerError(f"{report.task.name}: {report.reason}, as those before it did: try fewer --jobs")
    deaths[report.task] += 1
    if deaths[report.task] == TRIES:
        return TaskFailure(report.task, f"{report.reason}, as the one before it did", DIED)
    waiting.appendleft(report.task)
    return report


class ScoreProcess:
    """One process and the recording that it is at. `pipe` is ready when there is a report."""

    def __init__(self, task: ScoreTask, config: Config, score: Score) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(theirs, config, score), name="erc-live score", daemon=True)
        with _uninterrupted():
            self._process.start()
        theirs.close()
        self.begin(task)

    def begin(self, task: ScoreTask) -> None:
        """Give it a recording."""
        self._task = task
        with suppress(OSError):  # it died: `report` says so
            self.pipe.send(task)

    def report(self) -> Report:
        """The next; waits for it. Raises what ends the run."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            self.pipe.close()
            return TaskRetry(self._task, f"its process died ({_cause(self._process.exitcode)})")
        if isinstance(answer, Exception):
            raise answer
        report: Report = answer
        return report

    def end(self) -> None:
        """It has nothing to do any more, and ends by itself, which cleans up what its libraries hold of the system."""
        self.pipe.close()
        self._process.join(LEAVE_S)
        self._process.kill()
        self._process.join()

    def kill(self) -> None:
        """End it at once. It writes nothing, so nothing of its recording is left."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A block that starts a process. Ctrl-C waits for its end, and is for this process alone: the other one inherits
    that it gets none, also while it starts, when it could only answer with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else it is started in the block, and lets interrupts through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}: perhaps it took too much memory" if name == "SIGKILL" else name
    return f"exit code {code}"


def _work(pipe: Any, config: Config, score: Score) -> None:
    """The life of a process: recordings in, reports out, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not inherited
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    heap = Heap()
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(pipe, pipe.recv(), config, score))
            heap.trim()


def _leave_with_parent() -> None:
    """However who asks ends: nobody would take the answer."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(DIED)


def _answer(pipe: Any, task: ScoreTask, config: Config, score: Score) -> TaskResult | TaskFailure | Exception:
    sent_s = time.monotonic()

    def advance(media_s: float) -> None:
        nonlocal sent_s
        if time.monotonic() - sent_s >= ADVANCE_S:
            sent_s = time.monotonic()
            pipe.send(TaskAdvance(task, media_s))

    try:
        return TaskResult(task, score(task, config, advance))
    except Exception as raised:
        error = mendable(raised)
        code = UNREADABLE if isinstance(error, OSError) else exit_code(error)
        if code == UNREADABLE:
            return TaskFailure(task, str(error), code)
        if code is None:
            return TaskFailure(task, f"{type(error).__name__}: {error}", BUG, traceback.format_exc())
        return error
