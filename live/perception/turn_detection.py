"""Turn detector: the sound of one microphone in, the probability that its speaker has finished out.

smart-turn v3.2 (Daily, BSD-2): the encoder of Whisper tiny with a head, 8 million parameters in 8 bits, learnt from
turns that end and sentences that break off, in 23 languages. It reads the last 8 s of sound with the pause at their
end, so it hears melody and grammar, which a detector of speech does not. Input: Whisper's log-mels of the sound brought
to mean 0 and variance 1, with zeros before what is shorter.
"""

from pathlib import Path

import numpy as np
import onnxruntime

from erc_live.live import config
from erc_live.live.errors import EngineError
from erc_live.models.weights import locate, weight
from erc_live.streams.messages import SAMPLE_RATE_HZ

_NAME = "smart-turn"
_REMEDY = f"erc-live models fetch {_NAME}"
_WINDOW_S = 8
_SAMPLES = _WINDOW_S * SAMPLE_RATE_HZ
_BANDS = 80
_FULL_SCALE = 32768.0  # int16 -> [-1, 1)
_SILENT = 1e-7  # added to the variance: of digital silence nothing is made


class SmartTurn:
    """Asked during a pause. Without state, so one serves all microphones."""

    def __init__(self, path: Path) -> None:
        """Raise EngineError if the file cannot be loaded."""
        from faster_whisper.feature_extractor import FeatureExtractor  # slow to import: it brings the recogniser

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal only: its warnings would cut through the screen
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"], sess_options=options
            )
        except Exception as error:  # onnxruntime raises classes of its own that share no base
            raise EngineError(f"{path} cannot be loaded ({error}): delete it, then {_REMEDY}") from error
        self._log_mel = FeatureExtractor(_BANDS, chunk_length=_WINDOW_S)

    def __call__(self, pcm: np.ndarray) -> float:
        """Probability that the turn is complete that the samples end in; of more than 8 s the last are read.

        Shapes: pcm (n,) int16 at 16 kHz, up to now.
        """
        (logits,) = self._session.run(None, {"input_features": self.features(pcm)[np.newaxis]})
        return float(logits.item())  # a probability, whatever its name

    def features(self, pcm: np.ndarray) -> np.ndarray:
        """What the network reads. Shapes: pcm (n,) int16; result (80, 800) float32, a column per 10 ms."""
        samples = np.zeros(_SAMPLES, np.float32)
        heard = pcm[-_SAMPLES:]
        samples[_SAMPLES - len(heard) :] = heard / _FULL_SCALE
        samples -= samples.mean()
        samples /= np.sqrt(np.mean(np.square(samples)) + _SILENT)
        features: np.ndarray = self._log_mel(samples, padding=0)
        return features


def open_turn_detector(choice: config.PerceptionSection, models_folder: Path) -> SmartTurn | None:
    """The detector that the configuration asks for; None where pauses alone are to decide, or `auto` finds no weights.

    Raises EngineError when it cannot run here.
    """
    if choice.turn_detector == "none":
        return None
    home = locate(_NAME, models_folder)
    if home is not None:
        return SmartTurn(home / weight(_NAME).files[0].path)
    if choice.turn_detector == _NAME:
        raise EngineError(f"the turn detector {_NAME} is not in {models_folder}: {_REMEDY}")
    return None


def missing_detector(choice: config.PerceptionSection, detector: SmartTurn | None) -> str:
    """What people should know where `auto` found no weights; "" otherwise."""
    if detector is not None or choice.turn_detector != "auto":
        return ""
    return f"pauses alone tell when somebody has finished, because {_NAME} is not on this disk: {_REMEDY}"
