"""Attention of the utterances of one modality to those of the others, over a whole dialogue or over a past window.

The rule of this file: a mask, which the caller makes once, says who is attended to, and keys and values depend on the
attended utterance alone. So they can be cached, and the same layer serves a whole dialogue and a single newest
utterance.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from erc_live.models.batch import unpack


class PastMask(nn.Module):
    """Each utterance attends to itself and to `window` utterances before it; each distance has a learned preference.

    Relative distances, because a dialogue has no end and absolute positions would never have been trained. At the
    start there is no preference.

    Args:
        window: how many past utterances are attended to.
        heads: each has its own preferences.
    """

    def __init__(self, window: int, heads: int) -> None:
        super().__init__()
        self.window = window
        self.preference = nn.Parameter(torch.zeros(heads, window + 1))

    def forward(self, steps: int) -> Tensor:
        """Added to the scores of a whole dialogue. Shapes: -> (heads, steps, steps), -inf outside the window"""
        time = torch.arange(steps, device=self.preference.device)
        distance = time[:, None] - time
        inside = (distance >= 0) & (distance <= self.window)
        return self.preference[:, distance.clamp(0, self.window)].masked_fill(~inside, -torch.inf)

    def step(self, seen: Tensor) -> Tensor:
        """The row of the newest utterance of each dialogue, the past oldest first and then itself.

        Shapes: seen (B,) how many past utterances, counted from the newest, are cached -> (B, heads, 1, window + 1)
        """
        distance = torch.arange(self.window, -1, -1, device=seen.device)
        return self.preference.flip(1)[:, None].masked_fill((distance > seen[:, None])[:, None, None], -torch.inf)


def dialogue_mask(lengths: Tensor) -> Tensor:
    """Each utterance attends to its whole dialogue and to no padding. Shapes: lengths (B,) -> (B, 1, 1, T) bool"""
    inside = lengths.new_ones(int(lengths.sum()), dtype=torch.bool)
    return unpack(inside, lengths, int(lengths.max()))[:, None, None]


class CrossAttention(nn.Module):
    """Multi-head attention whose keys and values come from elsewhere than its queries.

    Shapes: queries (B, Q, width), memory (B, S, 2 width) made by `remember`, mask that fits (B, heads, Q, S)
    -> (B, Q, width)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.remember = nn.Linear(width, 2 * width)  # keys, then values
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for rows in (self.query(queries), *memory.chunk(2, dim=-1))
        )
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result

    def weights(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """How much of each attended row `forward` takes, the mean of the heads; a row sums to 1.

        Shapes: as in `forward` -> (B, Q, S)
        """
        query, key = (
            rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for rows in (self.query(queries), memory.chunk(2, dim=-1)[0])
        )
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        shares: Tensor = scores.softmax(-1).mean(1)
        return shares


class MultiAttn(nn.Module):
    """One layer of MultiEMO's stack of a modality: attend to one other modality, then to the other, then feed forward.

        x = norm(f + attend_1(f));  y = norm(x + attend_2(x));  f <- norm(y + W relu(W y))

    Source: MultiEMO (Shi and Huang, ACL 2023), equations 2 to 12.

    Shapes: own (B, Q, width), memory (B, 2, S, 2 width) made by `remember`, mask as for `CrossAttention`
    -> (B, Q, width)
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = CrossAttention(width, heads), CrossAttention(width, heads)
        self.think = nn.Sequential(nn.Linear(width, feedforward), nn.ReLU(), nn.Linear(feedforward, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def remember(self, others: Tensor) -> Tensor:
        """Keys and values of the other modalities. Shapes: others (B, 2, S, width) -> (B, 2, S, 2 width)"""
        return torch.stack((self.first.remember(others[:, 0]), self.second.remember(others[:, 1])), dim=1)

    def forward(self, own: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        own = self._asked_first(own, memory, mask)
        own = self.norms[1](own + self.dropout(self.second(own, memory[:, 1], mask)))
        thought: Tensor = self.norms[2](own + self.dropout(self.think(own)))
        return thought

    def weights(self, own: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """How much `forward` takes of each utterance of the first and of the second other modality.

        Shapes: as in `forward` -> (B, 2, Q, S)
        """
        first = self.first.weights(own, memory[:, 0], mask)
        second = self.second.weights(self._asked_first(own, memory, mask), memory[:, 1], mask)
        return torch.stack((first, second), dim=1)

    def _asked_first(self, own: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        asked: Tensor = self.norms[0](own + self.dropout(self.first(own, memory[:, 0], mask)))
        return asked
