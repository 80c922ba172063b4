"""The features of one utterance and the state of its dialogue in; probabilities of the labels and the next state out.

Words weigh by how far they may be believed (`live/asr/confidence.py`): p = c p(words, voice, face) + (1 - c) p(voice,
face), the law of total probability over whether they bear the label of what was spoken. No threshold masks them, for
what is probably right should count for something. The dialogue goes on from the likelier of the two. Each of the two is
as sure as the card says of the modalities that it rests on. Valence and arousal, where the network has learnt them,
are mixed as the probabilities are: the mean over both cases.
The rule of this file: nothing is remembered here. A state is a value, and one call may take many states, one per row:
what the same utterance would be after other pasts. Or the states of many dialogues lie in `slots.py`, and the next
utterance of each is classified together with the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from msgspec import structs
from torch import Tensor

from erc_live.live.tracking.slots import Slots
from erc_live.models.batch import UtteranceBatch
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.dimensions import DIMENSIONS, learnt_dimensions
from erc_live.models.modalities import MODALITIES
from erc_live.models.networks import steppable
from erc_live.models.state import tensors, widths
from erc_live.streams.messages import UtteranceFeatures


@dataclass(frozen=True)
class NextUtterance:
    """The next utterance of a dialogue, with vectors that the model can use, and the number of who speaks."""

    features: UtteranceFeatures
    speaker: int

    @property
    def doubted(self) -> bool:
        """Whether its words count by how far they may be believed."""
        return self.features.text_confidence is not None and "text" in self.features.vectors

    @property
    def misheard(self) -> bool:
        """Whether its words were rather misheard than not; the dialogue then goes on without them."""
        return self.doubted and 2 * (self.features.text_confidence or 0.0) < 1

    def alternative(self) -> "NextUtterance":
        """The same without its words."""
        return NextUtterance(masked(self.features, "text"), self.speaker)


class Classifier:
    """`classifier(features, speaker, state)` steps a network of `checkpoint` on a device."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.model = steppable(checkpoint.model).to(torch_device(device)).eval()
        self.labels = checkpoint.card.labels
        self._card = checkpoint.card
        self._learnt = [DIMENSIONS.index(name) for name in learnt_dimensions(checkpoint.model.config)]
        self._device = torch_device(device)
        self._modalities = frozenset(checkpoint.card.encoders)

    def __call__(self, features: UtteranceFeatures, speaker: int, state: Any) -> tuple[Tensor, Any]:
        """The probabilities and the states that follow, for each row of `state`; call it in inference mode.

        Shapes: state of B rows -> (B, labels) float64 on the CPU, state of B rows
        """
        answers, after = self.model.step(self.batch(features, speaker, state), state)
        logits = answers[:, : len(self.labels)]
        probs = torch.softmax(logits.double() / self._card.confidence(features.vectors).temperature, -1).cpu()
        confidence = features.text_confidence
        if confidence is None or "text" not in features.vectors:
            return probs, after
        without, after_without = self(masked(features, "text"), speaker, state)
        mixed = confidence * probs + (1 - confidence) * without
        return mixed, after if 2 * confidence >= 1 else after_without

    def together(self, turns: Sequence[NextUtterance], slots: Slots[Any]) -> tuple[Tensor, Tensor]:
        """The probabilities for the next utterance of several dialogues, each at most once, whose states are in
        `slots`, and the learnt dimensions; where the utterance is final, its dialogue goes on.

        Shapes: N turns -> (N, labels), (N, 2) with NaN where one was not learnt, both float64 on the CPU

        Raises:
            ValueError: a vector is of another width than the model takes; no state has changed.
        """
        doubted = [number for number, turn in enumerate(turns) if turn.doubted]
        likelier = [turn.alternative() if turn.misheard else turn for turn in turns]
        other = [turns[n] if turns[n].misheard else turns[n].alternative() for n in doubted]
        stays = [*(True for _ in other), *(not turn.features.final for turn in turns)]
        unlikelier, found = self._stepped([*other, *likelier], slots, stays).tensor_split([len(other)])
        if doubted:
            believed = torch.tensor([turns[n].features.text_confidence for n in doubted], dtype=torch.float64)
            share = believed.where(believed >= 0.5, 1 - believed)[:, None]  # of the likelier
            found[doubted] = share * found[doubted] + (1 - share) * unlikelier
        return found[:, : len(self.labels)], found[:, len(self.labels) :]

    def _stepped(self, turns: Sequence[NextUtterance], slots: Slots[Any], stays: Sequence[bool]) -> Tensor:
        """Shapes: N turns -> (N, labels + 2), the dimensions behind the probabilities"""
        dialogues = [turn.features.dialogue for turn in turns]
        answers = slots.step(dialogues, self._rows(turns), stays).double()
        logits = answers[:, : len(self.labels)]
        dimensions = answers.new_full((len(answers), len(DIMENSIONS)), torch.nan)
        dimensions[:, self._learnt] = answers[:, len(self.labels) :]
        heat = [self._card.confidence(turn.features.vectors).temperature for turn in turns]
        probs = torch.softmax(logits / torch.tensor(heat, dtype=torch.float64)[:, None], -1)
        return torch.cat((probs, dimensions), dim=1)

    def _rows(self, turns: Sequence[NextUtterance]) -> UtteranceBatch:
        """The utterances side by side, each modality at the width of the model."""
        dims = dict(zip(MODALITIES, widths(self.model.config), strict=True))
        columns = {modality: np.zeros((len(turns), dim), np.float32) for modality, dim in dims.items()}
        present = np.zeros((len(turns), len(MODALITIES)), bool)
        for row, turn in enumerate(turns):
            for modality, vector in turn.features.vectors.items():
                if not dims[modality]:
                    continue
                if vector.shape != (dims[modality],):
                    raise ValueError(
                        f"{modality} vectors have shape {vector.shape}, the model takes ({dims[modality]},)"
                    )
                columns[modality][row] = vector
                present[row, MODALITIES.index(modality)] = True
        text, audio, visual = (torch.from_numpy(columns[modality]) for modality in MODALITIES)
        speakers = torch.tensor([turn.speaker for turn in turns])
        return UtteranceBatch(text, audio, visual, speakers, torch.from_numpy(present))

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
            and not np.vdot(vector, vector) < np.inf  # of most vectors, this is all that is asked
            and (np.isinf(vector).any() or (modality != "audio" and np.isnan(vector).any()))
        ]

    def usable(self, features: UtteranceFeatures) -> UtteranceFeatures:
        """With the vectors alone of modalities that the model was trained on, and without those that are spoilt."""
        unknown = features.vectors.keys() - self._modalities
        return masked(features, *unknown, *self.spoilt(features))


def masked(features: UtteranceFeatures, *modalities: str) -> UtteranceFeatures:
    """The same utterance as if these modalities were missing."""
    if not modalities:
        return features
    left = {modality: vector for modality, vector in features.vectors.items() if modality not in modalities}
    return structs.replace(features, vectors=left)


def torch_device(choice: str) -> str:
    """The device that `auto` means here, or the one that was named."""
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice
