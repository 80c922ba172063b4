"""Perception as one object: sound and pictures in, the utterances of the conversation out.

It composes the cores: where utterances begin and end, what is analysed next, what is given up when the machine does not
keep up, and who said what in the order of the conversation. The worker calls it with a thread of its own for the
analyses, replay in one process with `INLINE`, so both run the very same cores.
The rule of this file: no I/O and no engine; two clocks are handed in, that of the session and that of the host, on
which people wait.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from erc_live.live.capture.sound_check import level_db
from erc_live.live.perception.conversation import Conversation
from erc_live.live.perception.endpointing import Endpointer
from erc_live.live.perception.load_shedding import Budget, Level, LoadShedder
from erc_live.live.perception.scheduler import Scheduler
from erc_live.live.requests import Analysis, Cue, Request, RequestKind
from erc_live.streams.messages import AudioChunk, Gap, Overload, Relabel, SourceEnd, UtteranceFeatures, VideoFrame

# Loudest window, dBFS. Speech that is turned down (a telephone call, a speech, synthetic voices) loses its first
# utterance to the detector between -46 and -64 dB.
QUIET_DB = -45.0

CROWDED = 8  # closed utterances that wait for words


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
        account: "Account",
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

    @property
    def crowded(self) -> bool:
        """Whether so many utterances wait for words that a recording should wait, too."""
        return self._scheduler.waiting >= CROWDED

    @property
    def since_ns(self) -> dict[str, int]:
        """Of each microphone, what ended before is worked off: who takes this one's place begins there."""
        return self._endpointer.since_ns

    def running_s(self, host_ns: int) -> float:
        """For how long the analysis that runs has been running, in s of the host; 0 without one."""
        return self._scheduler.running_s(host_ns)

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

    def poll(
        self, now_ns: int, host_ns: int = 0, behind_s: float = 0.0
    ) -> Iterator[UtteranceFeatures | Relabel | Overload]:
        """What is ready at `now_ns` of the session, in order; an error of an engine is raised here. `behind_s`: for how
        long messages have waited for who feeds this.
        """
        for answer in self._scheduler.answers(host_ns):
            self._endpointer.accept(answer)
        for analysis in self._endpointer.poll(now_ns):
            yield from self._conversation.describe(analysis)
            self.account.answer(analysis)
        if change := self._shedder.observe(max(self._scheduler.waiting_s(host_ns), behind_s), host_ns):
            yield structs.replace(change, t_ns=now_ns)


@dataclass
class _Delivery:
    """What came from one microphone. `speaker`: whose it is, None if nobody's or several people's."""

    speaker: str | None
    covered_ns: int | None = None
    sound_s: float = 0.0
    loudest_db: float | None = None  # None: nothing but zeros, or one constant value
    damage: str = ""
    stopped: bool = False


class Account:
    """What perception took in and has not given on yet; and, at the end, why there is nothing to show.

    A session that ends with no utterance, or a transcript of which nothing was used, looks like a program that does not
    work, though mostly it is a muted microphone or the wrong file. So who can know says it, in one line.

    `take` what comes in, `ask` what is to be analysed, `answer` what was released: in the order in which it happens.

    `microphones`: the name of each, and of the person it belongs to. `start_ns`: when the media begin.
    """

    def __init__(self, microphones: Mapping[str, str | None], start_ns: int = 0) -> None:
        self._deliveries = {name: _Delivery(speaker) for name, speaker in microphones.items()}
        self._start_ns = start_ns
        self._open: dict[str, Request] = {}  # by utterance: being said, or closed and not released
        self._closed = 0

    def take(self, message: object) -> None:
        """A message of a source, whatever it is."""
        if not isinstance(message, AudioChunk | SourceEnd) or message.source not in self._deliveries:
            return
        microphone = self._deliveries[message.source]
        if isinstance(message, SourceEnd):
            microphone.damage = message.reason if message.damaged else ""
            microphone.stopped = message.reason == "stopped"
            return
        microphone.covered_ns = message.t_end_ns
        microphone.sound_s += (message.t_end_ns - message.t_ns) / 1e9
        if len(message.pcm) and message.pcm.min() != message.pcm.max():
            microphone.loudest_db = max(level_db(message.pcm), microphone.loudest_db or -100.0)

    def ask(self, requests: Iterable[Request]) -> None:
        """What perception wants to be analysed: of each microphone, the newest is what is being said there now."""
        for request in requests:
            for utterance, other in [*self._open.items()]:
                if other.source == request.source and other.kind != RequestKind.FINAL:
                    del self._open[utterance]
            self._open[request.utterance] = request
            self._closed += request.kind == RequestKind.FINAL

    def answer(self, analysis: Analysis) -> None:
        """An utterance that is given on; a draft changes nothing."""
        if analysis.request.kind == RequestKind.FINAL:
            self._open.pop(analysis.request.utterance, None)

    @property
    def waiting(self) -> int:
        """Utterances that are being said, or closed, and not given on."""
        return len(self._open)

    @property
    def closed(self) -> int:
        """Utterances that have closed in all."""
        return self._closed

    def note(self, unused: Sequence[Cue] = (), cues: int = 0) -> str:
        """Why there was no utterance, and what of a transcript of so many cues was never used; "" if all is well."""
        silence = ""
        if not self._closed:
            silence = "no utterance: " + ", ".join(f"{name} {self._why(m)}" for name, m in self._deliveries.items())
        leftover = self._leftover(unused)
        reasons = ", ".join(f"{count} {why}" for why, count in leftover.items())
        told = f"{leftover.total()} of {cues} cues of the transcript were never used ({reasons})" if leftover else ""
        return "; ".join(part for part in (silence, told) if part)

    def _why(self, microphone: _Delivery) -> str:
        ended = f", and it ended early: {microphone.damage}" if microphone.damage else ""
        if microphone.covered_ns is None:
            return f"delivered no sound{ended}"
        loudest_db, sound = microphone.loudest_db, f"{microphone.sound_s:.1f} s of sound"
        if loudest_db is None:
            return f"delivered {sound} that is all zero{ended}"
        if loudest_db < QUIET_DB:
            return f"is too quiet ({loudest_db:.0f} dB at the loudest of {sound}): raise its level{ended}"
        own = " of its own" if len(self._deliveries) > 1 else ""  # crosstalk is not
        return f"heard no speech{own} in {sound} ({loudest_db:.0f} dB at the loudest){ended}"

    def _leftover(self, unused: Sequence[Cue]) -> Counter[str]:
        """Why cues were not used, and how many. What lies beyond the point at which somebody stopped is no loss."""
        heard = [m.covered_ns for m in self._deliveries.values() if m.covered_ns is not None]
        end_s = (max(heard) - self._start_ns) / 1e9 if heard else 0.0
        stopped = any(m.stopped for m in self._deliveries.values())
        people = {m.speaker for m in self._deliveries.values()}
        reasons: Counter[str] = Counter()
        for cue in unused:
            if cue.speaker is not None and None not in people and cue.speaker not in people:
                reasons[f"of {cue.speaker}, whom no microphone belongs to"] += 1
            elif cue.source is not None and cue.source not in self._deliveries:
                reasons[f"of {cue.source}, which is not heard here"] += 1
            elif cue.start_s < end_s:
                reasons["where no speech was heard"] += 1
            elif not stopped:
                reasons[f"after the end of the sound at {end_s:.1f} s"] += 1
        return reasons
