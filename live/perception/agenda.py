"""What is analysed next, where one thing is analysed at a time.

Closed utterances come first, in the order in which they closed, and none is ever dropped. Then comes what was guessed
to be one, whose answer is kept until it turns out to be right. Then drafts: of each microphone only the newest.
The rule of this file: no thread and no clock. It says what to do, and is told what was done.
"""

from collections import deque
from dataclasses import replace

from erc_live.live.perception.endpointing import Analysis, Request


class Agenda:
    """`add` requests, take the `next` one, hand in its answer with `finish`. Not for several threads."""

    def __init__(self) -> None:
        self._final: deque[Request] = deque()
        self._early: dict[str, Request] = {}  # source -> the newest
        self._drafts: dict[str, Request] = {}
        self._running: Request | None = None
        self._guesses: dict[str, Analysis] = {}  # source -> the answer to its newest early request

    @property
    def oldest(self) -> Request | None:
        """The first of the closed utterances that nobody works on yet."""
        return self._final[0] if self._final else None

    def add(self, request: Request) -> Analysis | None:
        """Take a request. Returns its answer where a guess has already found it."""
        source = request.source
        if request.kind == "draft":
            self._drafts[source] = request
            return None
        self._drafts.pop(source, None)
        self._early.pop(source, None)  # a guess that was wrong, or that nobody had begun
        guess = self._guesses.pop(source, None)
        if request.kind == "early":
            self._early[source] = request
            return None
        if guess is not None and _same(guess.request, request):
            return replace(guess, request=request)
        if self._running is not None and self._running.kind == "early" and _same(self._running, request):
            self._running = request  # what is being worked on is what is wanted
            return None
        self._final.append(request)
        return None

    def next(self) -> Request | None:
        """What to work on now; None when there is nothing."""
        if self._final:
            self._running = self._final.popleft()
        elif self._early:
            self._running = self._early.pop(next(iter(self._early)))
        elif self._drafts:
            self._running = self._drafts.pop(next(iter(self._drafts)))
        else:
            self._running = None
        return self._running

    def finish(self, answer: Analysis) -> Analysis | None:
        """The answer to what is running; returns it if it is of use now."""
        assert self._running is not None
        request, self._running = self._running, None
        answer = replace(answer, request=request)
        if request.kind == "early":
            self._guesses[request.source] = answer
            return None
        return answer


def _same(one: Request, other: Request) -> bool:
    """Whether both ask for the same stretch of the same sound."""
    return one.utterance == other.utterance and one.t_end_ns == other.t_end_ns
