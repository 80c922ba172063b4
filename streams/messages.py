"""Every type that crosses a process or disk boundary.

The rule of this file: frozen, keyword-only, the unit in the field name, and no value but None means "absent".
Times (`*_ns`) are integer nanoseconds on the clock of the session (`clock.py`), taken at capture; derived messages
carry the times of what they were derived from, so every latency is a subtraction and no message stores a duration.

What people and rules add stands in `annotations.py`, what all messages are made of in `message_base.py`.
"""

from typing import Literal

import msgspec
import numpy as np

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.message_base import Bipolar, Count, Message, Probability, PublicMessage

SCHEMA = "erc.event/2"  # what came before is brought up to date by `migrations.py`
SAMPLE_RATE_HZ = 16_000
CHUNK_SAMPLES = 512  # one window of the speech detector
RELABEL_REACH = 100  # utterances that a `Relabel` reaches back at most
ORDINARY_ENDS = ("end of file", "end of recording", "stopped")  # reasons of a `SourceEnd`
SUPERVISOR = "supervisor"  # the `worker` of a status that speaks for the session, and not for a process of its own
CHUNK_S = CHUNK_SAMPLES / SAMPLE_RATE_HZ  # 0.032

Kind = Literal["audio", "video"]
Modality = Literal["text", "audio", "visual"]
ClosedBy = Literal["silence", "limit", "flush", "voice"]  # "voice": another one goes on
Command = Literal["pause", "resume", "stop"]
Phase = Literal["starting", "ready", "running", "done", "failed"]


class AudioChunk(Message, frozen=True, kw_only=True):
    """Mono speech samples of one source; `t_ns` is the time of the first sample.

    Shapes: pcm (n,) int16 at `SAMPLE_RATE_HZ`, n = `CHUNK_SAMPLES` from capture (the last of a file may be shorter).
    """

    source: str
    t_ns: int
    pcm: np.ndarray

    def __post_init__(self) -> None:
        if self.pcm.dtype != np.int16 or self.pcm.ndim != 1:
            raise ValueError(f"pcm must be int16 (n,), not {self.pcm.dtype} {self.pcm.shape}")

    @property
    def t_end_ns(self) -> int:
        """Time just after the last sample."""
        return self.t_ns + samples_to_ns(len(self.pcm))


class VideoFrame(Message, frozen=True, kw_only=True):
    """One picture, encoded once, in capture; the recorder stores the same bytes."""

    source: str
    t_ns: int
    width_px: Count
    height_px: Count
    jpeg: bytes


class SourceEnd(Message, frozen=True, kw_only=True):
    """The last message of a source: nothing of it comes after `t_ns`."""

    source: str
    t_ns: int
    reason: str
    note: str = ""  # what people should know of what came, or did not come, before

    @property
    def damaged(self) -> bool:
        """Whether the source ended because its file breaks off; `reason` then says where."""
        return self.reason not in ORDINARY_ENDS


class UtteranceSpan(Message, frozen=True, kw_only=True):
    """A closed stretch of speech, counted in samples from the first sample of its source.

    `start` includes the pre-roll; `end` is just after the last speech window; `closed` is where the decision was made.
    """

    start: Count
    end: Count
    closed: Count
    closed_by: ClosedBy


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A recognised word and when it was said. `confidence`: the recogniser's own probability of it, None if unknown."""

    text: str
    t_start_ns: int
    t_end_ns: int
    confidence: Probability | None = None


class Recogniser(msgspec.Struct, frozen=True, kw_only=True):
    """What recognised the words: `name` tells engine, model and device.

    `asked` is false where it was not: of a provisional utterance, or because the machine did not keep up (`skipped` of
    the utterance). `languages` of the words, where they are not the one that the emotion model learnt from.
    """

    name: str
    asked: bool = True
    languages: tuple[str, ...] = ()


