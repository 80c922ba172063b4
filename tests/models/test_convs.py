from math import sqrt, tanh

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import HypergraphConv as Oracle

from erc_live.models.blocks.convs import (
    GatedConv,
    Hyperedges,
    HypergraphConv,
    complete_averages,
    complete_edges,
    past_averages,
    past_averages_step,
    past_edges,
    past_edges_step,
)

TRIANGLE = torch.tensor([[1, 1, 0], [0, 1, 1]])
seeds = st.integers(0, 2**16)
checked = settings(max_examples=20, deadline=None)


def everyone(time: int, modalities: int = 3) -> Tensor:
    return torch.ones(1, modalities, time, dtype=torch.bool)


def some(seed: int, time: int, modalities: int = 3) -> Tensor:
    return torch.rand(2, modalities, time, generator=torch.Generator().manual_seed(seed)) < 0.6


def gated(width: int, seed: int = 0) -> GatedConv:
    torch.manual_seed(seed)
    return GatedConv(width)


def test_gated_convolution_of_two_utterances_by_hand() -> None:
    conv = gated(1)
    with torch.no_grad():
        conv.gate.weight.copy_(torch.tensor([[0.5, -2.0]]))
        conv.gate.bias.fill_(0.1)
    h = torch.tensor([[1.0, 2.0], [3.0, -1.0]])  # modality, utterance
    nodes = h[None, ..., None]
    gate = lambda i, j: tanh(0.5 * i - 2.0 * j + 0.1) * j  # noqa: E731
    published = conv(nodes, nodes, complete_edges(everyone(2, 2)))[0, ..., 0]
    assert published[0, 0].item() == pytest.approx((gate(1.0, 2.0) + gate(1.0, 3.0)) / 2, abs=1e-6)
    causal = conv(nodes, nodes, past_edges(everyone(2, 2), window=1))[0, ..., 0]
    assert causal[0, 0].item() == pytest.approx(gate(1.0, 3.0), abs=1e-6)  # nothing before it, one other modality
    assert causal[1, 1].item() == pytest.approx((gate(-1.0, 3.0) + gate(-1.0, 2.0)) / 2, abs=1e-6)


def test_published_edges_divide_by_the_number_of_utterances_and_one() -> None:
    edges = complete_edges(everyone(4))
    torch.testing.assert_close(edges.inside, (1 - torch.eye(4)).expand(1, 3, 4, 4) / 5)
    torch.testing.assert_close(edges.across, (1 - torch.eye(3)).expand(1, 4, 3, 3) / 5)


def test_published_edges_divide_by_the_roots_of_both_degrees() -> None:
    present = everyone(3, 2)
    present[0, 1, 2] = False  # degrees: 3 of the first modality's utterances 0 and 1, and 2 of its utterance 2
    edges = complete_edges(present)
    assert edges.inside[0, 0, 0, 2].item() == pytest.approx(1 / sqrt(3 * 2))
    assert edges.inside[0, 0, 0, 1].item() == pytest.approx(1 / 3)


@checked
@given(seed=seeds, time=st.integers(1, 9), window=st.integers(1, 4))
def test_past_edges_end_in_the_window_and_are_a_mean_over_what_is_present(seed: int, time: int, window: int) -> None:
    present = some(seed, time)
    edges = past_edges(present, window)
    total = edges.inside.sum(-1) + edges.across.sum(-1).transpose(1, 2)
    assert ((total - 1).abs() < 1e-6).logical_or(total == 0).all()
    for target in range(time):
        for source in range(time):
            heard = edges.inside[:, :, target, source] > 0
            allowed = present[:, :, source] if 1 <= target - source <= window else torch.zeros(2, 3, dtype=torch.bool)
            assert torch.equal(heard, allowed)


@checked
@given(seed=seeds, time=st.integers(2, 9), window=st.integers(1, 4))
def test_the_step_of_the_edges_is_the_last_row(seed: int, time: int, window: int) -> None:
    present = some(seed, time)
    whole, past = past_edges(present, window), torch.zeros(2, 3, window, dtype=torch.bool)
    past = torch.cat((past, present[..., :-1]), dim=-1)[..., -window:]
    step = past_edges_step(past, present[..., -1:])
    torch.testing.assert_close(step.across, whole.across[:, -1:])
    reach = min(window, time - 1)
    torch.testing.assert_close(step.inside[..., -reach:], whole.inside[:, :, -1:, -1 - reach : -1])
    assert (step.inside[..., : window - reach] == 0).all()


def test_degrees_of_sources_would_bring_the_future_back() -> None:
    conv, nodes = gated(5), torch.randn(1, 3, 6, 5)
    early = conv(nodes[:, :, :3], nodes[:, :, :3], past_edges(everyone(3), 4))
    late = conv(nodes, nodes, past_edges(everyone(6), 4))[:, :, :3]
    torch.testing.assert_close(early, late, atol=1e-6, rtol=0)
    published = conv(nodes, nodes, complete_edges(everyone(6)))[:, :, :3]
    assert not torch.allclose(conv(nodes[:, :, :3], nodes[:, :, :3], complete_edges(everyone(3))), published, atol=1e-3)


def test_averages_by_hand() -> None:
    present = torch.tensor([[[True, False, True, True]]])
    values = torch.tensor([[[[1.0], [100.0], [3.0], [8.0]]]])
    assert complete_averages(present).of(values, None).flatten().tolist() == pytest.approx([4.0] * 4)
    assert past_averages(present, 1.0).of(values, None).flatten().tolist() == pytest.approx([1.0, 1.0, 2.0, 4.0])
    fading = past_averages(present, 0.5).of(values, None).flatten().tolist()
    assert fading == pytest.approx([1.0, 1.0, (0.5 * 1 + 3) / 1.5, (0.25 * 1 + 0.5 * 3 + 8) / 1.75])


