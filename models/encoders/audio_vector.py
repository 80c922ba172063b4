"""How an utterance sounds, as one vector: its prosody, then what the voice network makes of it.

Fifteen numbers and no more, the voice as calibrated log-probabilities of a few classes: there are few people in acted
clips, and from a wide vector a dialogue model would learn them by heart.
"""

import numpy as np

from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.voice import VoiceEncoder


class SoundEncoder:
    """One utterance of 16-bit samples -> its audio vector. `fingerprint` names both recipes and the weights."""

    def __init__(self, prosody: ProsodyEncoder, voice: VoiceEncoder) -> None:
        self.dim = prosody.dim + voice.dim
        self.fingerprint = audio_fingerprint(prosody.fingerprint, voice.fingerprint)
        self._prosody = prosody
        self._voice = voice

    def __call__(self, pcm: np.ndarray) -> np.ndarray | None:
        """int16 (n,), n >= 0 -> float32 (15,), NaN where a value could not be measured; None when none could."""
        vector = np.concatenate([self._prosody(pcm), self._voice(pcm)])
        return None if np.isnan(vector).all() else vector


def audio_fingerprint(prosody: str, voice: str) -> str:
    """What a model card says of audio vectors: the recipe of the prosody and the fingerprint of the voice network."""
    return f"{prosody}+{voice}"
