"""Weights as a step of one utterance takes them: the same numbers in little more than half of the operations.

A step on a CPU is little arithmetic and many small operations, so what depends on weights alone is worked into them:

    norm(x) W + b           = n(x) (g W) + (c W + b)        n: the norm without its gain g and shift c
    sum of p_m or missing   = [x_m where present, marks] [W_m; b_m - missing_m] + sum of missing_m
    [x or 0, 1 or 0] [W; V] = [x or 1, 0 or 1] [W; -W - V] + sum of V       "or" where x was not measured: x - x is NaN
    gelu(x)                 = s (1 + erf(s)) / sqrt(2),     s = x / sqrt(2); the root goes into the weights around it

The last is exact, and cheaper than the operator of torch, whose library sets itself up for each call (five times the
time at one row of 128).
The rule of this file: functions of modules, which stay as they are, and differentiable; whoever folds at every step
saves nothing (`derived.py` stores). Each is held to its module by tests.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from erc_live.models.batch import UtteranceBatch
from erc_live.models.blocks.fusion import CLIP, Fusion, require_width
from erc_live.models.modalities import MODALITIES

ROOT = math.sqrt(0.5)
AUDIO = MODALITIES.index("audio")


def folded_linear(norm: Any, linear: Any) -> tuple[Tensor, Tensor]:
    """A linear layer behind a layer norm, as one behind the same norm without gain and shift.

    Shapes: nn.LayerNorm of D, nn.Linear of D to E -> weight (D, E), bias (E,)
    """
    return linear.weight.t() * norm.weight[:, None], linear.bias + linear.weight @ norm.bias


def scaled_gelu(scaled: Tensor) -> Tensor:
    """sqrt(2) gelu(x) of `scaled` = x / sqrt(2). Shapes: any -> the same"""
    return torch.addcmul(scaled, scaled, torch.erf(scaled))


@dataclass(frozen=True)
class FoldedFusion:
    """`Fusion` in evaluation. Shapes: listen (2 D_a, width), join (D_t + width + D_v + 3, width), without the rows of
    modalities of width 0.
    """

    dims: tuple[int, ...]
    columns: tuple[int, ...]  # of each modality in what is joined
    median: Tensor
    rate: Tensor  # 1 / spread
    listen: tuple[Tensor, Tensor]  # weight and bias of the first layer for prosody
    join: tuple[Tensor, Tensor]  # weight and bias of all that is added
    nothing: Tensor  # 0, which stands where a value is absent
    others: Tensor  # (3, 3) bool, for each modality all but itself

    @classmethod
    def of(cls, fusion: Fusion) -> "FoldedFusion":
        """The same function, of the weights as they are now."""
        projections: Any = fusion.project
        missing, like = fusion.missing, fusion.missing.new_zeros
        weights, marks = [], [like(len(missing[0]))] * 3
        listen = like(0, 0), like(0)
        for m, name in enumerate(projections):
            if not fusion.dims[m]:
                continue
            if name == "audio":
                first, last = projections[name][0], projections[name][-1]
                values, measured = (first.weight.t() * ROOT).chunk(2)
                listen = torch.cat((values, -values - measured)), first.bias * ROOT + measured.sum(0)
                weight, bias = last.weight.t() * ROOT, last.bias
            else:
                weight, bias = folded_linear(projections[name][0], projections[name][-1])
            weights.append(weight)
            marks[m] = bias - missing[m]
        return cls(
            dims=fusion.dims,
            columns=(fusion.dims[0], len(missing[0]), fusion.dims[2]),
            median=fusion.scale.median,
            rate=1.0 / fusion.scale.spread,
            listen=listen,
            join=(torch.cat((*weights, torch.stack(marks))), missing.sum(0)),
            nothing=like(()),
            others=~torch.eye(len(MODALITIES), dtype=torch.bool, device=missing.device),
        )

    def inputs(self, utterances: UtteranceBatch) -> tuple[Tensor, ...]:
        """What is joined: the normed text first, then prosody, the normed visual vector, and which of them are there.

        Shapes: N rows -> (N, D_t), (N, width), (N, D_v), (N, 3), without modalities of width 0
        """
        marks, parts = utterances.present, []
        for m, (values, there) in enumerate(zip(utterances.vectors(), marks.unsqueeze(-1).unbind(1), strict=True)):
            width, dim = values.shape[1], self.dims[m]
            if width != dim:
                require_width(m, width, dim)
                marks = marks & self.others[m]
                parts.append(self.nothing.expand(len(values), self.columns[m]))
            elif dim:
                parts.append(self._prosody(values, there) if m == AUDIO else self._normed(values, there))
        return *parts, marks.float()

    def joined(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The fused vector. Shapes: as `inputs` gives -> (N, width)"""
        weight, bias = self.join
        return torch.addmm(bias, torch.cat(inputs, 1), weight)

    def _normed(self, values: Tensor, there: Tensor) -> Tensor:
        return torch.layer_norm(torch.where(there, values, self.nothing), values.shape[1:])  # a row of zeros stays one

    def _prosody(self, values: Tensor, there: Tensor) -> Tensor:
        scaled = (values - self.median) * self.rate
        gap = scaled - scaled  # 0, but NaN where the value is NaN or infinite
        clipped = torch.cat((scaled, gap), 1).nan_to_num(1.0, 1.0, 1.0).clamp(-CLIP, CLIP)
        weight, bias = self.listen
        vector = scaled_gelu(torch.addmm(bias, clipped, weight))
        return torch.where(there, vector, self.nothing)


