"""One closed utterance in, its words, sound and faces out: the slow half of perception.

The analyser only composes engines; it keeps no state between utterances, so the same samples give the same answer
whatever came before, in whichever thread it runs. Its answers come before the order of the utterances is known; what
depends on it, the text vector, is made later (`context.py`).
"""

from erc_live.live.engines.load import Engines
from erc_live.live.perception import Analysis, Request
from erc_live.streams.clock import Clock


class Analyser:
    """`analyser(request)` runs the engines one after the other, words first; stamps are of `clock`."""

    def __init__(self, engines: Engines, clock: Clock) -> None:
        self._engines = engines
        self._clock = clock

    def __call__(self, request: Request) -> Analysis:
        engines = self._engines
        transcript = engines.transcriber.transcribe(request.speech)
        t_text_ns = self._clock.now_ns()
        visual_vec, face_coverage = (None, None) if engines.faces is None else engines.faces.describe(request.frames)
        return Analysis(
            request=request,
            transcript=transcript,
            engine=engines.transcriber.name,
            t_text_ns=t_text_ns,
            audio_vec=engines.audio_encoder(request.speech.pcm),
            visual_vec=visual_vec,
            face_coverage=face_coverage,
            encoders=" ".join(f"{modality}={name}" for modality, name in engines.fingerprints.items()),
            t_features_ns=self._clock.now_ns(),
        )
