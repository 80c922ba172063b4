"""Where requests are worked off: the agenda, and the one thread that follows it.

One thing at a time, because a recogniser takes all the processor that it is given: two at once would both be late.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace

from erc_live.live.perception.agenda import Agenda
from erc_live.live.perception.endpointing import Analysis, Request
from erc_live.live.perception.load_shedding import LATE_S, Effort


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
        self._since_ns: dict[str, int] = {}  # when closed utterances were taken that are not yet answered

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._job is not None

    def take(self, requests: Iterable[Request], now_ns: int = 0) -> None:
        """Put requests on the agenda, at `now_ns` of the host."""
        every = self._effort().draft_every
        for request in requests:
            if request.kind == "draft" and request.revision % every:
                continue
            if answer := self._agenda.add(request):
                self._done.append(answer)
            elif request.kind == "final":
                self._since_ns[request.utterance] = now_ns
        self._begin(now_ns)

    def waiting_s(self, now_ns: int) -> float:
        """How long the oldest closed utterance has waited here until somebody works on it, in s of the host.

        What a machine that keeps up does not let grow. How long ago it was said is another matter: a microphone that
        stalled in the middle of a word, or a pause of the whole machine, hands in old sound without any overload. And
        an utterance that takes long because it is long keeps nobody waiting but those behind it.
        """
        oldest = self._agenda.oldest
        return 0.0 if oldest is None else (now_ns - self._since_ns[oldest.utterance]) / 1e9

    def answers(self, now_ns: int = 0) -> list[Analysis]:
        """What was answered since the last call, at `now_ns` of the host; an error of `analyse` is raised here."""
        if self._job is not None and self._job.done():
            answer = self._agenda.finish(self._job.result())
            self._job = None
            if answer is not None:
                self._done.append(answer)
                self._since_ns.pop(answer.request.utterance, None)
            self._begin(now_ns)
        done, self._done = self._done, []
        return done

    def _begin(self, now_ns: int) -> None:
        if self._job is None and (request := self._agenda.next()):
            waited_s = (now_ns - self._since_ns.get(request.utterance, now_ns)) / 1e9
            effort = self._effort()
            if waited_s < LATE_S:
                effort = replace(effort, words=True)
            self._job = self._executor.submit(self._analyse, request, effort)