@dataclass(frozen=True)
class FoldedAttention:
    """A layer of attention over a past window with the norm before it, for the newest utterance in evaluation.

    Keys, values and kinds of edges are carried divided by sqrt(2) and the query is multiplied by it, which leaves the
    attention as it is and gives `scaled_gelu` what it takes. The query holds the 1 / sqrt(d) of the scores, too. With a
    single query, products and sums take no longer than the operator of torch, which hides the shares.
    Shapes: weight (width, 4 width) to query, skip, key and value, bias (4 width,)
    """

    heads: int
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, norm: Any, attend: Any) -> "FoldedAttention":
        """Of a layer norm and the TransformerConv behind it."""
        score = 1.0 / math.sqrt(attend.out_channels)
        scales = attend.lin_query.weight.new_tensor([score / ROOT, ROOT, ROOT, ROOT])[:, None]
        layers = (attend.lin_query, attend.lin_skip, attend.lin_key, attend.lin_value)
        weights, biases = zip(*(folded_linear(norm, linear) for linear in layers), strict=True)
        bias = torch.stack(biases) * scales
        weight = torch.stack(weights, dim=1) * scales  # (width, 4, width)
        return cls(attend.heads, weight.flatten(1), bias.flatten())

    def step(self, x: Tensor, past: Tensor, kinds: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the layer makes of the newest row, the keys and values of all rows, and how much it took of each row by
        head, which sums to 1.

        Shapes: x (B, width), past (B, 2, heads, window, d), kinds (B, 1, heads, window + 1, d), reach (B, 1,
        window + 1), 0 or -inf -> (B, width), (B, 2, heads, window + 1, d), (B, heads, window + 1), the newest last
        """
        rows = torch.addmm(self.bias, torch.layer_norm(x, x.shape[1:]), self.weight)
        asked, newest = rows.view(len(x), 2, 2, self.heads, 1, -1).unbind(1)
        query, skip = asked.unbind(1)
        memory = torch.cat((past, newest), dim=3)
        keys, values = (memory + kinds).unbind(1)
        shares = torch.softmax(torch.sum(query * keys, -1) + reach, -1)
        mixed = torch.sum(shares.unsqueeze(-1) * values, 2, keepdim=True)
        added = scaled_gelu((mixed + skip).flatten(1))
        return torch.add(x, added, alpha=ROOT), memory, shares
