"""The engines of perception, loaded and warmed up: everything slow to start and free of session state.

Loading happens once, before a session says that it is ready; the first call of every engine is made here, so that the
first utterance does not pay for it.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from msgspec import structs

from erc_live.live.asr.pooled_words import PoolPatience
from erc_live.live.asr.transcribers import (
    Transcriber,
    TranscriptFile,
    expected,
    makeshift,
    open_spare,
    open_transcriber,
)
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.errors import ConfigError
from erc_live.live.perception.conversation import Conversation
from erc_live.live.perception.endpointing import STALLED_NS, Endpointer, Settings
from erc_live.live.perception.front_end import INLINE, Account, FrontEnd
from erc_live.live.perception.load_shedding import levels
from erc_live.live.perception.turn_detection import missing_detector, open_turn_detector
from erc_live.live.perception.vad import SileroVad
from erc_live.live.privacy.redaction import open_redactor
from erc_live.live.requests import Request, RequestKind
from erc_live.live.session.analyser import Analyser, Engines
from erc_live.live.session.spec import SessionSpec, Start
from erc_live.live.session.weight_cache import models_folder
from erc_live.live.speakers.embedding import open_voice_reader
from erc_live.live.speakers.enrolment import open_speakers
from erc_live.live.speakers.voice_prints import unusable
from erc_live.live.vision.expression import open_face_reader
from erc_live.models import card
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.audio_vector import SoundEncoder
from erc_live.models.encoders.face import FACE_PX
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.voice import VoiceEncoder
from erc_live.streams.clock import Clock
from erc_live.streams.messages import SAMPLE_RATE_HZ, AudioChunk, Gap, SourceEnd, VideoFrame
from erc_live.streams.segmenter import SegmenterConfig


def load_engines(
    config: Config,
    transcript: Path | None = None,
    notify: Callable[[str], None] = lambda what: None,
    patience: PoolPatience = PoolPatience(),  # noqa: B008 - a value
) -> Engines:
    """Load and warm up. `notify` is called with what is loaded next: people wait for it. `patience`: with a pool of
    recognisers.

    Raises:
        EngineError: one cannot run here.
        WeightsError: an encoder cannot be read, or is not the one that the weights were trained on.
    """
    folder = models_folder(config.models)
    notify(f"loading {expected(config.transcriber, folder, transcript)}")
    transcriber = open_transcriber(config.transcriber, folder, transcript, patience)
    turns = open_turn_detector(config.perception, folder)
    weights = card.read(config.tracker.weights)  # which were trained on the vectors of these encoders
    notify("loading the encoders of words, voices and faces")
    words_alone = config.session.text_only  # then what could judge a voice or a face is not even loaded
    engines = Engines(
        transcriber=transcriber,
        spare=open_spare(config.transcriber, folder, transcriber),
        text_encoder=TextEncoder.load(weights.encoder_folder("text")),
        audio_encoder=None
        if words_alone
        else SoundEncoder(ProsodyEncoder(), VoiceEncoder.load(weights.encoder_folder("voice"))),
        faces=None if words_alone else open_face_reader(config.visual, folder, weights.encoder_folder("face")),
        voices=open_voice_reader(config.speakers),
        turns=turns,
        warning="; ".join(
            filter(
                None,
                (
                    makeshift(config.transcriber, transcriber),
                    missing_detector(config.perception, turns),
                    *unusable(config.speakers.known),
                ),
            )
        ),
    )
    weights.card.check_encoders(engines.fingerprints)
    notify("warming up")
    noise = np.random.default_rng(0).integers(-1000, 1000, SAMPLE_RATE_HZ, np.int16)  # of silence nothing is computed
    engines.text_encoder.encode_last(("a",), ("warm up",))
    if engines.audio_encoder is not None:
        engines.audio_encoder(noise)
    if engines.voices is not None:
        engines.voices.split(noise)
    if engines.faces is not None:
        engines.faces.encoder(np.zeros((1, FACE_PX, FACE_PX), np.uint8))
    SileroVad()(noise[:512])
    if engines.turns is not None:
        engines.turns(noise)
    return engines


def front_end(
    session: SessionSpec,
    engines: Engines,
    clock: Clock,
    start: Start = Start(t_ns=0),  # noqa: B008 - a value
    executor: Executor = INLINE,
) -> FrontEnd:
    """Perception of a session from `start` on, on its clock; analyses run in `executor`."""
    config = session.config
    speakers = None if engines.voices is None else open_speakers(config.speakers, engines.voices)
    if speakers is not None:
        speakers.go_on(start.voices)
    cameras = any(source.kind == "camera" for source in session.sources)
    shed = levels(quick=engines.transcriber.quick, video=cameras, spare=engines.spare is not None)
    sources = microphones(session.sources)
    names = {*config.speakers.known, *(source.speaker for source in session.sources if source.speaker)}
    stalled_ns = STALLED_NS * session.speed if session.hurry else math.inf
    endpointer = Endpointer(sources, SileroVad, perception_settings(config), start.t_ns, stalled_ns, engines.turns)
    endpointer.go_on(start.since_ns)
    return FrontEnd(
        endpointer,
        Account(sources, start.t_ns),
        Conversation(engines.text_encoder, speakers, clock, start.t_ns, start.context),
        Analyser(engines, clock, open_redactor(names) if config.text.redact else None),
        executor,
        shed if session.hurry else (),
    )


def closed_utterances(
    messages: Iterable[AudioChunk | VideoFrame | Gap | SourceEnd], config: Config, sources: Sequence[SourceSpec]
) -> Iterator[Request]:
    """What a session would analyse of these messages, when each utterance has closed; nothing is analysed."""
    turns = open_turn_detector(config.perception, models_folder(config.models))
    endpointer = Endpointer(microphones(sources), SileroVad, perception_settings(config), start_ns=0, turns=turns)
    for message in messages:
        yield from (request for request in endpointer.feed(message) if request.kind == RequestKind.FINAL)


def microphones(sources: Sequence[SourceSpec]) -> dict[str, str | None]:
    """The name of each microphone, and of the one person it belongs to, if any."""
    return {source.name: source.speaker for source in sources if source.kind == "mic"}


def perception_settings(config: Config) -> Settings:
    """How the front end listens and looks."""
    return Settings(
        segmenter=segmenter_config(config),
        max_frames=config.visual.max_frames,
        speculative_s=config.perception.speculative_s,
        partial_every_s=config.perception.partial_every_s,
    )


def closing_note(account: Account, transcriber: Transcriber) -> str:
    """What people should know of a session that has ended; "" if there is nothing to say."""
    if isinstance(transcriber, TranscriptFile):
        return account.note(transcriber.unused, len(transcriber.cues))
    return account.note()


def segmenter_config(config: Config) -> SegmenterConfig:
    """The table [segmenter] as the segmenter takes it. Raises ConfigError if its values contradict each other."""
    try:
        return SegmenterConfig(**structs.asdict(config.segmenter))
    except ValueError as error:
        raise ConfigError(f"[segmenter] {error}") from error
