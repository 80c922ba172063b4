"""The text vectors of a conversation: each utterance is read together with what was said before it.

This is the only part of perception that remembers words. It stands where utterances are released, for only there is
their order that of the conversation; so live and replay read the same past.
"""

from collections import deque

from msgspec import structs

from erc_live.models.encoders.text import PAST, TextEncoder, turns
from erc_live.streams.clock import Clock
from erc_live.streams.messages import UtteranceFeatures


class TextContext:
    """`describe` utterances in the order in which they are released; stamps are of `clock`."""

    def __init__(self, encoder: TextEncoder, clock: Clock) -> None:
        self._encoder = encoder
        self._clock = clock
        self._said: dict[str, deque[tuple[str, str]]] = {}  # dialogue -> voice and words of the last utterances

    def describe(self, features: UtteranceFeatures) -> UtteranceFeatures:
        """The same with its text vector; without one where nothing was recognised. A provisional utterance is not
        remembered.
        """
        if not features.text.strip():
            return features
        said = self._said.setdefault(features.dialogue, deque(maxlen=PAST))
        spoken = [*said, (features.speaker_name or features.source, features.text)]
        contexts = turns([voice for voice, _ in spoken], [text for _, text in spoken])
        vector = self._encoder.encode([features.text], contexts[-1:])[0].numpy()
        if features.final:
            said.append(spoken[-1])
        return structs.replace(features, text_vec=vector, t_features_ns=self._clock.now_ns())
