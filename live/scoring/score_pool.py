"""Recordings through several processes, here or elsewhere, each of which scores one recording after the other.

A process that has loaded is given a recording; one that dies costs its recording a second try in another; one whose
recording gets no further is killed. What counts is that it gets further, and not how long it takes: a long film on a
slow machine takes hours, and a process that hangs is known by its silence after minutes, whatever it is at.
The rule of this file: what one recording does costs that recording alone. No process, no Ray, and no clock but the
given one.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from erc_live.live.errors import WorkerError
from erc_live.live.scoring.score_report import (
    DIED,
    UNREADABLE,
    PoolShrunk,
    Report,
    TaskAdvance,
    TaskFailure,
    TaskResult,
    TaskRetry,
)
from erc_live.live.scoring.score_task import ScoredRecording, ScoreTask
from erc_live.live.scoring.score_work import Answer, RecordingFailed

TRIES = 2  # of a recording whose process dies
TIMEOUT_S = 600.0  # in which a recording gets further: the slowest recogniser takes less for an utterance
LOADED_S = 600.0  # in which one process at least has loaded


class ScorerLost(Exception):
    """The process of a scorer died; the message is the cause."""


class Scorer(Protocol):
    """One process, wherever it is, which loads first."""

    def begin(self, task: ScoreTask) -> None:
        """Give it a recording, after it has loaded or answered about the one before."""
        ...

    def answer(self) -> Answer:
        """The next; waits for it. Raises ScorerLost."""
        ...

    def end(self) -> None:
        """It has nothing to do any more, and may end by itself."""
        ...

    def kill(self) -> None:
        """End it at once. It writes nothing, so nothing of its recording is left."""
        ...


S = TypeVar("S", bound=Scorer)


class ScorePool(Protocol[S]):
    """A place for scorers."""

    def start(self) -> S: ...

    def ready(self, scorers: Sequence[S], timeout_s: float) -> Sequence[S]:
        """Those that have an answer, or died; waits so long for one."""
        ...


def score_all(
    tasks: Sequence[ScoreTask],
    pool: ScorePool[S],
    processes: int,
    timeout_s: float = TIMEOUT_S,
    now: Callable[[], float] = time.monotonic,
) -> Generator[Report, None, None]:
    """What becomes of the recordings, as it comes; each has one result or failure in the end. So many processes of the
    pool score them, which are killed when the iterator is closed. `timeout_s`: in which a recording gets further.

    Raises EngineError, WeightsError and the like where no recording can be scored, and WorkerError where one process
    after the other dies, or none loads.
    """
    run = _ScoreRun(deque(tasks), pool, processes, timeout_s, now)
    try:
        yield from run.reports()
    finally:
        run.kill()


@dataclass
class _ScorerState(Generic[S]):
    """A scorer and what it is at; None: it loads. `due_s`: when it has to have said something."""

    scorer: S
    task: ScoreTask | None = None
    due_s: float = 0.0


class _ScoreRun(Generic[S]):
    def __init__(
        self, waiting: deque[ScoreTask], pool: ScorePool[S], processes: int, timeout_s: float, now: Callable[[], float]
    ) -> None:
        self._waiting, self._pool, self._processes = waiting, pool, processes
        self._timeout_s, self._now = timeout_s, now
        self._places: list[_ScorerState[S]] = []
        self._deaths = Counter[ScoreTask]()
        self._in_a_row = 0  # deaths, without an end of a recording between them
        self._idle_s = now()  # since when no recording is scored

    def reports(self) -> Iterator[Report]:
        while self._waiting or self._busy:
            while len(self._places) < min(self._processes, len(self._waiting) + len(self._busy)):
                self._places.append(_ScorerState(self._pool.start()))
            ready = self._pool.ready([place.scorer for place in self._places], self._patience_s())
            for place in [place for place in self._places if place.scorer in ready]:
                yield from self._take_answer(place)
            yield from self._give_up()

    def kill(self) -> None:
        for place in self._places:
            place.scorer.kill()

    @property
    def _busy(self) -> list[_ScorerState[S]]:
        return [place for place in self._places if place.task]

    def _patience_s(self) -> float:
        """Until something has to have been said."""
        due_s = min((place.due_s for place in self._busy), default=self._idle_s + LOADED_S)
        return max(0.0, due_s - self._now())

    def _take_answer(self, place: _ScorerState[S]) -> Iterator[Report]:
        """What a scorer says. Raises what ends the run."""
        task = place.task
        try:
            answer = place.scorer.answer()
        except ScorerLost as lost:
            self._places.remove(place)
            yield self._retried(task, f"its process died ({lost})") if task else self._shrunk(str(lost))
            return
        if isinstance(answer, Exception):
            raise answer
        if task and isinstance(answer, float):
            place.due_s = self._now() + self._timeout_s
            yield TaskAdvance(task, answer)
            return
        self._go_on(place)
        if task and answer:
            self._in_a_row = 0
            yield _ended(task, answer)

    def _go_on(self, place: _ScorerState[S]) -> None:
        """With the next recording, if there is one."""
        place.task = self._waiting.popleft() if self._waiting else None
        self._idle_s = self._now()
        if place.task:
            place.due_s = self._now() + self._timeout_s
            place.scorer.begin(place.task)
        else:
            self._places.remove(place)
            place.scorer.end()

    def _give_up(self) -> Iterator[Report]:
        """What has taken too long. Raises WorkerError where that is all."""
        now_s = self._now()
        for place in [place for place in self._busy if now_s >= place.due_s]:
            assert place.task is not None
            self._places.remove(place)
            place.scorer.kill()
            self._idle_s = now_s
            reason = f"got no further for {self._timeout_s:g} s and was given up: try a longer --timeout"
            yield TaskFailure(place.task, reason, UNREADABLE)
        if self._waiting and not self._busy and now_s >= self._idle_s + LOADED_S:
            raise WorkerError(f"no process has loaded in {LOADED_S:g} s: is there a CPU, and memory, free for one?")

    def _retried(self, task: ScoreTask, reason: str) -> TaskRetry | TaskFailure:
        """The recording waits once more, or has failed. Raises WorkerError where nothing else is to be expected."""
        self._in_a_row += 1
        self._idle_s = self._now()
        if self._in_a_row > TRIES * (self._processes + 1):
            raise WorkerError(f"{task.name}: {reason}, as those before it did: try fewer --jobs")
        self._deaths[task] += 1
        if self._deaths[task] == TRIES:
            return TaskFailure(task, f"{reason}, as the one before it did", DIED)
        self._waiting.appendleft(task)
        return TaskRetry(task, reason)

    def _shrunk(self, reason: str) -> PoolShrunk:
        """What dies while it loads would do so again: there is no room for it. Raises WorkerError where that was the
        last one.
        """
        self._processes -= 1
        if not self._processes:
            raise WorkerError(f"every process died while it loaded, the last one of {reason}: try fewer --jobs")
        return PoolShrunk(self._processes, reason)


def _ended(task: ScoreTask, answer: ScoredRecording | RecordingFailed | float) -> TaskResult | TaskFailure:
    assert not isinstance(answer, float)
    if isinstance(answer, ScoredRecording):
        return TaskResult(task, answer)
    return TaskFailure(task, answer.reason, answer.code, answer.trace)