@checked
@given(seed=seeds, time=st.integers(1, 300), decay=st.sampled_from([1.0, 0.97, 0.5, 0.01]))
def test_the_step_of_the_averages_gives_the_same_means(seed: int, time: int, decay: float) -> None:
    present, values = some(seed, time), torch.randn(2, 3, time, 4)
    whole = past_averages(present, decay)
    expected = whole.of(values, None)
    mean, counts = torch.zeros(2, 3, 4), torch.zeros(2, 3)
    for t in range(time):
        averages, counts = past_averages_step(counts, present[..., t : t + 1], decay)
        mean = averages.of(values[:, :, t : t + 1], mean)[:, :, 0]
        torch.testing.assert_close(mean, expected[:, :, t], atol=1e-5, rtol=1e-5)
        assert torch.equal(averages.filled[..., 0], whole.filled[..., t])


@pytest.mark.parametrize("only_normalise", [False, True])
def test_hypergraph_convolution_by_hand(only_normalise: bool) -> None:
    hyperedges, conv = Hyperedges(TRIANGLE, only_normalise), HypergraphConv(1)
    gamma, local, wide = [1.0, 2.0, 3.0], [0.5, 1.5], [1.0, 0.7, 2.0]
    with torch.no_grad():
        for parameter, weights in zip(
            (hyperedges.log_gamma, hyperedges.log_local, hyperedges.log_wide), (gamma, local, wide), strict=True
        ):
            parameter.copy_(torch.tensor(weights).log())
        conv.bias.fill_(-0.2)
    x = [[4.0, 6.0], [1.0, -5.0], [2.0, 2.0]]  # modality, utterance
    nodes = torch.tensor(x)[None, ..., None]
    averages = complete_averages(everyone(2))
    out = conv(nodes, averages.of(nodes, None), hyperedges(everyone(2), averages.filled))
    if only_normalise:
        first = (4.0 + 1.0) / (1.0 + 2.0)
        second = (1.0 + 2.0) / (2.0 + 3.0)
        mean = (1.0 - 5.0) / (2.0 + 2.0)
        middle = (first + second + mean) / (0.5 + 1.5 + 0.7)
    else:
        first = (4.0 + 2 * 1.0) / (1.0 + 2.0)
        second = (2 * 1.0 + 3 * 2.0) / (2.0 + 3.0)
        mean = (1.0 - 5.0) / 2
        middle = (0.5 * first + 1.5 * second + 0.7 * mean) / (0.5 + 1.5 + 0.7)
    assert out[0, 1, 0, 0].item() == pytest.approx(leaky(middle - 0.2), abs=1e-6)


@checked
@given(seed=seeds, time=st.integers(1, 6))
def test_the_release_is_what_the_library_computes_from_the_incidence(seed: int, time: int) -> None:
    torch.manual_seed(seed)
    hyperedges, width = Hyperedges(TRIANGLE, only_normalise=True), 4
    torch.nn.init.normal_(hyperedges.log_local)
    torch.nn.init.normal_(hyperedges.log_wide)
    nodes, averages = torch.randn(1, 3, time, width), complete_averages(everyone(time))
    ours = HypergraphConv(width)(nodes, averages.of(nodes, None), hyperedges(everyone(time), averages.filled))
    incidence = [(m * time + t, m) for m in range(3) for t in range(time)]  # the wide hyperedges come first
    incidence += [
        (m * time + t, 3 + 2 * t + e) for t in range(time) for e in range(2) for m in range(3) if TRIANGLE[e, m]
    ]
    weights = torch.cat((hyperedges.log_wide, hyperedges.log_local.repeat(time))).exp()
    oracle = Oracle(width, width, bias=False)
    oracle.lin.weight = torch.nn.Parameter(torch.eye(width))
    theirs = oracle(nodes[0].flatten(0, 1), torch.tensor(incidence).T, hyperedge_weight=weights)
    torch.testing.assert_close(ours[0].flatten(0, 1), torch.nn.functional.leaky_relu(theirs), atol=1e-5, rtol=1e-5)


@checked
@given(seed=seeds, time=st.integers(1, 6), only_normalise=st.booleans())
def test_who_is_absent_listens_and_is_not_heard(seed: int, time: int, only_normalise: bool) -> None:
    present, nodes = some(seed, time), torch.randn(2, 3, time, 4)
    spoilt = torch.where(present[..., None], nodes, 1e6)
    hyperedges, conv = Hyperedges(TRIANGLE, only_normalise), HypergraphConv(4)
    for averages in (complete_averages(present), past_averages(present, 0.9)):
        mixing = hyperedges(present, averages.filled)
        clean, dirty = (conv(x, averages.of(x, None), mixing) for x in (nodes, spoilt))
        assert clean.isfinite().all()
        assert torch.equal(clean, dirty)
    for edges in (complete_edges(present), past_edges(present, 2)):
        absent = ~present
        assert (edges.inside * absent[:, :, None]).sum() == 0
        assert (edges.across * absent.transpose(1, 2)[:, :, None]).sum() == 0


def test_weights_of_hyperedges_learn() -> None:
    hyperedges, nodes = Hyperedges(TRIANGLE), torch.randn(1, 3, 2, 4)
    averages = complete_averages(everyone(2))
    HypergraphConv(4)(nodes, averages.of(nodes, None), hyperedges(everyone(2), averages.filled)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in hyperedges.parameters())


def leaky(x: float) -> float:
    return x if x > 0 else 0.01 * x
