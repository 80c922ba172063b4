"""The features of one utterance and the state of its dialogue in; probabilities of the labels and the next state out.

Words weigh by how far they may be believed (`live/asr/confidence.py`): p = c p(words, voice, face) + (1 - c) p(voice,
face), the law of total probability over whether they bear the label of what was spoken. No threshold masks them, for
what is probably right should count for something. The dialogue goes on from the likelier of the two. Each of the two is
as sure as the card says of the modalities that it rests on.
The rule of this file: nothing is remembered. A state is a value, and one call may take many states, one per row: what
the same utterance would be after other pasts.
"""

from typing import Any

import numpy as np
import torch
from msgspec import structs
from torch import Tensor

from erc_live.models.batch import UtteranceBatch
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.networks import steppable
from erc_live.models.state import tensors
from erc_live.streams.messages import UtteranceFeatures


class Classifier:
    """`classifier(features, speaker, state)` steps a network of `checkpoint` on a device."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.model = steppable(checkpoint.model).to(torch_device(device)).eval()
        self.labels = checkpoint.card.labels
        self._card = checkpoint.card
        self._device = torch_device(device)
        self._modalities = frozenset(checkpoint.card.encoders)

    def __call__(self, features: UtteranceFeatures, speaker: int, state: Any) -> tuple[Tensor, Any]:
        """The probabilities and the states that follow, for each row of `state`; call it in inference mode.

        Shapes: state of B rows -> (B, labels) float64 on the CPU, state of B rows
        """
        logits, after = self.model.step(self.batch(features, speaker, state), state)
        probs = torch.softmax(logits.double() / self._card.confidence(features.vectors).temperature, -1).cpu()
        confidence = features.text_confidence
        if confidence is None or "text" not in features.vectors:
            return probs, after
        without, after_without = self(masked(features, "text"), speaker, state)
        mixed = confidence * probs + (1 - confidence) * without
        return mixed, after if 2 * confidence >= 1 else after_without

    def certain(self, features: UtteranceFeatures, probability: float) -> bool:
        """Whether the card would show a label of that probability as certain: with the words, or without those that
        were rather misheard.
        """
        misheard = features.text_confidence is not None and 2 * features.text_confidence < 1
        heard = masked(features, "text") if misheard else features
        return probability >= self._card.confidence(heard.vectors).abstain_below

    def batch(self, features: UtteranceFeatures, speaker: int, state: Any) -> UtteranceBatch:
        """The utterance, once for each row of `state`."""
        vectors = {modality: torch.tensor(vector) for modality, vector in features.vectors.items()}
        utterance = UtteranceBatch.of(
            text=vectors.get("text"), audio=vectors.get("audio"), visual=vectors.get("visual"), speaker=speaker
        )
        count = len(next(iter(tensors(state).values())))
        return utterance.rows(torch.zeros(count, dtype=torch.int64)).to(self._device)

    def spoilt(self, features: UtteranceFeatures) -> list[str]:
        """Modalities that hold NaN or infinity; in prosody, NaN only says what could not be measured."""
        return [
            modality
            for modality, vector in features.vectors.items()
            if modality in self._modalities
            and (np.isinf(vector).any() or (modality != "audio" and np.isnan(vector).any()))
        ]

    def usable(self, features: UtteranceFeatures) -> UtteranceFeatures:
        """With the vectors alone of modalities that the model was trained on, and without those that are spoilt."""
        unknown = features.vectors.keys() - self._modalities
        return masked(features, *unknown, *self.spoilt(features))


def masked(features: UtteranceFeatures, *modalities: str) -> UtteranceFeatures:
    """The same utterance as if these modalities were missing."""
    left = {modality: vector for modality, vector in features.vectors.items() if modality not in modalities}
    return structs.replace(features, vectors=left)


def torch_device(choice: str) -> str:
    """The device that `auto` means here, or the one that was named."""
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice
