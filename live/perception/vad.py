"""Speech detector: one window of samples in, the probability that somebody speaks out.

Silero's recurrent network, run window by window, from the ONNX file that the faster-whisper package carries. The
class of that package forgets the recurrent state at each call, which is right for a whole file and wrong for a stream,
so we hold the state ourselves and use the file only. It is found without importing the package, which would load the
whole recogniser.

The network hears loud voices badly: of the speech in a telephone call, on average -17 dBFS, it found 82 % of the
windows at a threshold of 0.5, and 88 % after this. So what is louder than -30 dBFS is turned down, at once when it gets
loud and slowly up again. What is quieter is left as it is: noise must not be made louder. A constant offset of the
microphone, which would deafen the network just so, is taken away first.
"""

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime

from erc_live.live.errors import EngineError
from erc_live.streams.messages import CHUNK_S, CHUNK_SAMPLES

_ASSET = "assets/silero_vad_v6.onnx"
_REMEDY = "pip install 'faster-whisper>=1.2.1,<2'"
_CONTEXT_SAMPLES = 64  # the end of the previous window, which the network sees before the new one
_STATE_SHAPE = (1, 1, 128)  # layers, streams, width
_FULL_SCALE = 32768.0  # int16 -> [-1, 1)
_LOUDEST = 10 ** (-30 / 20)  # RMS of a window, of full scale: -30 dBFS
_OFFSET_MEMORY = 0.97  # per window: the offset is the mean of the last second
_RELEASE = 10 ** (-CHUNK_S / 20)  # per window: 1 dB per second


class SileroVad:
    """The speech detector of one source: each call continues from the one before; `reset` starts a new stream."""

    def __init__(self) -> None:
        """Raise EngineError if the network is not where the faster-whisper package keeps it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal only: its warnings would cut through the screen
        path = _asset()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"], sess_options=options
            )
        except Exception as error:  # onnxruntime raises classes of its own that share no base
            raise EngineError(f"{path} cannot be loaded ({error}): reinstall faster-whisper") from error
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        self._hidden = np.zeros(_STATE_SHAPE, np.float32)
        self._cell = np.zeros(_STATE_SHAPE, np.float32)
        self._offset: float | None = None
        self._level = 0.0

    def __call__(self, window: np.ndarray) -> float:
        """Probability of speech in the next 32 ms.

        Shapes: window (512,) int16 at 16 kHz.
        """
        if window.shape != (CHUNK_SAMPLES,):
            raise ValueError(f"a window has {CHUNK_SAMPLES} samples, not {window.shape}")
        samples = window.astype(np.float32) / _FULL_SCALE
        mean = float(samples.mean())
        self._offset = mean if self._offset is None else self._offset + (1 - _OFFSET_MEMORY) * (mean - self._offset)
        samples -= self._offset
        self._level = max(float(np.sqrt(np.mean(np.square(samples)))), self._level * _RELEASE)
        if self._level > _LOUDEST:
            samples *= _LOUDEST / self._level
        heard = np.concatenate([self._context, samples])[np.newaxis]
        probability, self._hidden, self._cell = self._session.run(
            None, {"input": heard, "h": self._hidden, "c": self._cell}
        )
        self._context = samples[-_CONTEXT_SAMPLES:].copy()
        return float(probability.item())

    def reset(self) -> None:
        """Forget all that was heard."""
        for state in (self._context, self._hidden, self._cell):
            state.fill(0)
        self._offset = None
        self._level = 0.0


def _asset() -> Path:
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        raise EngineError(f"the speech detector needs the faster-whisper package: {_REMEDY}")
    path = Path(spec.origin).parent / _ASSET
    if not path.is_file():
        raise EngineError(f"this faster-whisper has no {_ASSET}: {_REMEDY}")
    return path
