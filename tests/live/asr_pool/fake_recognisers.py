"""Recognisers of a pool without processes, in virtual time."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from erc_live.live.asr_pool.pool_scale import PoolScale
from erc_live.live.asr_pool.recogniser_pool import (
    LoadedRecogniser,
    PoolAnswer,
    PoolNews,
    RecogniserLost,
    RecogniserPool,
)
from erc_live.streams.recognition_channel import AskedRecognition, RecognitionRequest


@dataclass
class FakeRecogniser:
    """Does what it is told to by the test."""

    number: int
    loaded: Future = field(default_factory=Future)
    alive: bool = True
    words: Future = field(default_factory=Future)
    sound: bytes = b""
    ended: bool = False
    killed: bool = False

    def transcribe(self, sound, partial):
        self.sound, self.words = sound, Future()
        return self.words

    def load(self, name="whisper"):
        self.loaded.set_result(LoadedRecogniser(self.number, name, quick=False))

    def answer(self):
        self.words.set_result(b"words of " + self.sound)

    def die(self, future=None):
        self.alive = False
        (future or self.words).set_exception(RecogniserLost("SIGKILL"))

    def end(self):
        self.ended = True

    def kill(self):
        self.killed = True


class FakePool:
    """A `RecogniserPool` of these. `lines`: what people are told."""

    def __init__(self, least=1, most=1, loaded=True):
        self.recognisers, self.lines, self.now_s = [], [], 0.0
        news = PoolNews(
            opened=lambda number, loaded: self.lines.append(f"opened {number}"),
            lost=lambda number, why: self.lines.append(f"lost {number}: {why}"),
            ended=lambda number: self.lines.append(f"ended {number}"),
        )
        self.core = RecogniserPool(self._start, PoolScale(least, most), news)
        self.advance()
        if loaded:
            self.load()

    def _start(self):
        self.recognisers.append(FakeRecogniser(len(self.recognisers)))
        return self.recognisers[-1]

    def load(self):
        for recogniser in self.recognisers:
            if not recogniser.loaded.done():
                recogniser.load()
        self.advance()

    def ask(self, number, sender=b"a", ask="words", **fields) -> PoolAnswer | None:
        request = RecognitionRequest(ask=ask, number=number, **fields)
        return self.core.take(AskedRecognition(sender, request, str(number).encode()), self.now_s)

    def advance(self, seconds=0.0) -> list[tuple[int, str]]:
        """Number and verdict of what is answered after so many seconds."""
        self.now_s += seconds
        return [(answer.reply.number, answer.reply.verdict) for answer in self.core.advance(self.now_s)]

    def answered(self, recogniser) -> list[tuple[int, str]]:
        self.recognisers[recogniser].answer()
        return self.advance()