class UtteranceFields(msgspec.Struct, frozen=True, kw_only=True):
    """What an utterance is, to perception, tracker and subscribers alike.

    A provisional one (`final` false) goes on: its end is where it was listened to, and `revision` counts how often it
    was. `words` is empty where the recogniser gives no times. `text_confidence`: how probable it is that what a
    recogniser misheard leaves the label as it is; None: it did not say, or somebody wrote the words. `skipped`: its
    words were given up because the machine did not keep up, and not because nothing was recognised. `face_coverage`:
    the share of the sampled pictures of the utterance that showed a face (None without a camera).
    `speaker_confidence`: how sure it is whose voice on a shared microphone this is; None where the microphone or the
    words say who speaks, or nothing could be told from the sound.
    """

    dialogue: str
    utterance: str
    source: str
    text: str
    engine: Recogniser
    t_start_ns: int
    t_end_ns: int
    t_closed_ns: int
    t_text_ns: int
    t_features_ns: int
    face_coverage: Probability | None
    final: bool
    revision: Count
    words: tuple[Word, ...]
    text_confidence: Probability | None
    skipped: bool
    speaker_confidence: Probability | None = None


class UtteranceFeatures(Message, UtteranceFields, frozen=True, kw_only=True):
    """One utterance as the tracker needs it. Samples, pictures and voice prints never leave perception.

    `speaker_name` is None when nobody said whose voice it is; the tracker then goes by `voice`, which tells the voices
    of one microphone apart, and without that by `source`. A modality without a vector is missing; `encoders` are the
    fingerprints of what makes the vectors.

    Shapes of `vectors`, all float32: text (D_t,), of the words and what was said before them; audio (15,), eight values
    of prosody in raw units and seven log-probabilities of the voice, NaN where a value could not be measured; visual
    (8,), log-probabilities of the faces.
    """

    speaker_name: str | None
    closed_by: ClosedBy
    voice: str | None = None
    vectors: dict[Modality, np.ndarray] = {}
    encoders: dict[Modality, str] = {}


class WorkerStatus(Message, frozen=True, kw_only=True):
    """A sign of life, several times a second. `level_db` (dBFS) and `rate_hz` are of capture workers.

    `warning` is what people should be told once. Of perception: `waiting` utterances, being said or closed and not yet
    given on, and `closed` ones in all; `since_ns`, by source: what ended before is worked off, so who takes its place
    begins there (session time).
    """

    worker: str
    pid: Count
    t_ns: int
    phase: Phase
    lag_s: float = 0.0
    dropped: Count = 0
    note: str = ""
    level_db: float | None = None
    rate_hz: float | None = None
    warning: str = ""
    waiting: Count = 0
    closed: Count = 0
    since_ns: dict[str, int] = msgspec.field(default_factory=dict)


class SessionCommand(Message, frozen=True, kw_only=True):
    """What a person asks of a session that runs."""

    command: Command


class Hello(PublicMessage, frozen=True, kw_only=True):
    """The first message to every subscriber. `t_ns` and `wall_ns` (Unix time) are the same instant.

    `published` as in `Heartbeat`; None of publishers that give no sign of life.
    `notice` is what people must be told, in `language` (a code like `en`). `purpose`, and where that matters `setting`,
    say what the session is for; `controller` is responsible for it, and to be reached at `contact`. `learnt`: those of
    valence and arousal that the model learnt from ratings; the others are the places of the labels.
    """

    schema: str
    session: str
    t_ns: int
    wall_ns: int
    labels: tuple[str, ...]
    speakers: tuple[str, ...]
    model: str
    notice: str
    last_seq: int
    published: dict[str, Count] | None = None
    language: str = "en"
    purpose: str = ""
    setting: str = ""
    controller: str = ""
    contact: str = ""
    learnt: tuple[str, ...] = ()


class EmotionEvent(PublicMessage, UtteranceFields, frozen=True, kw_only=True):
    """The estimated expressed emotion of one utterance, decided from it and the past alone.

    `seq` counts the events of the stream from 0. `probs` sums to 1; `entropy` is in nats. `shift` tells whether the
    label differs from the speaker's previous one (None for a speaker's first utterance). A provisional event has the
    `utterance` of the final one that follows and a lower `revision`; a final one is said again with a higher `revision`
    after a `Relabel`. `certain` is false where the model would rather abstain. Where there is a `text_confidence`, the
    words counted in `probs` as much as that, voice and face alone for the rest. `valence` and `arousal` are those that
    the model learnt to say (`Hello.learnt`), or that `probs` gives (models/dimensions.py); None where a label has no
    place on these scales.
    """

    schema: str
    seq: Count
    session: str
    index: Count
    speaker: Count
    speaker_name: str
    label: str
    probs: dict[str, Probability]
    entropy: float
    shift: bool | None
    certain: bool
    modalities: tuple[Modality, ...]
    model: str
    t_logits_ns: int
    t_published_ns: int | None = None
    valence: Bipolar | None = None
    arousal: Bipolar | None = None


