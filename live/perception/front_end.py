"""Perception as one object: sound and pictures in, the utterances of the conversation out.

It composes the cores: where utterances begin and end, what is analysed next, what is given up when the machine does not
keep up, and who said what in the order of the conversation. The worker calls it with a thread of its own for the
analyses, replay in one process with `INLINE`, so both run the very same cores.
The rule of this file: no I/O and no engine; two clocks are handed in, that of the session and that of the host, on
which people wait.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from msgspec import structs

from erc_live.live.perception.account import Account
from erc_live.live.perception.conversation import Conversation
from erc_live.live.perception.endpointing import Endpointer
from erc_live.live.perception.load_shedding import Budget, Level, LoadShedder
from erc_live.live.perception.scheduler import Scheduler
from erc_live.live.requests import Analysis, Request, RequestKind
from erc_live.streams.messages import AudioChunk, Gap, Overload, Relabel, SourceEnd, UtteranceFeatures, VideoFrame


class InlineExecutor(Executor):
    """Does at once what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The result, or the error, of the call."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


INLINE = InlineExecutor()


class FrontEnd:
    """`feed` messages, `poll` what they lead to. `analyse` runs in `executor`; `levels` is what may be given up.

    Where nobody waits (`INLINE`), nothing is guessed and nothing is provisional.
    """

    def __init__(
        self,
        endpointer: Endpointer,
        account: Account,
        conversation: Conversation,
        analyse: Callable[[Request, Budget], Analysis],
        executor: Executor = INLINE,
        levels: tuple[Level, ...] = (),
    ) -> None:
        self.account = account
        self._endpointer = endpointer
        self._shedder = LoadShedder(levels)
        self._scheduler = Scheduler(executor, analyse, lambda: self._shedder.budget)
        self._conversation = conversation
        self._finals_only = executor is INLINE

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._scheduler.busy

    @property
    def ended(self) -> bool:
        """Whether every microphone has ended and every utterance was given out."""
        return self._endpointer.ended

    def lag_s(self, now_ns: int) -> float:
        """How long the oldest utterance that was not given out has waited, in s of the session."""
        return self._endpointer.lag_s(now_ns)

    def feed(self, message: AudioChunk | VideoFrame | Gap | SourceEnd, host_ns: int = 0) -> None:
        """Take one message of a source."""
        self.account.take(message)
        requests = self._endpointer.feed(message)
        if self._finals_only:
            requests = [request for request in requests if request.kind == RequestKind.FINAL]
        self.account.ask(requests)
        self._scheduler.take(requests, host_ns)

    def poll(self, now_ns: int, host_ns: int = 0) -> Iterator[UtteranceFeatures | Relabel | Overload]:
        """What is ready at `now_ns` of the session, in order; an error of an engine is raised here."""
        for answer in self._scheduler.answers(host_ns):
            self._endpointer.accept(answer)
        for analysis in self._endpointer.poll(now_ns):
            yield from self._conversation.describe(analysis)
            self.account.answer(analysis)
        if change := self._shedder.observe(self._scheduler.waiting_s(host_ns), host_ns):
            yield structs.replace(change, t_ns=now_ns)
