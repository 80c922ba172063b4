"""Where requests are worked off: the agenda, and the one thread that follows it.

One thing at a time, because a recogniser takes all the processor that it is given: two at once would both be late.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future

from erc_live.live.agenda import Agenda
from erc_live.live.overload import Effort
from erc_live.live.perception import Analysis, Request


class Desk:
    """`take` requests, collect `answers`: call both from one thread, often. `analyse` runs in `executor`, with the
    effort that `effort` allows at its beginning.
    """

    def __init__(
        self, executor: Executor, analyse: Callable[[Request, Effort], Analysis], effort: Callable[[], Effort]
    ) -> None:
        self._executor = executor
        self._analyse = analyse
        self._effort = effort
        self._agenda = Agenda()
        self._job: Future[Analysis] | None = None
        self._done: list[Analysis] = []

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._job is not None

    def take(self, requests: Iterable[Request]) -> None:
        """Put requests on the agenda."""
        every = self._effort().draft_every
        for request in requests:
            if request.kind == "draft" and request.revision % every:
                continue
            if answer := self._agenda.add(request):
                self._done.append(answer)
        self._begin()

    def answers(self) -> list[Analysis]:
        """What was answered since the last call; an error of `analyse` is raised here."""
        if self._job is not None and self._job.done():
            answer = self._agenda.finish(self._job.result())
            self._job = None
            if answer is not None:
                self._done.append(answer)
            self._begin()
        done, self._done = self._done, []
        return done

    def _begin(self) -> None:
        if self._job is None and (request := self._agenda.next()):
            self._job = self._executor.submit(self._analyse, request, self._effort())
