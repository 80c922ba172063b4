"""Cross-modal attention against loops over heads, queries and keys; masks by hand."""

import math

import torch
from torch import Tensor

from erc_live.models.blocks.attention import CrossAttention, MultiAttn, PastMask, dialogue_mask

INF = math.inf


def filled(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(1)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def slow_attention(attention: CrossAttention, own: Tensor, other: Tensor) -> Tensor:
    """Equations 2 and 3 of the paper: one dialogue, everything is heard. Shapes: own (Q, D), other (S, D)"""
    width = own.shape[1]
    size = width // attention.heads
    query = attention.query(own)
    key, value = attention.remember(other).split(width, dim=1)
    results = torch.zeros(len(own), width)
    for h in range(attention.heads):
        part = slice(h * size, (h + 1) * size)
        for i in range(len(own)):
            weights = [math.exp(query[i, part] @ key[s, part] / math.sqrt(size)) for s in range(len(other))]
            for s, weight in enumerate(weights):
                results[i, part] += weight / sum(weights) * value[s, part]
    return attention.out(results)


@torch.no_grad()
def test_cross_attention_is_its_equation() -> None:
    attention = filled(CrossAttention(6, heads=2))
    own, other = torch.randn(3, 6), torch.randn(4, 6)
    everything = torch.ones(1, 1, 1, 4, dtype=torch.bool)
    heard = attention(own[None], attention.remember(other[None]), everything)[0]
    torch.testing.assert_close(heard, slow_attention(attention, own, other))


@torch.no_grad()
def test_a_layer_is_its_equations() -> None:
    layer = filled(MultiAttn(6, heads=2, feedforward=9, dropout=0.5)).eval()
    own, first, second = torch.randn(3, 4, 6)
    x = layer.norms[0](own + slow_attention(layer.first, own, first))
    y = layer.norms[1](x + slow_attention(layer.second, x, second))
    w1, w2 = layer.think[0], layer.think[2]
    thought = (y @ w1.weight.T + w1.bias).clamp(min=0) @ w2.weight.T + w2.bias
    expected = layer.norms[2](y + thought)
    memory = layer.remember(torch.stack((first, second))[None])
    heard = layer(own[None], memory, torch.ones(1, 1, 1, 4, dtype=torch.bool))[0]
    torch.testing.assert_close(heard, expected)


@torch.no_grad()
def test_the_past_mask_by_hand() -> None:
    mask = PastMask(window=2, heads=1)
    mask.preference.copy_(torch.tensor([[0.1, 0.2, 0.3]]))  # of the distances 0, 1, 2
    rows = [[0.1, -INF, -INF, -INF], [0.2, 0.1, -INF, -INF], [0.3, 0.2, 0.1, -INF], [-INF, 0.3, 0.2, 0.1]]
    torch.testing.assert_close(mask(4)[0], torch.tensor(rows))
    steps = mask.step(torch.tensor([0, 1, 2]))
    assert steps.shape == (3, 1, 1, 3)
    torch.testing.assert_close(steps[:, 0, 0], torch.tensor([[-INF, -INF, 0.1], [-INF, 0.2, 0.1], [0.3, 0.2, 0.1]]))


@torch.no_grad()
def test_the_row_of_a_step_is_the_last_row_of_the_whole() -> None:
    mask = filled(PastMask(window=3, heads=2))
    for steps in range(1, 8):
        seen = min(steps - 1, 3)
        row = mask.step(torch.tensor([seen]))[0, :, 0]
        torch.testing.assert_close(row[:, 3 - seen :], mask(steps)[:, -1, steps - 1 - seen :])


def test_the_dialogue_mask_leaves_padding_out() -> None:
    mask = dialogue_mask(torch.tensor([1, 3]))
    assert mask[:, 0, 0].tolist() == [[True, False, False], [True, True, True]]
