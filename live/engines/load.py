"""The engines of perception, loaded and warmed up: everything slow to start and free of session state.

Loading happens once, before a session says that it is ready; the first call of every engine is made here, on
silence, so that the first utterance does not pay for it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from erc_live.live.config import Config
from erc_live.live.engines.faces import FaceFinder, open_face_finder
from erc_live.live.engines.transcribers import Transcriber, open_transcriber
from erc_live.live.engines.vad import SileroVad
from erc_live.live.fetch import models_folder
from erc_live.models import checkpoint as checkpoints
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.text import TextEncoder
from erc_live.streams.messages import SAMPLE_RATE_HZ


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


def load_engines(config: Config, checkpoint: Checkpoint, transcript: Path | None = None) -> Engines:
    """Load and warm up. Raises EngineError or WeightsError when one cannot run here."""
    folder = models_folder(config.models)
    engines = Engines(
        transcriber=open_transcriber(config.transcriber, folder, transcript),
        text_encoder=TextEncoder.load(folder / "minilm", checkpoint.adapter),
        audio_encoder=ProsodyEncoder(),
        face_finder=open_face_finder(config.visual, folder),
    )
    silence = np.zeros(SAMPLE_RATE_HZ, np.int16)
    engines.text_encoder.encode(["warm up"])
    engines.audio_encoder(silence)
    SileroVad()(silence[:512])
    return engines


def load_checkpoint(config: Config) -> Checkpoint:
    """The weights of `tracker.weights`. Raises WeightsError when they are missing or do not match their card."""
    return checkpoints.load(config.tracker.weights)


def torch_device(choice: str) -> str:
    """The device that `auto` means here, or the one that was named."""
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice
