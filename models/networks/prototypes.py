"""Prototypes: labels by their examples, without training. Each label is the mean vector of its sentences.

    c   = mean over labels k of p_k,   p_k = mean vector of the sentences of k
    y_k = s cos(x - c, p_k - c)        s: how sharp

The nearest class mean (Mensink et al. 2013, "Distance-based image classification", TPAMI 35) by the cosine. The word is
that of Snell et al. (2017, "Prototypical networks for few-shot learning"), who train the encoder as well. Without c,
which all labels share, the vectors of a text encoder point much the same way and all cosines are alike.
It reads the words of an utterance alone, as its text vector has them; where there are none, all labels are as likely.
It remembers nothing, so its state is empty.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from erc_live.models.batch import DialogueBatch, UtteranceBatch, unpack
from erc_live.models.blocks.heads import EmotionHead
from erc_live.models.modalities import MODALITIES

SHARPNESS = 10.0  # s, before a temperature is applied: cosines of sentences lie within a few tenths


@dataclass(frozen=True)
class PrototypesConfig:
    """Sizes. Sound and faces are never read; `window` is that of all networks, and 0: each utterance is alone."""

    classes: int
    text_dim: int
    audio_dim: int = 0
    visual_dim: int = 0
    window: int = 0
    causal: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes of which no network can be built."""
        if self.classes < 1 or self.text_dim < 1 or self.audio_dim or self.visual_dim or self.window or not self.causal:
            raise ValueError(f"prototypes read words alone, one utterance at a time: {self}")


@dataclass(frozen=True)
class NoState:
    """Nothing, of B dialogues. Shapes: nothing (B, 0)"""

    nothing: Tensor


class Prototypes(nn.Module):
    """Implements `Steppable[NoState]`."""

    centre: Tensor

    def __init__(self, config: PrototypesConfig) -> None:
        super().__init__()
        self.config = config
        self.receptive_field = 0
        self.register_buffer("centre", torch.zeros(config.text_dim))
        self.head = EmotionHead(nn.Linear(config.text_dim, config.classes))

    @classmethod
    @torch.no_grad()
    def of(cls, means: Tensor) -> "Prototypes":
        """Of the mean vector of each label. Shapes: means (classes, text_dim)"""
        model = cls(PrototypesConfig(*means.shape))
        model.centre.copy_(means.mean(0))
        last = cast(nn.Linear, model.head[-1])
        last.weight.copy_(SHARPNESS * functional.normalize(means - model.centre, dim=-1))
        last.bias.zero_()
        return model.eval()

    def forward(self, batch: DialogueBatch) -> Tensor:
        """Logits of every utterance. Shapes: -> (B, T, classes), zeros behind the end of a dialogue."""
        return unpack(self._logits(batch.utterances()), batch.lengths, batch.speakers.shape[1])

    def initial_state(self, dialogues: int = 1) -> NoState:
        """Nothing, of so many dialogues."""
        return NoState(self.centre.new_zeros(dialogues, 0))

    def step(self, utterance: UtteranceBatch, state: NoState) -> tuple[Tensor, NoState]:
        """Classify the next utterance of each dialogue. Shapes: -> logits (B, classes), the state as it was"""
        return self._logits(utterance), state

    def _logits(self, utterances: UtteranceBatch) -> Tensor:
        there = utterances.present[:, MODALITIES.index("text"), None]
        if not utterances.text.shape[1]:
            return self.centre.new_zeros(len(utterances), self.config.classes)
        return self.logits(torch.where(there, utterances.text, self.centre))

    def logits(self, vectors: Tensor) -> Tensor:
        """Of text vectors; one that is the centre says nothing. Shapes: (N, text_dim) -> (N, classes)"""
        logits: Tensor = self.head(functional.normalize(vectors - self.centre, dim=-1))
        return logits
