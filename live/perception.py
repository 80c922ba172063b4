"""From chunks of sound to finished utterances: the sans-I/O core of the perception worker.

The core never calls a slow engine. Feeding a message may return requests ("analyse this stretch of speech"); whoever
runs the core answers them with `accept`, now or later and in any order; `poll` gives the utterances that are ready. So
the same core serves the live worker, replay at maximum speed and the tests, which decide when, late or never, an answer
arrives.

Order is by media time, not by arrival: an utterance is released when no microphone can still close an earlier one.
That makes the order of events, and so the state of the dialogue, the same live and in replay.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from erc_live.live.engines.transcribers import Speech, Transcript
from erc_live.streams.align import sample_frames
from erc_live.streams.messages import (
    CHUNK_S,
    CHUNK_SAMPLES,
    AudioChunk,
    ClosedBy,
    Gap,
    SourceEnd,
    UtteranceFeatures,
    UtteranceSpan,
    VideoFrame,
    samples_to_ns,
)
from erc_live.streams.segmenter import Segmenter, SegmenterConfig

DIALOGUE = "main"  # one conversation per session
STALLED_NS = 1_000_000_000  # of the host: a microphone that sends nothing for longer no longer holds back the others
JITTER_NS = 1_000_000  # chunks this close to where they are expected are continuous


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
class Request:
    """A closed utterance that waits for its words and features. `frames` are the pictures sampled from it."""

    utterance: str
    source: str
    t_start_ns: int
    t_end_ns: int
    t_closed_ns: int
    closed_by: ClosedBy
    speech: Speech
    frames: tuple[VideoFrame, ...]


@dataclass(frozen=True)
class Analysis:
    """The answer to a request: all but the text vector, for that depends on what is released before. Shapes as in
    `UtteranceFeatures`; None is a missing modality.
    """

    request: Request
    transcript: Transcript
    engine: str
    t_text_ns: int
    audio_vec: np.ndarray | None
    visual_vec: np.ndarray | None
    face_coverage: float | None
    encoders: str
    t_features_ns: int


class Perception:
    """Feed messages and answers; get requests and finished utterances, in the order of media time.

    `start_ns` is the session time at which the media begins: utterance ids and sidecar times count from it. `speed`:
    seconds of the session per second of the host, on which microphones stall.
    """

    def __init__(
        self,
        microphones: Sequence[Microphone],
        detector: Callable[[], SpeechDetector],
        segmenter: SegmenterConfig,
        max_frames: int,
        start_ns: int,
        speed: float = 1.0,
    ) -> None:
        self._ears = {m.source: _Ear(m, detector(), segmenter, start_ns) for m in microphones}
        self._frames: deque[VideoFrame] = deque()
        self._frames_kept_ns = int((segmenter.max_utterance_s + 5.0) * 1e9)
        self._max_frames = max_frames
        self._start_ns = start_ns
        self._stalled_ns = STALLED_NS * speed
        self._waiting: dict[str, Request] = {}
        self._answers: dict[str, Analysis] = {}

    def feed(self, message: AudioChunk | VideoFrame | Gap | SourceEnd) -> list[Request]:
        """Take one message of a source; messages of sources that are not ours are ignored."""
        if isinstance(message, VideoFrame):
            self._keep(message)
            return []
        ear = self._ears.get(message.source)
        if ear is None:
            return []
        if isinstance(message, AudioChunk):
            return [self._request(ear, heard) for heard in ear.hear(message)]
        last = ear.flush()
        ear.ended = ear.ended or isinstance(message, SourceEnd)
        return [self._request(ear, heard) for heard in last]

    def accept(self, answer: Analysis) -> None:
        """Take the answer to a request."""
        self._answers[answer.request.utterance] = answer

    def poll(self, now_ns: int) -> list[UtteranceFeatures]:
        """The utterances that are analysed and that no earlier one can still precede."""
        ready: list[UtteranceFeatures] = []
        for request in sorted(self._waiting.values(), key=lambda r: (r.t_closed_ns, r.source)):
            if request.utterance not in self._answers or self._may_be_preceded(request, now_ns):
                break
            del self._waiting[request.utterance]
            ready.append(self._finish(self._answers.pop(request.utterance)))
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

    def _request(self, ear: "_Ear", heard: "_Heard") -> Request:
        source = ear.microphone.source
        speech = Speech(
            pcm=heard.pcm,
            source=source,
            speaker_name=ear.microphone.speaker,
            start_s=(heard.t_start_ns - self._start_ns) / 1e9,
            end_s=(heard.t_end_ns - self._start_ns) / 1e9,
        )
        request = Request(
            utterance=f"{source}:{(heard.t_start_ns - self._start_ns) // 1_000_000}",
            source=source,
            t_start_ns=heard.t_start_ns,
            t_end_ns=heard.t_end_ns,
            t_closed_ns=heard.t_closed_ns,
            closed_by=heard.closed_by,
            speech=speech,
            frames=tuple(sample_frames(self._frames, heard.t_start_ns, heard.t_end_ns, self._max_frames)),
        )
        self._waiting[request.utterance] = request
        return request

    def _may_be_preceded(self, request: Request, now_ns: int) -> bool:
        return any(
            not ear.ended and ear.heard_ns < request.t_closed_ns and now_ns - ear.heard_ns < self._stalled_ns
            for ear in self._ears.values()
        )

    def _finish(self, answer: Analysis) -> UtteranceFeatures:
        request = answer.request
        return UtteranceFeatures(
            dialogue=DIALOGUE,
            utterance=request.utterance,
            source=request.source,
            speaker_name=request.speech.speaker_name or answer.transcript.speaker,
            text=answer.transcript.text,
            engine=answer.engine,
            t_start_ns=request.t_start_ns,
            t_end_ns=request.t_end_ns,
            t_closed_ns=request.t_closed_ns,
            closed_by=request.closed_by,
            t_text_ns=answer.t_text_ns,
            t_features_ns=answer.t_features_ns,
            audio_vec=answer.audio_vec,
            visual_vec=answer.visual_vec,
            face_coverage=answer.face_coverage,
            encoders=answer.encoders,
        )


@dataclass(frozen=True)
class _Heard:
    """A closed utterance with its samples, in session time."""

    t_start_ns: int
    t_end_ns: int
    t_closed_ns: int
    closed_by: ClosedBy
    pcm: np.ndarray


class _Ear:
    """One microphone: cuts its sound into detector windows and remembers what an utterance may still need."""

    def __init__(
        self, microphone: Microphone, detector: SpeechDetector, config: SegmenterConfig, start_ns: int
    ) -> None:
        self.microphone = microphone
        self.heard_ns = start_ns
        self.ended = False
        self._detector = detector
        self._config = config
        self._anchor(None)

    def _anchor(self, origin_ns: int | None) -> None:
        keep_s = self._config.max_utterance_s + self._config.pre_roll_s + self._config.end_silence_s + 1.0
        self._windows: deque[np.ndarray] = deque(maxlen=int(keep_s / CHUNK_S))
        self._rest = np.empty(0, np.int16)
        self._origin_ns = origin_ns
        self._received = 0  # samples since the origin
        self._segmenter = Segmenter(self._config)
        self._detector.reset()

    def hear(self, chunk: AudioChunk) -> list[_Heard]:
        """Utterances that this chunk closes."""
        heard: list[_Heard] = []
        if self._origin_ns is not None and abs(chunk.t_ns - self._time_ns(self._received)) > JITTER_NS:
            heard = self.flush()  # something is missing: what was said before it is an utterance of its own
        if self._origin_ns is None:
            self._anchor(chunk.t_ns)
        self._received += len(chunk.pcm)
        self.heard_ns = max(self.heard_ns, chunk.t_end_ns)
        samples = np.concatenate([self._rest, chunk.pcm])
        whole = len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES
        self._rest = samples[whole:]
        for window in samples[:whole].reshape(-1, CHUNK_SAMPLES):
            self._windows.append(window)
            if span := self._segmenter.feed(self._detector(window)):
                heard.append(self._heard(span))
        return heard

    def flush(self) -> list[_Heard]:
        """Close what is open; the next chunk, whenever it comes, starts anew."""
        span = self._segmenter.flush()
        heard = [self._heard(span)] if span else []
        self._anchor(None)
        return heard

    def _time_ns(self, sample: int) -> int:
        assert self._origin_ns is not None
        return self._origin_ns + samples_to_ns(sample)

    def _heard(self, span: UtteranceSpan) -> _Heard:
        kept = np.concatenate(self._windows)
        first = self._segmenter.position - len(kept)  # sample number of kept[0]
        return _Heard(
            t_start_ns=self._time_ns(span.start),
            t_end_ns=self._time_ns(span.end),
            t_closed_ns=self._time_ns(span.closed),
            closed_by=span.closed_by,
            pcm=kept[max(span.start - first, 0) : span.end - first],
        )
