"""What is analysed next, where one thing is analysed at a time: a recogniser takes all the processor that it is given.

Closed utterances come first, in the order in which they closed, and none is ever dropped. Then come speculative
requests, made after 0.1 s of silence (`perception.speculative_s`), whose answer is stored until it turns out to be
right, because the speaker stays silent. So the wait for words and features hides in the wait for the silence; a guess
that was wrong costs computing and changes nothing. Then come partial ones: of each microphone only the newest.
The rule of this file: no thread and no clock of its own; what runs, runs in the executor.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace

from erc_live.live.perception.load_shedding import LATE_S, Budget
from erc_live.live.requests import Analysis, Request, RequestKind


class Scheduler:
    """`take` requests, collect `answers`: call both from one thread, often. `analyse` runs in `executor`, with what
    `budget` allows at its beginning.
    """

    def __init__(
        self, executor: Executor, analyse: Callable[[Request, Budget], Analysis], budget: Callable[[], Budget]
    ) -> None:
        self._executor = executor
        self._analyse = analyse
        self._budget = budget
        self._final: deque[tuple[int, Request]] = deque()  # with the host's time at which it was taken
        self._speculative: dict[str, Request] = {}  # source -> the newest
        self._partial: dict[str, Request] = {}
        self._running: tuple[Request, Future[Analysis]] | None = None
        self._running_since_ns = 0  # of the host
        self._guesses: dict[str, Analysis] = {}  # source -> the answer to its newest speculative request
        self._done: list[Analysis] = []

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._running is not None

    def take(self, requests: Iterable[Request], now_ns: int = 0) -> None:
        """Queue requests, at `now_ns` of the host."""
        for request in requests:
            if request.kind == RequestKind.PARTIAL:
                if request.revision % self._budget().partial_every == 0:
                    self._partial[request.source] = request
            else:
                self._take_end(request, now_ns)
        self._begin(now_ns)

    @property
    def waiting(self) -> int:
        """Closed utterances that nobody works on yet."""
        return len(self._final)

    def waiting_s(self, now_ns: int) -> float:
        """How long the oldest closed utterance has waited here until somebody works on it, in s of the host.

        What a machine that keeps up does not let grow. How long ago it was said is another matter: a microphone that
        stalled in the middle of a word, or a pause of the whole machine, hands in old sound without any overload. And
        an utterance that takes long because it is long keeps nobody waiting but those behind it.
        """
        return (now_ns - self._final[0][0]) / 1e9 if self._final else 0.0

    def running_s(self, now_ns: int) -> float:
        """For how long the analysis that runs has been running, in s of the host; 0 without one."""
        return (now_ns - self._running_since_ns) / 1e9 if self._running else 0.0

    def answers(self, now_ns: int = 0) -> list[Analysis]:
        """What was answered since the last call, at `now_ns` of the host; an error of `analyse` is raised here."""
        while self._running is not None and self._running[1].done():
            request, job = self._running
            self._running = None
            answer = replace(job.result(), request=request)
            if request.kind == RequestKind.SPECULATIVE:
                self._guesses[request.source] = answer
            else:
                self._done.append(answer)
            self._begin(now_ns)
        done, self._done = self._done, []
        return done

    def _take_end(self, request: Request, now_ns: int) -> None:
        """Take a request about speech that has ended, for certain or perhaps."""
        source = request.source
        self._partial.pop(source, None)
        self._speculative.pop(source, None)  # it was wrong, or nobody had begun
        guess = self._guesses.pop(source, None)
        if request.kind == RequestKind.SPECULATIVE:
            self._speculative[source] = request
        elif guess is not None and _same(guess.request, request):
            self._done.append(replace(guess, request=request))
        elif self._running is not None and _same(self._running[0], request):
            self._running = request, self._running[1]  # what is being worked on is what is wanted
        else:
            self._final.append((now_ns, request))

    def _begin(self, now_ns: int) -> None:
        """Start on what comes first, unless something is being worked on."""
        if self._running is not None:
            return
        budget, since_ns = self._budget(), now_ns
        if self._final:
            since_ns, request = self._final.popleft()
        elif queue := self._speculative or self._partial:
            request = queue.pop(next(iter(queue)))
        else:
            return
        if now_ns - since_ns < LATE_S * 1e9:
            budget = replace(budget, words=True)
        self._running = request, self._executor.submit(self._analyse, request, budget)
        self._running_since_ns = now_ns


def _same(one: Request, other: Request) -> bool:
    """Whether both ask for the same end of the same utterance, and so for the same sound."""
    return one.kind != RequestKind.PARTIAL and one.utterance == other.utterance and one.t_end_ns == other.t_end_ns
