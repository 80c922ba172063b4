"""The engines of perception, loaded and warmed up: everything slow to start and free of session state.

Loading happens once, before a session says that it is ready; the first call of every engine is made here, on
silence, so that the first utterance does not pay for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import structs

from erc_live.live.capture.spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.engines.faces import FaceFinder, open_face_finder
from erc_live.live.engines.transcribers import Transcriber, open_transcriber
from erc_live.live.engines.vad import SileroVad
from erc_live.live.errors import ConfigError
from erc_live.live.fetch import models_folder
from erc_live.live.perception import Microphone, Perception
from erc_live.models import card
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.text import TextEncoder
from erc_live.streams.messages import SAMPLE_RATE_HZ
from erc_live.streams.segmenter import SegmenterConfig


@dataclass(frozen=True)
class Engines:
    """What an utterance is analysed with; `fingerprint` names the encoders, which the weights must have been trained
    on.
    """

    transcriber: Transcriber
    text_encoder: TextEncoder
    audio_encoder: ProsodyEncoder
    face_finder: FaceFinder | None

    @property
    def fingerprint(self) -> str:
        """Text and audio encoder."""
        return f"{self.text_encoder.fingerprint} {self.audio_encoder.fingerprint}"


def load_engines(config: Config, transcript: Path | None = None) -> Engines:
    """Load and warm up. Raises EngineError or WeightsError when one cannot run here."""
    folder = models_folder(config.models)
    weights = card.read(config.tracker.weights)  # they were trained with this adapter of the text encoder
    engines = Engines(
        transcriber=open_transcriber(config.transcriber, folder, transcript),
        text_encoder=TextEncoder.load(folder / "minilm", weights.adapter),
        audio_encoder=ProsodyEncoder(),
        face_finder=open_face_finder(config.visual, folder),
    )
    silence = np.zeros(SAMPLE_RATE_HZ, np.int16)
    engines.text_encoder.encode(["warm up"])
    engines.audio_encoder(silence)
    SileroVad()(silence[:512])
    return engines


def build_perception(config: Config, sources: Sequence[SourceSpec], start_ns: int, speed: float = 1.0) -> Perception:
    """The perception core for these sources, on a session clock that is `speed` times as fast as the host's."""
    return Perception(
        microphones=[Microphone(s.name, s.speaker) for s in sources if s.kind == "mic"],
        detector=SileroVad,
        segmenter=segmenter_config(config),
        max_frames=config.visual.max_frames,
        start_ns=start_ns,
        speed=speed,
    )


def segmenter_config(config: Config) -> SegmenterConfig:
    """The table [segmenter] as the segmenter takes it. Raises ConfigError if its values contradict each other."""
    try:
        return SegmenterConfig(**structs.asdict(config.segmenter))
    except ValueError as error:
        raise ConfigError(f"[segmenter] {error}") from error
