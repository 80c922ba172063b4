"""Recognisers that many sessions share: what waits is given to whoever is free, and who dies is replaced.

What a recogniser was at when it died is given to another one, once: what kills two of them would kill the third. One
that dies while it is idle costs nothing. One that dies while it loads, where others work, is taken as a sign that there
is no room for it, and the pool goes on with those.
The rules of this file: no socket, no process and no clock but what is handed in; each request has one answer.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

from erc_live.live.asr_pool.pool_scale import PoolLoad, PoolScale
from erc_live.live.asr_pool.request_queue import PoolRequest, RequestQueue
from erc_live.live.errors import WorkerError
from erc_live.streams.recognition_channel import AskedRecognition, RecognitionReply, Verdict

TRIES = 2  # of a request whose recogniser dies
HUNG_S = 120.0  # of one utterance, as in a session: native code that hangs
LOADED_S = 600.0  # in which a recogniser has loaded, on a machine that does something else
LOSSES = 5  # in a row, of recognisers that load, where none works
RETRY_S = 2.0  # after such a loss, and twice, three times ... as long after each further one


class RecogniserLost(Exception):
    """The process of a recogniser died; the message is the cause."""


class LoadedRecogniser(NamedTuple):
    """What a process has loaded: `name` and `quick` as of `Transcriber`; `warning`: what people should know of it."""

    process: int
    name: str
    quick: bool
    warning: str = ""


class PoolWorker(Protocol):
    """A recogniser in a process of its own, wherever that is. Its futures fail with RecogniserLost where it dies;
    `loaded` fails, too, where it cannot load.
    """

    @property
    def loaded(self) -> Future[LoadedRecogniser]: ...

    @property
    def alive(self) -> bool: ...

    def transcribe(self, sound: bytes, partial: bool) -> Future[bytes]:
        """Words of samples, as `RecognitionReply` has them behind it."""
        ...

    def end(self) -> None:
        """It has nothing to do any more."""
        ...

    def kill(self) -> None: ...


class PoolNews(NamedTuple):
    """Who is told what: a recogniser, by its number, was `opened`, `lost` (and why), or has `ended`, being idle."""

    opened: Callable[[int, LoadedRecogniser], None]
    lost: Callable[[int, str], None]
    ended: Callable[[int], None]


class PoolAnswer(NamedTuple):
    """For who asked. `seconds`: since it came, of words that are done."""

    sender: bytes
    reply: RecognitionReply
    words: bytes = b""
    seconds: float = 0.0


@dataclass
class _PoolPlace:
    """A recogniser, and what it is at since `since_s`: loading, a request, or nothing."""

    number: int
    worker: PoolWorker
    since_s: float
    loaded: LoadedRecogniser | None = None
    request: PoolRequest | None = None
    words: Future[bytes] | None = None

    @property
    def idle(self) -> bool:
        return self.loaded is not None and self.request is None


class RecogniserPool:
    """`take` what comes, `advance` often. `counts`: requests by what became of them, and recognisers that were lost."""

    def __init__(self, start: Callable[[], PoolWorker], scale: PoolScale, news: PoolNews) -> None:
        self.counts: Counter[str] = Counter()
        self.ending = False  # nothing new is taken
        self._start, self._scale, self._news = start, scale, news
        self._queue = RequestQueue()
        self._places: list[_PoolPlace] = []
        self._wanted = scale.least
        self._numbers = count()
        self._losses = 0  # in a row, of those that load
        self._start_s = 0.0  # when one may be started at the earliest
        self._newest: LoadedRecogniser | None = None

    @property
    def pending(self) -> int:
        """Requests without an answer."""
        return len(self._queue) + sum(place.request is not None for place in self._places)

    def load(self, now_s: float) -> PoolLoad:
        loading = sum(place.loaded is None for place in self._places)
        idle = sum(place.idle for place in self._places)
        busy = len(self._places) - loading - idle
        return PoolLoad(loading, busy, idle, len(self._queue), self._queue.waiting_s(now_s))

    def take(self, asked: AskedRecognition, now_s: float) -> PoolAnswer | None:
        """What is to be answered at once, if anything."""
        request = asked.request
        if request is None or asked.refusal:
            self.counts["unreadable"] += 1
            number = request.number if request else 0
            return PoolAnswer(asked.sender, RecognitionReply(number=number, verdict="unreadable", why=asked.refusal))
        key = asked.sender, request.number
        if request.ask == "who":
            return self._introduced(*key)
        if key in self._queue or any(place.request and place.request.key == key for place in self._places):
            return PoolAnswer(asked.sender, RecognitionReply(number=request.number, verdict="waiting"))
        if request.ask == "still":
            return PoolAnswer(asked.sender, RecognitionReply(number=request.number, verdict="unknown"))
        until_s = now_s + (request.within_s or float("inf"))
        waiting = PoolRequest(*key, asked.sound, request.partial, now_s, until_s)
        why = "the pool is ending" if self.ending else self._queue.add(waiting)
        return self._answered(waiting, "refused", why) if why else None

    def advance(self, now_s: float) -> list[PoolAnswer]:
        """What is answered now. Raises what keeps every recogniser from loading, and WorkerError where all die."""
        answers = [answer for place in [*self._places] if (answer := self._look_at(place, now_s))]
        answers += [
            self._answered(request, "dropped", f"it waited for {now_s - request.since_s:.1f} s")
            for request in self._queue.expire(now_s)
        ]
        for place in self._places:
            if place.idle and (next_ := self._queue.take()):
                place.request, place.since_s = next_, now_s
                place.words = place.worker.transcribe(next_.sound, next_.partial)
        self._keep_number(now_s)
        return answers

    def close(self) -> None:
        for place in self._places:
            place.worker.end() if place.idle else place.worker.kill()

    def _introduced(self, sender: bytes, number: int) -> PoolAnswer:
        if self._newest is None:
            return PoolAnswer(sender, RecognitionReply(number=number, verdict="waiting"))
        reply = RecognitionReply(number=number, verdict="here", name=self._newest.name, quick=self._newest.quick)
        return PoolAnswer(sender, reply)

    def _answered(self, request: PoolRequest, verdict: Verdict, why: str) -> PoolAnswer:
        self.counts[verdict] += 1
        return PoolAnswer(request.sender, RecognitionReply(number=request.number, verdict=verdict, why=why))

    def _look_at(self, place: _PoolPlace, now_s: float) -> PoolAnswer | None:
        """What of a recogniser is new."""
        if place.loaded is None:
            self._look_at_loading(place, now_s)
        elif place.words is not None and place.words.done():
            return self._collect(place, place.words, now_s)
        elif place.request and now_s - place.since_s > HUNG_S:
            return self._lose(place, f"it got no further for {HUNG_S:g} s", now_s)
        elif place.idle and not place.worker.alive:
            self._lose(place, "it died while it was idle", now_s)
        return None

    def _look_at_loading(self, place: _PoolPlace, now_s: float) -> None:
        error: BaseException | None = None
        if place.worker.loaded.done():
            error = place.worker.loaded.exception()
        elif now_s - place.since_s > LOADED_S:
            error = RecogniserLost(f"it did not load within {LOADED_S:g} s")
        else:
            return
        if error is None:
            self._newest = place.loaded = place.worker.loaded.result()
            self._losses = 0
            self._news.opened(place.number, place.loaded)
            return
        if not isinstance(error, RecogniserLost) and not self._working:
            raise error
        self._lose(place, f"while it loaded: {error}", now_s)
        self._losses += 1
        self._start_s = now_s + RETRY_S * self._losses
        self._wanted = max(self._scale.least, self._wanted - 1)
        if self._losses > LOSSES and not self._working:
            raise WorkerError(f"{self._losses} recognisers in a row died while they loaded, the last one: {error}")

    @property
    def _working(self) -> bool:
        return any(place.loaded for place in self._places)

    def _collect(self, place: _PoolPlace, words: Future[bytes], now_s: float) -> PoolAnswer | None:
        error, request, loaded = words.exception(), place.request, place.loaded
        if error is not None:
            return self._lose(place, str(error) or type(error).__name__, now_s)
        assert request is not None
        assert loaded is not None
        place.request = place.words = None
        self.counts["done"] += 1
        reply = RecognitionReply(number=request.number, verdict="done", name=loaded.name, quick=loaded.quick)
        return PoolAnswer(request.sender, reply, words.result(), now_s - request.since_s)

    def _lose(self, place: _PoolPlace, why: str, now_s: float) -> PoolAnswer | None:
        """A recogniser is gone; what becomes of what it was at."""
        self._places.remove(place)
        place.worker.kill()
        self.counts["lost"] += 1
        self._news.lost(place.number, why)
        request = place.request
        if request is None:
            return None
        request.losses += 1
        if request.losses < TRIES:
            self._queue.put_back(request)
            return None
        return self._answered(request, "failed", f"{TRIES} recognisers died of it, the last one: {why}")

    def _keep_number(self, now_s: float) -> None:
        """As many recognisers as are wanted."""
        self._wanted += self._scale.change(now_s, self._wanted, self.load(now_s))
        while len(self._places) < self._wanted and now_s >= self._start_s:
            self._places.append(_PoolPlace(next(self._numbers), self._start(), now_s))
        idle = [place for place in self._places if place.idle]
        for place in idle[: max(0, len(self._places) - self._wanted)]:
            self._places.remove(place)
            place.worker.end()
            self._news.ended(place.number)
