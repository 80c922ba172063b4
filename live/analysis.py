"""One closed utterance in, its words and features out: the slow half of perception.

The analyser only composes engines; it keeps no state between utterances, so the same samples give the same features
whatever came before, in whichever thread it runs.
"""

from collections.abc import Sequence

import numpy as np

from erc_live.live.engines.faces import FaceFinder
from erc_live.live.engines.load import Engines
from erc_live.live.perception import Analysis, Request
from erc_live.streams.clock import Clock
from erc_live.streams.messages import VideoFrame


class Analyser:
    """`analyser(request)` runs the engines one after the other, words first; stamps are of `clock`."""

    def __init__(self, engines: Engines, clock: Clock) -> None:
        self._engines = engines
        self._clock = clock

    def __call__(self, request: Request) -> Analysis:
        engines = self._engines
        transcript = engines.transcriber.transcribe(request.speech)
        t_text_ns = self._clock.now_ns()
        audio_vec = engines.audio_encoder(request.speech.pcm)
        return Analysis(
            request=request,
            transcript=transcript,
            engine=engines.transcriber.name,
            t_text_ns=t_text_ns,
            text_vec=engines.text_encoder.encode([transcript.text])[0].numpy() if transcript.text else None,
            audio_vec=None if np.isnan(audio_vec).all() else audio_vec,
            visual_vec=None,  # faces are found, not yet described
            face_coverage=face_coverage(engines.face_finder, request.frames),
            encoders=engines.fingerprint,
            t_features_ns=self._clock.now_ns(),
        )


def face_coverage(finder: FaceFinder | None, frames: Sequence[VideoFrame]) -> float | None:
    """Share of the pictures that show a face; None without pictures or without a finder."""
    if finder is None or not frames:
        return None
    return sum(bool(finder.find(frame.jpeg)) for frame in frames) / len(frames)
