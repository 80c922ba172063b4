"""Processes of this machine that score.

Each has a pipe of its own, so when one dies, it is known which recording it was at. The standard library's executor
ends as a whole with one of its processes, and does not say which task it was.
The rule of this file: it alone knows processes of this machine; what happens in them is in `score_work.py`.
"""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process, resource_tracker
from typing import Any

from erc_live.live.config import Config
from erc_live.live.scoring.score_pool import ScorerLost
from erc_live.live.scoring.score_report import DIED
from erc_live.live.scoring.score_task import ScoreTask
from erc_live.live.scoring.score_work import Answer, Load, load_here, work

LEAVE_S = 10.0  # for a process to end by itself
_SPAWN = get_context("spawn")  # a fork would share the threads and locks of libraries


class ProcessPool:
    """A `ScorePool` of processes of this machine."""

    def __init__(self, config: Config, load: Load = load_here) -> None:
        self._config, self._load = config, load

    def start(self) -> "ScoreProcess":
        return ScoreProcess(self._config, self._load)

    def ready(self, scorers: Sequence["ScoreProcess"], timeout_s: float) -> list["ScoreProcess"]:
        pipes = connection.wait([scorer.pipe for scorer in scorers], timeout_s)
        return [scorer for scorer in scorers if scorer.pipe in pipes]


class ScoreProcess:
    """A `Scorer`. `pipe` is ready when there is an answer, or it died."""

    def __init__(self, config: Config, load: Load) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_work, args=(theirs, config, load), name="erc-live score", daemon=True)
        with _uninterrupted():
            self._process.start()
        theirs.close()

    def begin(self, task: ScoreTask) -> None:
        with suppress(OSError):  # it died: `answer` says so
            self.pipe.send(task)

    def answer(self) -> Answer:
        try:
            answer: Answer = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            self.pipe.close()
            raise ScorerLost(_cause(self._process.exitcode)) from None
        return answer

    def end(self) -> None:
        """It cleans up what its libraries hold of the system."""
        self.pipe.close()
        self._process.join(LEAVE_S)
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.join(LEAVE_S)  # one that waits for a disk that is gone cannot be killed
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


def _work(pipe: Any, config: Config, load: Load) -> None:
    """The life of a process, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not inherited
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        work(pipe.recv, pipe.send, config, load)


def _leave_with_parent() -> None:
    """However who asks ends: nobody would take the answer."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(DIED)
