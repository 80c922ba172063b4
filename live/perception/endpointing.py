"""From chunks of sound to analysed utterances: where utterances begin and end, and in which order they are released.

The core never calls a slow engine. Feeding a message may return requests ("analyse this stretch of speech"); whoever
runs the core answers them with `accept`, now or later and in any order; `poll` gives what is ready. So the same core
serves the live worker, replay at maximum speed and the tests, which decide when, late or never, an answer arrives.

Order is by media time, not by arrival: an utterance is released when no microphone can still close an earlier one.
That makes the order of events, and so the state of the dialogue, the same live and in replay. What a microphone hears
of the people at the others is no speech of its own (`crosstalk.py`). The rule of this file: no I/O, no engine.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from erc_live.live.perception.crosstalk import Crosstalk
from erc_live.live.perception.mic_alignment import MicAlignment
from erc_live.live.requests import Analysis, Request, RequestKind, Speech
from erc_live.streams.align import sample_frames
from erc_live.streams.messages import (
    CHUNK_S,
    AudioChunk,
    ClosedBy,
    Gap,
    SourceEnd,
    UtteranceSpan,
    VideoFrame,
    samples_to_ns,
    seconds_to_samples,
)
from erc_live.streams.segmenter import Segmenter, SegmenterConfig

STALLED_NS = 1_000_000_000  # a device that sends nothing for longer no longer holds back the others
CONTEXT_NS = 500_000_000  # before what is not worked off: for the speech detector to know where it is


class SpeechDetector(Protocol):
    """Probability of speech in successive windows of `CHUNK_SAMPLES` int16 samples."""

    def __call__(self, window: np.ndarray) -> float: ...

    def reset(self) -> None: ...


class TurnDetector(Protocol):
    """Probability that somebody has finished, asked in a pause: the sound of a microphone up to now, int16."""

    def __call__(self, pcm: np.ndarray) -> float: ...


@dataclass(frozen=True)
class Settings:
    """How the core listens and looks. `max_frames`: pictures of an utterance at most. `speculative_s`: of silence,
    after which the running utterance is guessed to be over; `partial_every_s`: of speech, after which it is looked at
    again. 0: never.
    """

    segmenter: SegmenterConfig
    max_frames: int
    speculative_s: float = 0.1
    partial_every_s: float = 1.0


class Endpointer:
    """Feed messages and answers; get requests and analysed utterances, in the order of media time.

    `microphones`: the name of each, and of the one person it belongs to; None: nobody, or several people. `start_ns` is
    the session time at which the media begins: utterance ids and sidecar times count from it. `stalled_ns`: how far a
    microphone may be behind before the others go on without it; recordings cannot stall, and are waited for. `turns`:
    None where pauses alone decide. It is asked within `feed`, so a pause ends at the same sample however fast it
    answers.
    """

    def __init__(
        self,
        microphones: Mapping[str, str | None],
        detector: Callable[[], SpeechDetector],
        settings: Settings,
        start_ns: int,
        stalled_ns: float = math.inf,
        turns: TurnDetector | None = None,
    ) -> None:
        self._stalled_ns = stalled_ns
        self._alignment = MicAlignment([*microphones], start_ns, self._stalled_ns)
        self._crosstalk = Crosstalk([*microphones])
        self._speakers = dict(microphones)
        self._microphones = {
            source: _MicrophoneEndpointer(detector(), turns, settings, start_ns) for source in microphones
        }
        self._frames: deque[VideoFrame] = deque()
        self._frames_ns = int((settings.segmenter.max_utterance_s + 5.0) * 1e9)
        self._max_frames = settings.max_frames
        self._start_ns = start_ns
        self._waiting: dict[str, Request] = {}  # final requests by utterance
        self._answers: dict[str, Analysis] = {}
        self._partial: list[Analysis] = []

    def go_on(self, since_ns: Mapping[str, int]) -> None:
        """Begin each microphone at its time, where another process had worked off what was before."""
        for source, t_ns in since_ns.items():
            if source in self._microphones:
                self._microphones[source].covered_ns = self._microphones[source].closed_ns = t_ns

    def feed(self, message: AudioChunk | VideoFrame | Gap | SourceEnd) -> list[Request]:
        """Take one message of a source; messages of sources that are not ours are ignored."""
        if isinstance(message, VideoFrame):
            self._remember(message)
            return []
        if message.source not in self._microphones:
            return []
        return [request for due in self._alignment.take(message) for request in self._listen(due)]

    def accept(self, answer: Analysis) -> None:
        """Take the answer to a final request, or to a partial one, which is worth something while the utterance goes
        on.
        """
        request = answer.request
        if request.kind == RequestKind.FINAL:
            self._answers[request.utterance] = answer
        elif self._microphones[request.source].utterance == request.utterance:
            self._partial.append(answer)

    def poll(self, now_ns: int) -> list[Analysis]:
        """Partial answers that came in, and the utterances that are analysed and that no earlier one can still
        precede.
        """
        ready, self._partial = self._partial, []
        for request in sorted(self._waiting.values(), key=lambda r: (r.t_closed_ns, r.source)):
            if request.utterance not in self._answers or self._may_be_preceded(request, now_ns):
                break
            del self._waiting[request.utterance]
            ready.append(self._answers.pop(request.utterance))
        return ready

    def lag_s(self, now_ns: int) -> float:
        """How long the oldest unreleased utterance has waited, in s."""
        return max((now_ns - r.t_closed_ns for r in self._waiting.values()), default=0) / 1e9

    @property
    def ended(self) -> bool:
        """Whether every microphone has ended and every utterance was released."""
        return not self._waiting and all(microphone.ended for microphone in self._microphones.values())

    @property
    def since_ns(self) -> dict[str, int]:
        """Of each microphone, before what time everything was released: who begins anew there loses nothing."""
        since = {source: microphone.pending_ns for source, microphone in self._microphones.items()}
        for request in self._waiting.values():
            since[request.source] = min(since[request.source], request.t_start_ns)
        return since

    def _remember(self, frame: VideoFrame) -> None:
        self._frames.append(frame)
        while self._frames[0].t_ns < frame.t_ns - self._frames_ns:
            self._frames.popleft()

    def _listen(self, message: AudioChunk | Gap | SourceEnd) -> list[Request]:
        microphone = self._microphones[message.source]
        if isinstance(message, AudioChunk):
            spans = microphone.feed(message, self._crosstalk)
        else:
            spans = microphone.flush()
            if isinstance(message, Gap):  # nothing of before its end will come any more
                microphone.covered_ns = max(microphone.covered_ns, message.t_end_ns)
            microphone.ended = microphone.ended or isinstance(message, SourceEnd)
        return [self._request(message.source, microphone, span) for span in spans]

    def _request(self, source: str, microphone: "_MicrophoneEndpointer", span: "_SpeechSpan") -> Request:
        speech = Speech(
            pcm=span.pcm,
            source=source,
            speaker_name=self._speakers[source],
            start_s=(span.t_start_ns - self._start_ns) / 1e9,
            end_s=(span.t_end_ns - self._start_ns) / 1e9,
            partial=span.kind == RequestKind.PARTIAL,
        )
        request = Request(
            kind=span.kind,
            utterance=utterance_id(source, span.t_start_ns - self._start_ns),
            revision=span.revision,
            source=source,
            t_start_ns=span.t_start_ns,
            t_end_ns=span.t_end_ns,
            t_closed_ns=span.t_closed_ns,
            closed_by=span.closed_by,
            speech=speech,
            frames=tuple(sample_frames(self._frames, span.t_start_ns, span.t_end_ns, self._max_frames)),
        )
        if span.kind == RequestKind.FINAL:
            microphone.utterance = None
            self._waiting[request.utterance] = request
        else:
            microphone.utterance = request.utterance
        return request

    def _may_be_preceded(self, request: Request, now_ns: int) -> bool:
        return any(
            not microphone.ended
            and microphone.covered_ns < request.t_closed_ns
            and now_ns - microphone.covered_ns < self._stalled_ns
            for microphone in self._microphones.values()
        )


def utterance_id(source: str, offset_ns: int) -> str:
    """The name of what begins on a source at this offset from the start of the media."""
    return f"{source}:{offset_ns // 1_000_000}"


@dataclass(frozen=True)
class _SpeechSpan:
    """A stretch of speech with its samples, in session time."""

    kind: RequestKind
    revision: int
    t_start_ns: int
    t_end_ns: int
    t_closed_ns: int
    closed_by: ClosedBy
    pcm: np.ndarray


class _MicrophoneEndpointer:
    """One microphone: finds the utterances in its windows and remembers what one may still need."""

    def __init__(self, detector: SpeechDetector, turns: TurnDetector | None, settings: Settings, start_ns: int) -> None:
        self.covered_ns = start_ns  # all sound of before has come
        self.closed_ns = start_ns  # all sound of before was given out
        self.ended = False
        self.utterance: str | None  # the one that goes on, once there was a request about it
        self._detector = detector
        self._turns = turns
        self._config = settings.segmenter
        self._speculative_samples = seconds_to_samples(settings.speculative_s)
        self._partial_samples = seconds_to_samples(settings.partial_every_s)
        self._segmenter = Segmenter(settings.segmenter)
        self._anchor(None)

    def _anchor(self, origin_ns: int | None) -> None:
        window_s = self._config.max_utterance_s + self._config.pre_roll_s + self._config.end_silence_s + 1.0
        self._windows: deque[np.ndarray] = deque(maxlen=int(window_s / CHUNK_S))
        self._origin_ns = origin_ns
        self._segmenter.reset(0)
        self._guess: tuple[int, int] | None = None  # start and end of the last speculative request
        self._partials = (0, 0)  # start of the utterance that goes on, and how many partial requests it had
        self.utterance = None
        self._detector.reset()

    @property
    def pending_ns(self) -> int:
        """Before this, all that was said was given out, and a little more that was not said."""
        if self._origin_ns is None:
            return max(self.closed_ns, self.covered_ns)
        silent = self._segmenter.pending == self._segmenter.position
        return max(self.closed_ns, self._time_ns(self._segmenter.pending) - silent * CONTEXT_NS)

    def feed(self, window: AudioChunk, crosstalk: Crosstalk) -> list[_SpeechSpan]:
        """What this window closes, and what is to be looked at before."""
        before: list[_SpeechSpan] = []
        if self._origin_ns is not None and window.t_ns != self._time_ns(self._segmenter.position):
            before = self.flush()  # something is missing: what was said before it is an utterance of its own
        if self._origin_ns is None:
            self._anchor(window.t_ns)
        self.covered_ns = max(self.covered_ns, window.t_end_ns)
        self._windows.append(window.pcm)
        span = self._segmenter.feed(crosstalk.own(window, self._detector(window.pcm)))
        if self._turns is not None and self._segmenter.in_question:
            self._segmenter.judge(self._turns(np.concatenate(self._windows)))
        return before + ([self._closed(span)] if span else self._running())

    def flush(self) -> list[_SpeechSpan]:
        """Close what is open; the next chunk, whenever it comes, starts anew."""
        span = self._segmenter.flush()
        spans = [self._closed(span)] if span else []
        self._anchor(None)
        return spans

    def _closed(self, span: UtteranceSpan) -> _SpeechSpan:
        revision = self._partials_of(span.start)
        self.closed_ns = self._time_ns(span.end)
        return self._speech(RequestKind.FINAL, revision, (span.start, span.end, span.closed), span.closed_by)

    def _running(self) -> list[_SpeechSpan]:
        """What the newest window gives reason to look at."""
        running = self._segmenter.running
        if running is None:
            return []
        position = self._segmenter.position
        partials = self._partials_of(running.start)
        due = self._partial_samples and position - running.start >= (partials + 1) * self._partial_samples
        if due and not running.quiet:
            self._partials = (running.start, partials + 1)
            return [self._speech(RequestKind.PARTIAL, partials, (running.start, position, position), "flush")]
        guess = (running.start, running.end)
        if self._speculative_samples and running.quiet >= self._speculative_samples and guess != self._guess:
            self._guess = guess
            return [self._speech(RequestKind.SPECULATIVE, partials, (*guess, position), "silence")]
        return []

    def _partials_of(self, start: int) -> int:
        return self._partials[1] if self._partials[0] == start else 0

    def _time_ns(self, sample: int) -> int:
        assert self._origin_ns is not None
        return self._origin_ns + samples_to_ns(sample)

    def _speech(self, kind: RequestKind, revision: int, span: tuple[int, int, int], closed_by: ClosedBy) -> _SpeechSpan:
        start, end, closed = span
        samples = np.concatenate(self._windows)
        first = self._segmenter.position - len(samples)  # sample number of samples[0]
        return _SpeechSpan(
            kind=kind,
            revision=revision,
            t_start_ns=self._time_ns(start),
            t_end_ns=self._time_ns(end),
            t_closed_ns=self._time_ns(closed),
            closed_by=closed_by,
            pcm=samples[max(start - first, 0) : end - first],
        )
