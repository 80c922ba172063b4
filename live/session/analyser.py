"""One stretch of speech in, its words, sound, voices and faces out: the slow half of perception.

The analyser only composes engines; it keeps no state between utterances, so the same samples give the same answer
whatever came before, in whichever thread it runs. Its answers come before the order of the utterances is known; what
depends on it, who speaks and the text vector, is made later (`conversation.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from erc_live.live.asr.transcribers import NoWords, Transcriber
from erc_live.live.perception.endpointing import TurnDetector
from erc_live.live.perception.load_shedding import FULL, Budget
from erc_live.live.requests import Analysis, Request, RequestKind, Transcript, VoicePart
from erc_live.live.speakers.embedding import VoiceReader, VoiceSegment
from erc_live.live.vision.expression import FaceReader
from erc_live.models.encoders.audio_vector import SoundEncoder
from erc_live.models.encoders.text import TextEncoder
from erc_live.streams.align import sample_frames
from erc_live.streams.clock import Clock
from erc_live.streams.messages import SAMPLE_RATE_HZ, Modality, Recogniser, VideoFrame, samples_to_ns
from erc_live.streams.words import legible

PARTIAL_VOICE = 3 * SAMPLE_RATE_HZ  # samples of a partial request, its last, from which its voice is told
LANGUAGE = "en"  # of the words that the shipped weights learnt from


@dataclass(frozen=True)
class Engines:
    """What an utterance is analysed with. `audio_encoder` and `faces` are None where words alone are to decide;
    `voices` is None where all that one microphone hears is one person.
    """

    transcriber: Transcriber
    text_encoder: TextEncoder
    audio_encoder: SoundEncoder | None
    faces: FaceReader | None
    voices: VoiceReader | None
    spare: Transcriber | None = None  # smaller, for when the machine does not keep up
    turns: TurnDetector | None = None  # None: pauses alone tell when somebody has finished
    warning: str = ""  # what people should know of them

    @property
    def fingerprints(self) -> dict[Modality, str]:
        """The encoder of each modality. Which face finder there is depends on the machine, so it is not among them."""
        names: dict[Modality, str] = {"text": self.text_encoder.fingerprint}
        if self.audio_encoder is not None:
            names["audio"] = self.audio_encoder.fingerprint
        if self.faces is not None:
            names["visual"] = self.faces.vectors
        return names


class Analyser:
    """`analyser(request)` runs the engines one after the other, words first; stamps are of `clock`. `redact`: what
    takes out of a transcript what nobody is to read; None: nothing.
    """

    def __init__(
        self, engines: Engines, clock: Clock, redact: Callable[[Transcript], Transcript] | None = None
    ) -> None:
        self._engines = engines
        self._redact = redact
        self._clock = clock

    def __call__(self, request: Request, budget: Budget = FULL) -> Analysis:
        """The answer; a partial request gets words only from an engine that is quick to give them."""
        engines = self._engines
        transcriber = engines.spare if budget.small and engines.spare else engines.transcriber
        partial = request.kind == RequestKind.PARTIAL
        asked = budget.partial_words and transcriber.quick if partial else budget.words
        skipped = not (asked or partial) and transcriber.name != NoWords.name
        stretches = self._stretches(request)
        transcripts = [self._transcribe(transcriber, request, s) if asked else Transcript("") for s in stretches]
        t_text_ns = self._clock.now_ns()
        limit = budget.max_frames or max(1, len(request.frames))
        frames = tuple(sample_frames(request.frames, request.t_start_ns, request.t_end_ns, limit))
        return Analysis(
            request=request,
            parts=tuple(
                self._part(request, stretch, transcript, frames)
                for stretch, transcript in zip(stretches, transcripts, strict=True)
            ),
            engine=_recogniser(transcriber.name, transcripts if asked else None),
            encoders=engines.fingerprints,
            skipped=skipped or any(transcript.skipped for transcript in transcripts),
            t_text_ns=t_text_ns,
            t_features_ns=self._clock.now_ns(),
        )

    def _stretches(self, request: Request) -> tuple[VoiceSegment, ...]:
        """What each voice said. Who has a microphone of their own is one voice; so is what goes on."""
        pcm = request.speech.pcm
        if request.speech.speaker_name is not None or self._engines.voices is None:
            return (VoiceSegment(0, len(pcm), None),)
        if request.kind == RequestKind.PARTIAL:
            latest = self._engines.voices.split(pcm[-PARTIAL_VOICE:])[-1]
            return (VoiceSegment(0, len(pcm), latest.embedding),)
        return self._engines.voices.split(pcm)

    def _transcribe(self, transcriber: Transcriber, request: Request, stretch: VoiceSegment) -> Transcript:
        speech = request.speech
        start_s = speech.start_s + samples_to_ns(stretch.start) / 1e9
        end_s = speech.start_s + samples_to_ns(stretch.end) / 1e9
        part = replace(speech, pcm=speech.pcm[stretch.start : stretch.end], start_s=start_s, end_s=end_s)
        transcript = transcriber.transcribe(part)
        if legible(transcript.text):
            return self._redact(transcript) if self._redact else transcript
        return replace(transcript, text="", words=(), confidence=None)  # nothing in it can be read

    def _part(
        self, request: Request, stretch: VoiceSegment, transcript: Transcript, frames: tuple[VideoFrame, ...]
    ) -> VoicePart:
        pcm = request.speech.pcm[stretch.start : stretch.end]
        t_start_ns = request.t_start_ns + samples_to_ns(stretch.start)
        t_end_ns = request.t_start_ns + samples_to_ns(stretch.end)
        encoder = self._engines.audio_encoder
        audio_vec = None if encoder is None else encoder(pcm)
        part = VoicePart(t_start_ns, t_end_ns, transcript, audio_vec, embedding=stretch.embedding)
        if self._engines.faces is None:
            return part
        seen = [frame for frame in frames if t_start_ns <= frame.t_ns < t_end_ns]
        appearances, coverage = self._engines.faces.describe(seen, pcm, t_start_ns)
        return replace(part, appearances=appearances, face_coverage=coverage)


def _recogniser(name: str, transcripts: Sequence[Transcript] | None) -> Recogniser:
    """What recognised the words, and what a reader of the event should know of them; None: it was not asked."""
    if transcripts is None:
        return Recogniser(name=name, asked=False)
    recorded = [t.engine for t in transcripts if t.engine is not None]
    if recorded:
        return recorded[0]
    others = {t.language for t in transcripts if t.text and t.language not in (None, LANGUAGE)}
    return Recogniser(name=name, languages=tuple(sorted(language for language in others if language)))
