"""Recordings as the pipeline hears them."""

from pathlib import Path

import av
import numpy as np


def read_pcm(path: Path) -> np.ndarray:
    """All samples of the first sound track: int16 (n,), mono, 16 kHz."""
    with av.open(str(path)) as media:
        resampler = av.AudioResampler("s16", "mono", 16_000)
        frames = [part for frame in media.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
