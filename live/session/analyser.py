"""One stretch of speech in, its words, sound, voices and faces out: the slow half of perception.

The analyser only composes engines; it keeps no state between utterances, so the same samples give the same answer
whatever came before, in whichever thread it runs. Its answers come before the order of the utterances is known; what
depends on it, who speaks and the text vector, is made later (`conversation.py`).
"""

from collections.abc import Sequence
from dataclasses import replace

from erc_live.live.asr.transcribers import NoWords, Transcriber, Transcript
from erc_live.live.perception.endpointing import Analysis, Part, Request
from erc_live.live.perception.load_shedding import FULL, Effort
from erc_live.live.session.engines import Engines
from erc_live.live.speakers.embedding import Stretch
from erc_live.streams.align import sample_frames
from erc_live.streams.clock import Clock
from erc_live.streams.messages import SAMPLE_RATE_HZ, VideoFrame, samples_to_ns

DRAFT_VOICE = 3 * SAMPLE_RATE_HZ  # samples of a draft, its last, from which its voice is told
LANGUAGE = "en"  # of the words that the shipped weights learnt from


class Analyser:
    """`analyser(request)` runs the engines one after the other, words first; stamps are of `clock`."""

    def __init__(self, engines: Engines, clock: Clock) -> None:
        self._engines = engines
        self._clock = clock

    def __call__(self, request: Request, effort: Effort = FULL) -> Analysis:
        """The answer; a draft gets words only from an engine that is quick to give them."""
        engines = self._engines
        transcriber = engines.spare if effort.small and engines.spare else engines.transcriber
        draft = request.kind == "draft"
        asked = effort.draft_words and transcriber.quick if draft else effort.words
        skipped = not (asked or draft) and transcriber.name != NoWords.name
        stretches = self._stretches(request)
        transcripts = [self._heard(transcriber, request, s) if asked else Transcript("") for s in stretches]
        t_text_ns = self._clock.now_ns()
        limit = effort.max_frames or max(1, len(request.frames))
        frames = tuple(sample_frames(request.frames, request.t_start_ns, request.t_end_ns, limit))
        heard = zip(stretches, transcripts, strict=True)
        return Analysis(
            request=request,
            parts=tuple(self._part(request, stretch, transcript, frames) for stretch, transcript in heard),
            engine=_engine(transcriber.name, transcripts) if asked else _silent(transcriber.name, skipped),
            encoders=" ".join(f"{modality}={name}" for modality, name in engines.fingerprints.items()),
            skipped=skipped or any(transcript.skipped for transcript in transcripts),
            t_text_ns=t_text_ns,
            t_features_ns=self._clock.now_ns(),
        )

    def _stretches(self, request: Request) -> tuple[Stretch, ...]:
        """What each voice said. Who has a microphone of their own is one voice; so is a draft."""
        pcm = request.speech.pcm
        if request.speech.speaker_name is not None or self._engines.voices is None:
            return (Stretch(0, len(pcm), None),)
        if request.kind == "draft":
            latest = self._engines.voices.split(pcm[-DRAFT_VOICE:])[-1]
            return (Stretch(0, len(pcm), latest.embedding),)
        return self._engines.voices.split(pcm)

    def _heard(self, transcriber: Transcriber, request: Request, stretch: Stretch) -> Transcript:
        speech = request.speech
        start_s = speech.start_s + samples_to_ns(stretch.start) / 1e9
        end_s = speech.start_s + samples_to_ns(stretch.end) / 1e9
        part = replace(speech, pcm=speech.pcm[stretch.start : stretch.end], start_s=start_s, end_s=end_s)
        return transcriber.transcribe(part)

    def _part(self, request: Request, stretch: Stretch, transcript: Transcript, frames: tuple[VideoFrame, ...]) -> Part:
        pcm = request.speech.pcm[stretch.start : stretch.end]
        t_start_ns = request.t_start_ns + samples_to_ns(stretch.start)
        t_end_ns = request.t_start_ns + samples_to_ns(stretch.end)
        part = Part(t_start_ns, t_end_ns, transcript, self._engines.audio_encoder(pcm), embedding=stretch.embedding)
        if self._engines.faces is None:
            return part
        seen = [frame for frame in frames if t_start_ns <= frame.t_ns < t_end_ns]
        appearances, coverage = self._engines.faces.describe(seen, pcm, t_start_ns)
        return replace(part, appearances=appearances, face_coverage=coverage)


def _silent(name: str, skipped: bool) -> str:
    """Who would have recognised the words, and why there are none."""
    return f"{name}, not asked: the machine is too slow" if skipped else f"{name}, not asked"


def _engine(name: str, transcripts: Sequence[Transcript]) -> str:
    """What recognised the words, and what a reader of the event should know of them."""
    recorded = [t.engine for t in transcripts if t.engine is not None]
    if recorded:
        return recorded[0]
    others = sorted({t.language for t in transcripts if t.text and t.language not in (None, LANGUAGE)})
    return f"{name}, words in {', '.join(others)}" if others else name
