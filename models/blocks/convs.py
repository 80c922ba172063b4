"""Two graph operators that PyTorch Geometric lacks: gated convolution, and hypergraph convolution with a prefix form.

Both work on one node per utterance and modality, in the layout (B, M, T, D): dialogue, modality, time, width. Edges are
dense weights, because a dialogue is short and its graph nearly complete; a weight of 0 means that there is no edge.
Each operator takes its source nodes as an argument: all utterances of a dialogue, or what is cached of its past.
The rule of this file: in the causal forms every weight into an utterance is normalised by the sources of that
utterance, so no finished node ever changes; and a node that is not present has sources but is none, nor is padding.
Sources: gated convolution and weighted hyperedges of M3NET (Chen et al., 2023), as VUEMO uses them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class EdgeWeights:
    """Normalised weights of the edges into each node.

    Shapes: inside (B, M, T, S) from S utterances in the same modality, across (B, T, M, M) from the other modalities
    of the same utterance (row: target).
    """

    inside: Tensor
    across: Tensor


def complete_edges(present: Tensor) -> EdgeWeights:
    """All other utterances of the dialogue, each edge divided by the root of both degrees, as published.

    Shapes: present (B, M, T) bool
    """
    inside = present[:, :, None] & ~torch.eye(present.shape[2], dtype=torch.bool, device=present.device)
    across = _others(present)
    root = _degree(inside, across).rsqrt()  # (B, M, T)
    side = root.transpose(1, 2)
    return EdgeWeights(
        inside * root[..., :, None] * root[..., None, :],
        across * side[..., :, None] * side[..., None, :],
    )


def past_edges(present: Tensor, window: int) -> EdgeWeights:
    """The `window` utterances before, divided by the in-degree: a source's degree would grow with its future.

    Shapes: present (B, M, T) bool
    """
    time = torch.arange(present.shape[2], device=present.device)
    distance = time[:, None] - time
    return _by_in_degree(present[:, :, None] & (distance >= 1) & (distance <= window), _others(present))


def past_edges_step(past: Tensor, present: Tensor) -> EdgeWeights:
    """The row of `past_edges` for the newest utterance. Shapes: past (B, M, window), present (B, M, 1), both bool"""
    return _by_in_degree(past[:, :, None], _others(present))


def _others(present: Tensor) -> Tensor:
    return present.transpose(1, 2)[:, :, None] & ~torch.eye(present.shape[1], dtype=torch.bool, device=present.device)


def _degree(inside: Tensor, across: Tensor) -> Tensor:
    return (inside.sum(-1) + across.sum(-1).transpose(1, 2)).clamp(min=1).float()


def _by_in_degree(inside: Tensor, across: Tensor) -> EdgeWeights:
    degree = _degree(inside, across)
    return EdgeWeights(inside / degree[..., None], across / degree.transpose(1, 2)[..., None])


class GatedConv(nn.Module):
    """out_i = sum_j e_ij tanh(w . [h_i ; h_j] + b) h_j

    The gate in (-1, 1) lets a node average with a neighbour (low frequency) or differ from it (high frequency).

    Shapes: nodes (B, M, T, D), sources (B, M, S, D), to which `EdgeWeights.inside` leads -> (B, M, T, D)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * width, 1)

    def forward(self, nodes: Tensor, sources: Tensor, edges: EdgeWeights) -> Tensor:
        utterances = nodes.transpose(1, 2)
        across = self._aggregate(utterances, utterances, edges.across).transpose(1, 2)
        return self._aggregate(nodes, sources, edges.inside) + across

    def _aggregate(self, targets: Tensor, sources: Tensor, edges: Tensor) -> Tensor:
        of_target, of_source = self.gate.weight.chunk(2, dim=1)
        by_target = functional.linear(targets, of_target, self.gate.bias)
        gates = torch.tanh(by_target + functional.linear(sources, of_source).transpose(-1, -2))
        return (gates * edges.to(gates.dtype)) @ sources


@dataclass(frozen=True)
class Averages:
    """How the members of a modality's hyperedge are averaged for each utterance.

    Shapes: weights (B, M, T, S), rows that sum to 1 or, without a source, to 0; filled (B, M, T) bool, is there a
    source.
    """

    weights: Tensor
    filled: Tensor

    def of(self, nodes: Tensor, past: Tensor | None) -> Tensor:
        """Means of the nodes, in step form of the `past` means and the newest nodes.

        Shapes: nodes (B, M, T, D), past (B, M, D) -> (B, M, T, D)
        """
        sources = nodes if past is None else torch.cat((past[:, :, None], nodes), dim=2)
        return self.weights.to(nodes.dtype) @ sources


