"""The engines of perception, loaded and warmed up: everything slow to start and free of session state.

Loading happens once, before a session says that it is ready; the first call of every engine is made here, so that the
first utterance does not pay for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import structs

from erc_live.live.account import Account
from erc_live.live.capture.spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.conversation import Conversation
from erc_live.live.engines.expression import FaceReader, open_face_reader
from erc_live.live.engines.transcribers import Transcriber, TranscriptFile, makeshift, open_spare, open_transcriber
from erc_live.live.engines.vad import SileroVad
from erc_live.live.engines.voices import VoiceReader, open_voice_reader
from erc_live.live.errors import ConfigError
from erc_live.live.fetch import models_folder
from erc_live.live.perception import Microphone, Perception, Settings, Timing
from erc_live.live.voice_prints import open_speakers
from erc_live.models import card
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.audio_vector import SoundEncoder
from erc_live.models.encoders.face import FACE_PX
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.voice import VoiceEncoder
from erc_live.streams.clock import Clock
from erc_live.streams.messages import SAMPLE_RATE_HZ
from erc_live.streams.segmenter import SegmenterConfig


@dataclass(frozen=True)
class Engines:
    """What an utterance is analysed with. `voices` is None where all that one microphone hears is one person."""

    transcriber: Transcriber
    text_encoder: TextEncoder
    audio_encoder: SoundEncoder
    faces: FaceReader | None
    voices: VoiceReader | None
    spare: Transcriber | None = None  # smaller, for when the machine does not keep up
    warning: str = ""  # what people should know of them

    @property
    def fingerprints(self) -> dict[str, str]:
        """The encoder of each modality. Which face finder there is depends on the machine, so it is not among them."""
        names = {"text": self.text_encoder.fingerprint, "audio": self.audio_encoder.fingerprint}
        if self.faces is not None:
            names["visual"] = self.faces.encoder.fingerprint
        return names


def load_engines(config: Config, transcript: Path | None = None) -> Engines:
    """Load and warm up.

    Raises:
        EngineError: one cannot run here.
        WeightsError: an encoder cannot be read, or is not the one that the weights were trained on.
    """
    folder = models_folder(config.models)
    transcriber = open_transcriber(config.transcriber, folder, transcript)
    weights = card.read(config.tracker.weights)  # which were trained on the vectors of these encoders
    engines = Engines(
        transcriber=transcriber,
        spare=open_spare(config.transcriber, folder, transcriber),
        text_encoder=TextEncoder.load(weights.encoder_folder("text")),
        audio_encoder=SoundEncoder(ProsodyEncoder(), VoiceEncoder.load(weights.encoder_folder("voice"))),
        faces=open_face_reader(config.visual, folder, weights.encoder_folder("face")),
        voices=open_voice_reader(config.speakers),
        warning=makeshift(config.transcriber, transcriber),
    )
    weights.card.check_encoders(engines.fingerprints)
    noise = np.random.default_rng(0).integers(-1000, 1000, SAMPLE_RATE_HZ, np.int16)  # of silence nothing is computed
    engines.text_encoder.encode(["warm up"])
    engines.audio_encoder(noise)
    if engines.voices is not None:
        engines.voices.split(noise)
    if engines.faces is not None:
        engines.faces.encoder(np.zeros((1, FACE_PX, FACE_PX), np.uint8))
    SileroVad()(noise[:512])
    return engines


def build_perception(config: Config, sources: Sequence[SourceSpec], start_ns: int, speed: float = 1.0) -> Perception:
    """The perception core for these sources, on a session clock that is `speed` times as fast as the host's."""
    return Perception(
        microphones=[Microphone(s.name, s.speaker) for s in sources if s.kind == "mic"],
        detector=SileroVad,
        settings=Settings(
            segmenter=segmenter_config(config),
            timing=Timing(config.perception.early_s, config.perception.draft_every_s),
            max_frames=config.visual.max_frames,
        ),
        start_ns=start_ns,
        speed=speed,
    )


def build_account(sources: Sequence[SourceSpec], start_ns: int) -> Account:
    """What keeps account of a session with these sources."""
    return Account({s.name: s.speaker for s in sources if s.kind == "mic"}, start_ns)


def closing_note(account: Account, transcriber: Transcriber) -> str:
    """What people should know of a session that has ended; "" if there is nothing to say."""
    if isinstance(transcriber, TranscriptFile):
        return account.note(transcriber.unused, len(transcriber.cues))
    return account.note()


def build_conversation(config: Config, engines: Engines, clock: Clock, start_ns: int) -> Conversation:
    """What remembers who said what, of a session whose media begins at `start_ns`."""
    speakers = None if engines.voices is None else open_speakers(config.speakers, engines.voices)
    return Conversation(engines.text_encoder, speakers, clock, start_ns)


def segmenter_config(config: Config) -> SegmenterConfig:
    """The table [segmenter] as the segmenter takes it. Raises ConfigError if its values contradict each other."""
    try:
        return SegmenterConfig(**structs.asdict(config.segmenter))
    except ValueError as error:
        raise ConfigError(f"[segmenter] {error}") from error