class Gap(PublicMessage, frozen=True, kw_only=True):
    """Sound or pictures were lost, and where: `lost` messages (or device blocks) of `source` between the two times.

    `cause`: the "device" delivered nothing; the "bus": a reader was too slow for a device for too long; "worker": the
    process that captured it died; "overload": it was not finished before the end, and `lost` counts utterances;
    "paused": people wanted it; "forgotten": it was recorded, and taken out at the wish of who spoke.
    """

    source: str
    t_start_ns: int
    t_end_ns: int
    lost: Count
    cause: Literal["device", "bus", "overload", "worker", "paused", "forgotten"]


class WorkerLost(PublicMessage, frozen=True, kw_only=True):
    """A process of the session died, or no longer answered and was ended.

    `reason` in one line: what it said itself, or by what it was killed. `consequence`: what follows for the session.
    `restarts`: how often one of its kind was started anew, this time included. `lost`: utterances that were lost with
    it, as far as is known now; what of sound and pictures was, stands in a `Gap`.
    """

    t_ns: int
    worker: str
    reason: str
    consequence: str
    restarts: Count
    lost: Count


class Relabel(PublicMessage, frozen=True, kw_only=True):
    """The utterances `moved` turned out to be somebody else's: the dialogue goes back to the first of them.

    They and all later ones are said again as final events with a higher revision, the last `RELABEL_REACH` at most.
    `voice` and `speaker_name` as in `UtteranceFeatures`. `cause`: two voices turned out to be one, or an utterance was
    given to the wrong one.
    """

    t_ns: int
    dialogue: str
    moved: tuple[str, ...]
    voice: str
    speaker_name: str | None
    cause: Literal["merge", "correction"]


class Overload(PublicMessage, frozen=True, kw_only=True):
    """The machine does not keep up, or does again: `level` 0 is all is well, each further one gives up one thing more.

    `step` says in words what was given up (or taken up again) now; `waiting_s` is how long the oldest utterance waits.
    """

    t_ns: int
    level: Count
    step: str
    waiting_s: float


class SessionState(PublicMessage, frozen=True, kw_only=True):
    """What is being done with the people in front of the devices from now on; said when it changes.

    `recording`: it is being written to disk. `paused`: nothing is listened to or looked at. `purpose`: of `Hello`.
    """

    session: str
    t_ns: int
    recording: bool
    paused: bool
    purpose: str = ""


class SessionEnd(PublicMessage, frozen=True, kw_only=True):
    """The last message of a session: how many utterances were classified, why it ended, and what is missing.

    `lost`: utterances that were begun or closed and never classified, as far as is known. `deaths`: how often a process
    of the session died. `skipped`: classified utterances whose words were given up because the machine did not keep up.
    `gaps`: how many there were, and `gaps_ns` how long those of microphones were together. `note`: why nothing was
    heard, or what of a transcript was never used; "" if there is nothing to say.
    """

    session: str
    t_ns: int
    utterances: Count
    reason: str
    lost: Count = 0
    deaths: Count = 0
    skipped: Count = 0
    gaps: Count = 0
    gaps_ns: Count = 0
    note: str = ""


class Heartbeat(PublicMessage, frozen=True, kw_only=True):
    """The sign of life of the public stream, once a second: who gets none for three has lost its publisher.

    `published` counts the messages of each topic that were sent so far, and `last_seq` is that of the last event: so
    who reads too slowly knows what it missed, also where nothing follows.
    """

    session: str
    t_ns: int
    last_seq: int
    published: dict[str, Count]


PublicEvent = (
    Hello | EmotionEvent | Annotation | Alert | Gap | Relabel | Overload | WorkerLost | SessionState | SessionEnd
)
Internal = AudioChunk | VideoFrame | SourceEnd | UtteranceFeatures | WorkerStatus | SessionCommand
AnyMessage = Internal | PublicEvent | Heartbeat


def seconds_to_samples(seconds: float) -> int:
    """Samples in so many seconds at `SAMPLE_RATE_HZ`, rounded."""
    return round(seconds * SAMPLE_RATE_HZ)


def samples_to_ns(samples: int) -> int:
    """Duration of `samples` at `SAMPLE_RATE_HZ`; exact, for 1e9 / 16000 = 62500 is whole."""
    return samples * (1_000_000_000 // SAMPLE_RATE_HZ)