def complete_averages(present: Tensor) -> Averages:
    """Each utterance gets the mean of the whole dialogue. Shapes: present (B, M, T) bool"""
    count = present.sum(-1, keepdim=True)
    weights = (present / count.clamp(min=1))[:, :, None].expand(-1, -1, present.shape[2], -1)
    return Averages(weights, (count > 0).expand_as(present))


def past_averages(present: Tensor, decay: float) -> Averages:
    """Each utterance gets the mean of those up to itself, `decay` ** k for the one with k present ones after it.

    A decay of 1 is the plain mean, which freezes in a long dialogue: the newest weighs 1 / t. Absent utterances do not
    age the others, so the sum of the weights is never below 1. Shapes: present (B, M, T) bool
    """
    seen = present.cumsum(-1)
    age = (seen[..., :, None] - seen[..., None, :]).clamp(min=0)
    weights = (decay**age * present[:, :, None]).tril()
    return Averages(weights / weights.sum(-1, keepdim=True).clamp(min=1.0), seen > 0)


def past_averages_step(counts: Tensor, present: Tensor, decay: float) -> tuple[Averages, Tensor]:
    """The row of `past_averages` for the newest utterance, which mixes with the mean so far; and the new counts.

    Shapes: counts (B, M), the sum of the weights so far; present (B, M, 1) bool
    """
    newest = present[..., 0]
    after = torch.where(newest, decay * counts + 1.0, counts)
    share = newest / after.clamp(min=1.0)
    return Averages(torch.stack((1.0 - share, share), dim=-1)[:, :, None], (after > 0)[..., None]), after


@dataclass(frozen=True)
class Mixing:
    """Both halves of a hypergraph convolution, nodes to hyperedges to nodes, folded into the weights between nodes.

    Shapes: local (B, T, M, M) from the nodes of the same utterance (row: target), wide (B, M, T) from the mean of the
    node's own modality.
    """

    local: Tensor
    wide: Tensor


class Hyperedges(nn.Module):
    """One hyperedge per modality over time, and `members` inside each utterance; one weight per type of each.

        m_e = sum_v gamma_v x_v / sum_v gamma_v  over the present nodes v of hyperedge e
        x_v <- sum_e w_e m_e / sum_e w_e         over the hyperedges e of node v that are not empty

    Shapes: present (B, M, T) bool, filled (B, M, T) bool of `Averages` -> Mixing

    Args:
        members: which modalities meet in each local hyperedge, (E, M).
        only_normalise: leave gamma and w out of the sums, so that they only stand in the denominators (the release of
            VUEMO and M3NET).
    """

    members: Tensor

    def __init__(self, members: Tensor, only_normalise: bool = False) -> None:
        super().__init__()
        edges, modalities = members.shape
        self.register_buffer("members", members.float(), persistent=False)
        self.only_normalise = only_normalise
        self.log_gamma = nn.Parameter(torch.zeros(modalities))  # logarithms, so that no denominator can cross 0
        self.log_local = nn.Parameter(torch.zeros(edges))
        self.log_wide = nn.Parameter(torch.zeros(modalities))

    def forward(self, present: Tensor, filled: Tensor) -> Mixing:
        gamma, local, wide = self.log_gamma.exp(), self.log_local.exp(), self.log_wide.exp()[:, None]
        inside = self.members * present.transpose(1, 2)[:, :, None]  # (B, T, E, M)
        weight = (inside * gamma).sum(-1, keepdim=True)  # (B, T, E, 1), 0 where no member is present
        average = inside * (1.0 if self.only_normalise else gamma) / weight.where(weight > 0, 1.0)
        incoming = self.members.T * (local * (weight > 0).transpose(2, 3))  # (B, T, M, E) into the nodes
        total = incoming.sum(-1).transpose(1, 2) + wide * filled  # (B, M, T)
        total = total.where(total > 0, 1.0)
        if self.only_normalise:
            incoming, wide = (incoming > 0).to(gamma.dtype), 1.0 / gamma[:, None]
        return Mixing((incoming @ average) / total.transpose(1, 2)[..., None], wide * filled / total)


class HypergraphConv(nn.Module):
    """x <- LeakyReLU(what the hyperedges of each node say + bias); no matrix inside, as released.

    Shapes: nodes (B, M, T, D), means (B, M, T, D) of the modalities over time -> (B, M, T, D)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, nodes: Tensor, means: Tensor, mixing: Mixing) -> Tensor:
        local = torch.einsum("btmn,bntd->bmtd", mixing.local, nodes)
        return functional.leaky_relu(local + mixing.wide[..., None] * means + self.bias)
