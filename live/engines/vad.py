"""Speech detector: one window of samples in, the probability that somebody speaks out.

Silero's recurrent network, run window by window, from the ONNX file that the faster-whisper package carries. The
class of that package forgets the recurrent state at each call, which is right for a whole file and wrong for a stream,
so we hold the state ourselves and use the file only. It is found without importing the package, which would load the
whole recogniser.
"""

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime

from erc_live.live.errors import EngineError
from erc_live.streams.messages import CHUNK_SAMPLES

_ASSET = "assets/silero_vad_v6.onnx"
_CONTEXT_SAMPLES = 64  # the end of the previous window, which the network sees before the new one
_STATE_SHAPE = (1, 1, 128)  # layers, streams, width
_FULL_SCALE = 32768.0  # int16 -> [-1, 1)


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

    def __call__(self, window: np.ndarray) -> float:
        """Probability of speech in the next 32 ms.

        Shapes: window (512,) int16 at 16 kHz.
        """
        if window.shape != (CHUNK_SAMPLES,):
            raise ValueError(f"a window has {CHUNK_SAMPLES} samples, not {window.shape}")
        samples = window.astype(np.float32) / _FULL_SCALE
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


def _asset() -> Path:
    spec = importlib.util.find_spec("faster_whisper")
    if spec is None or spec.origin is None:
        raise EngineError("the speech detector needs the faster-whisper package: pip install 'faster-whisper>=1.2,<2'")
    path = Path(spec.origin).parent / _ASSET
    if not path.is_file():
        raise EngineError(f"this faster-whisper has no {_ASSET}: install a version of the range 1.2 to 1.x")
    return path
