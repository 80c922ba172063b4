"""Networks that leak the future, each by one of the mistakes that look harmless, and one that does not.

    x = fusion(u);   y_t = sum over s of A_ts x_s;   logits = head(x + y)

`A` is the mean over the past window in the sound network. The mutants differ from it in one function each.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from nets import DIMS
from torch import Tensor, nn
from torch.nn import functional

from erc_live.models.batch import DialogueBatch, unpack
from erc_live.models.blocks.fusion import Fusion

WINDOW, WIDTH = 4, 16
Mixing = Callable[
    [Tensor, Tensor], Tensor
]  # x (B, T, WIDTH), past (B, T, T) bool: target hears source -> (B, T, WIDTH)


class Mixed(nn.Module):
    """A network of one layer, whose way of hearing others is `mix`."""

    receptive_field = WINDOW

    def __init__(self, mix: Mixing) -> None:
        super().__init__()
        self.config = SimpleNamespace(classes=7, text_dim=DIMS[0], audio_dim=DIMS[1], visual_dim=DIMS[2])
        self.fusion = Fusion(DIMS, WIDTH, dropout=0.0)
        self.head = nn.Linear(WIDTH, 7)
        self.mix = mix

    def forward(self, batch: DialogueBatch) -> Tensor:
        steps = batch.speakers.shape[1]
        inside = torch.arange(steps) < batch.lengths[:, None]
        x = unpack(self.fusion(batch.utterances()), batch.lengths, steps)
        distance = torch.arange(steps)[:, None] - torch.arange(steps)
        past = ((distance >= 0) & (distance <= WINDOW)) & inside[:, None, :] & inside[:, :, None]
        return self.head(x + self.mix(x, past)) * inside[..., None]


def sound(x: Tensor, past: Tensor) -> Tensor:
    return mean(past.to(x.dtype)) @ x


def source_degree(x: Tensor, past: Tensor) -> Tensor:
    """Symmetric normalisation: what a source gives depends on how many later utterances hear it."""
    edges = past.to(x.dtype)
    degree = [edges.sum(axis, keepdim=True).clamp(min=1) for axis in (1, 2)]
    return edges / (degree[0] * degree[1]).sqrt() @ x


def norm_over_time(x: Tensor, past: Tensor) -> Tensor:
    """Layer norm over (time, feature) instead of each row by itself."""
    return functional.layer_norm(sound(x, past), x.shape[1:])


def unmasked_attention(x: Tensor, past: Tensor) -> Tensor:
    """Attention to all rows: to later ones and to padding."""
    return (x @ x.transpose(1, 2) / WIDTH**0.5).softmax(-1) @ x


def reversed_edges(x: Tensor, past: Tensor) -> Tensor:
    """Sources and targets exchanged, as when the flow of a graph library is taken the wrong way round."""
    return mean(past.transpose(1, 2).to(x.dtype)) @ x


def mean(edges: Tensor) -> Tensor:
    return edges / edges.sum(-1, keepdim=True).clamp(min=1)


MUTANTS = (source_degree, norm_over_time, unmasked_attention, reversed_edges)
