"""Blocks that have a step of their own, in a frame that makes a network of one: fusion, the block, a linear head."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from erc_live.models.batch import DialogueBatch, UtteranceBatch, unpack
from erc_live.models.blocks.context import ContextGRU, DialogueRNN
from erc_live.models.blocks.fusion import Fusion

WIDTH = 8


@dataclass(frozen=True)
class Held:
    """What the block holds: a tensor or a dataclass of tensors."""

    block: Any


class Framed(nn.Module):
    """`whole` and `step` call the block with what it asks for of (rows, speakers, lengths or state)."""

    receptive_field = None  # both blocks are recurrent

    def __init__(self, dims: tuple[int, int, int], block: Any, whole: Callable[..., Tensor], step: Callable[..., Any]):
        super().__init__()
        self.config = SimpleNamespace(classes=7, text_dim=dims[0], audio_dim=dims[1], visual_dim=dims[2])
        self.fusion = Fusion(dims, WIDTH, dropout=0.0)
        self.block = block
        self.head = nn.Linear(WIDTH, 7)
        self._whole, self._step = whole, step

    def forward(self, batch: DialogueBatch) -> Tensor:
        utterances = batch.utterances()
        heard = self._whole(self.block, self.fusion(utterances), utterances.speakers, batch.lengths)
        return unpack(self.head(heard), batch.lengths, batch.speakers.shape[1])

    def initial_state(self, dialogues: int = 1) -> Held:
        return Held(self.block.initial_state(dialogues))

    def step(self, utterance: UtteranceBatch, state: Held) -> tuple[Tensor, Held]:
        heard, after = self._step(self.block, self.fusion(utterance), utterance.speakers, state.block)
        return self.head(heard), Held(after)


def context_gru(dims: tuple[int, int, int]) -> Framed:
    return Framed(
        dims,
        ContextGRU(WIDTH, WIDTH, layers=2, dropout=0.0, causal=True),
        lambda block, rows, _speakers, lengths: block(rows, lengths),
        lambda block, rows, _speakers, state: block.step(rows, state),
    )


def dialogue_rnn(dims: tuple[int, int, int]) -> Framed:
    return Framed(
        dims,
        DialogueRNN(WIDTH, slots=3, causal=True),
        lambda block, rows, speakers, lengths: block(rows, speakers, lengths),
        lambda block, rows, speakers, state: block.step(rows, speakers, state),
    )
