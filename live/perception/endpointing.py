"""From chunks of sound to analysed utterances: the sans-I/O core of the perception worker.

The core never calls a slow engine. Feeding a message may return requests ("analyse this stretch of speech"); whoever
runs the core answers them with `accept`, now or later and in any order; `poll` gives what is ready. So the same core
serves the live worker, replay at maximum speed and the tests, which decide when, late or never, an answer arrives.

There are three kinds of request. A `final` one is a closed utterance. An `early` one is the same stretch, guessed as
soon as a short silence is heard: if the speaker stays silent, its answer will be that of the final one, and the wait
for the words hides in the wait for the silence. A `draft` is an utterance that is still being said. Early ones and
drafts may go unanswered, and change nothing that is final.

Order is by media time, not by arrival: an utterance is released when no microphone can still close an earlier one.
That makes the order of events, and so the state of the dialogue, the same live and in replay. What a microphone hears
of the people at the others is no speech of its own (`crosstalk.py`).
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from erc_live.live.asr.transcribers import Speech, Transcript
from erc_live.live.perception.crosstalk import Bleed
from erc_live.live.perception.mic_alignment import InStep
from erc_live.live.vision.expression import Appearance
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

STALLED_NS = 1_000_000_000  # of the host: a microphone that sends nothing for longer no longer holds back the others

Kind = Literal["final", "early", "draft"]


class SpeechDetector(Protocol):
    """Probability of speech in successive windows of `CHUNK_SAMPLES` int16 samples."""

    def __call__(self, window: np.ndarray) -> float: ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class Microphone:
    """A source of speech. `speaker` names the one person it belongs to; None: nobody, or several people."""

    source: str
    speaker: str | None = None


@dataclass(frozen=True)
class Timing:
    """When the running utterance is looked at: after `early_s` of silence, and every `draft_s` of it (0: never)."""

    early_s: float = 0.1
    draft_s: float = 1.0


@dataclass(frozen=True)
class Request:
    """A stretch of speech that waits for its words and features. `frames` are the pictures sampled from it.

    `revision`: how many drafts of the utterance went before. A draft ends, and is "closed", where it was listened to.
    """

    kind: Kind
    utterance: str
    revision: int
    source: str
    t_start_ns: int
    t_end_ns: int
    t_closed_ns: int
    closed_by: ClosedBy
    speech: Speech
    frames: tuple[VideoFrame, ...]


@dataclass(frozen=True)
class Part:
    """What one voice said in a stretch of speech: all but the text vector, for that depends on what was said before.

    `face_coverage`: the share of the pictures that show any face, None without pictures. `embedding`: what tells voices
    apart, None where that was not asked for or could not be told. Shapes: audio_vec as in `UtteranceFeatures`.
    """

    t_start_ns: int
    t_end_ns: int
    transcript: Transcript
    audio_vec: np.ndarray | None
    appearances: tuple[Appearance, ...] = ()
    face_coverage: float | None = None
    embedding: np.ndarray | None = None


@dataclass(frozen=True)
class Analysis:
    """The answer to a request, one part for each voice, in the order of time; none where nothing was said after all.

    `skipped`: the words of a closed utterance were given up because the machine does not keep up.
    """

    request: Request
    parts: tuple[Part, ...]
    engine: str
    encoders: str
    t_text_ns: int
    t_features_ns: int
    skipped: bool = False


@dataclass(frozen=True)
class Settings:
    """How the core listens and looks. `max_frames`: pictures of an utterance at most."""

    segmenter: SegmenterConfig
    timing: Timing
    max_frames: int


class Perception:
    """Feed messages and answers; get requests and analysed utterances, in the order of media time.

    `start_ns` is the session time at which the media begins: utterance ids and sidecar times count from it. `speed`:
    seconds of the session per second of the host, on which microphones stall.
    """

    def __init__(
        self,
        microphones: Sequence[Microphone],
        detector: Callable[[], SpeechDetector],
        settings: Settings,
        start_ns: int,
        speed: float = 1.0,
    ) -> None:
        sources = [m.source for m in microphones]
        self._stalled_ns = STALLED_NS * speed
        self._in_step = InStep(sources, start_ns, self._stalled_ns)
        self._bleed = Bleed(sources)
        self._ears = {m.source: _Ear(m, detector(), settings, start_ns) for m in microphones}
        self._frames: deque[VideoFrame] = deque()
        self._frames_kept_ns = int((settings.segmenter.max_utterance_s + 5.0) * 1e9)
        self._max_frames = settings.max_frames
        self._start_ns = start_ns
        self._waiting: dict[str, Request] = {}  # final requests by utterance
        self._answers: dict[str, Analysis] = {}
        self._drafts: list[Analysis] = []

    def feed(self, message: AudioChunk | VideoFrame | Gap | SourceEnd) -> list[Request]:
        """Take one message of a source; messages of sources that are not ours are ignored."""
        if isinstance(message, VideoFrame):
            self._keep(message)
            return []
        if message.source not in self._ears:
            return []
        return [request for due in self._in_step.take(message) for request in self._listen(due)]

    def accept(self, answer: Analysis) -> None:
        """Take the answer to a final request, or to a draft, which is worth something while the utterance goes on."""
        request = answer.request
        if request.kind == "final":
            self._answers[request.utterance] = answer
        elif self._ears[request.source].utterance == request.utterance:
            self._drafts.append(answer)

    def poll(self, now_ns: int) -> list[Analysis]:
        """Drafts that came in, and the utterances that are analysed and that no earlier one can still precede."""
        ready, self._drafts = self._drafts, []
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
        return not self._waiting and all(ear.ended for ear in self._ears.values())

    def _keep(self, frame: VideoFrame) -> None:
        self._frames.append(frame)
        while self._frames[0].t_ns < frame.t_ns - self._frames_kept_ns:
            self._frames.popleft()

    def _listen(self, message: AudioChunk | Gap | SourceEnd) -> list[Request]:
        ear = self._ears[message.source]
        if isinstance(message, AudioChunk):
            return [self._request(ear, heard) for heard in ear.hear(message, self._bleed)]
        last = ear.flush()
        if isinstance(message, Gap):  # nothing of before its end will come any more
            ear.heard_ns = max(ear.heard_ns, message.t_end_ns)
        ear.ended = ear.ended or isinstance(message, SourceEnd)
        return [self._request(ear, heard) for heard in last]

    def _request(self, ear: "_Ear", heard: "_Heard") -> Request:
        source = ear.microphone.source
        speech = Speech(
            pcm=heard.pcm,
            source=source,
            speaker_name=ear.microphone.speaker,
            start_s=(heard.t_start_ns - self._start_ns) / 1e9,
            end_s=(heard.t_end_ns - self._start_ns) / 1e9,
            draft=heard.kind == "draft",
        )
        request = Request(
            kind=heard.kind,
            utterance=utterance_id(source, heard.t_start_ns - self._start_ns),
            revision=heard.revision,
            source=source,
            t_start_ns=heard.t_start_ns,
            t_end_ns=heard.t_end_ns,
            t_closed_ns=heard.t_closed_ns,
            closed_by=heard.closed_by,
            speech=speech,
            frames=tuple(sample_frames(self._frames, heard.t_start_ns, heard.t_end_ns, self._max_frames)),
        )
        if heard.kind == "final":
            ear.utterance = None
            self._waiting[request.utterance] = request
        else:
            ear.utterance = request.utterance
        return request

    def _may_be_preceded(self, request: Request, now_ns: int) -> bool:
        return any(
            not ear.ended and ear.heard_ns < request.t_closed_ns and now_ns - ear.heard_ns < self._stalled_ns
            for ear in self._ears.values()
        )


def utterance_id(source: str, offset_ns: int) -> str:
    """The name of what begins on a source at this offset from the start of the media."""
    return f"{source}:{offset_ns // 1_000_000}"


@dataclass(frozen=True)
class _Heard:
    """A stretch of speech with its samples, in session time."""

    kind: Kind
    revision: int
    t_start_ns: int
    t_end_ns: int
    t_closed_ns: int
    closed_by: ClosedBy
    pcm: np.ndarray


class _Ear:
    """One microphone: finds the utterances in its windows and remembers what one may still need."""

    def __init__(self, microphone: Microphone, detector: SpeechDetector, settings: Settings, start_ns: int) -> None:
        self.microphone = microphone
        self.heard_ns = start_ns
        self.ended = False
        self.utterance: str | None  # the one that is being said, once there was a request about it
        self._detector = detector
        self._config = settings.segmenter
        self._early_samples = seconds_to_samples(settings.timing.early_s)
        self._draft_samples = seconds_to_samples(settings.timing.draft_s)
        self._segmenter = Segmenter(settings.segmenter)  # one for all: it learns how the speaker pauses
        self._anchor(None)

    def _anchor(self, origin_ns: int | None) -> None:
        keep_s = self._config.max_utterance_s + self._config.pre_roll_s + self._config.end_silence_s + 1.0
        self._windows: deque[np.ndarray] = deque(maxlen=int(keep_s / CHUNK_S))
        self._origin_ns = origin_ns
        self._segmenter.reset(0)
        self._guessed: tuple[int, int] | None = None  # start and end of the last early request
        self._drafted = (0, 0)  # start of the utterance that is drafted, and how often it was
        self.utterance = None
        self._detector.reset()

    def hear(self, window: AudioChunk, bleed: Bleed) -> list[_Heard]:
        """What this window closes, and what is to be looked at before."""
        heard: list[_Heard] = []
        if self._origin_ns is not None and window.t_ns != self._time_ns(self._segmenter.position):
            heard = self.flush()  # something is missing: what was said before it is an utterance of its own
        if self._origin_ns is None:
            self._anchor(window.t_ns)
        self.heard_ns = max(self.heard_ns, window.t_end_ns)
        self._windows.append(window.pcm)
        span = self._segmenter.feed(bleed.own(window, self._detector(window.pcm)))
        return heard + ([self._closed(span)] if span else self._running())

    def flush(self) -> list[_Heard]:
        """Close what is open; the next chunk, whenever it comes, starts anew."""
        span = self._segmenter.flush()
        heard = [self._closed(span)] if span else []
        self._anchor(None)
        return heard

    def _closed(self, span: UtteranceSpan) -> _Heard:
        drafts = self._drafts_of(span.start)
        return self._heard("final", drafts, (span.start, span.end, span.closed), span.closed_by)

    def _running(self) -> list[_Heard]:
        """What the window that was heard last gives reason to look at."""
        running = self._segmenter.running
        if running is None:
            return []
        position = self._segmenter.position
        drafts = self._drafts_of(running.start)
        if not running.quiet and self._draft_samples and position - running.start >= (drafts + 1) * self._draft_samples:
            self._drafted = (running.start, drafts + 1)
            return [self._heard("draft", drafts, (running.start, position, position), "flush")]
        guess = (running.start, running.end)
        if self._early_samples and running.quiet >= self._early_samples and guess != self._guessed:
            self._guessed = guess
            return [self._heard("early", drafts, (*guess, position), "silence")]
        return []

    def _drafts_of(self, start: int) -> int:
        return self._drafted[1] if self._drafted[0] == start else 0

    def _time_ns(self, sample: int) -> int:
        assert self._origin_ns is not None
        return self._origin_ns + samples_to_ns(sample)

    def _heard(self, kind: Kind, revision: int, span: tuple[int, int, int], closed_by: ClosedBy) -> _Heard:
        start, end, closed = span
        kept = np.concatenate(self._windows)
        first = self._segmenter.position - len(kept)  # sample number of kept[0]
        return _Heard(
            kind=kind,
            revision=revision,
            t_start_ns=self._time_ns(start),
            t_end_ns=self._time_ns(end),
            t_closed_ns=self._time_ns(closed),
            closed_by=closed_by,
            pcm=kept[max(start - first, 0) : end - first],
        )
