"""Each loss against a slow, literal transcription of its equation, and at the edges where such sums break."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from erc_live.models import losses

checked = settings(max_examples=30, deadline=None)
rows = st.integers(0, 9)
seeds = st.integers(0, 2**20)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_labels(seed: int, count: int, classes: int = 3) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def slow_focal(logits: Tensor, labels: Tensor, gamma: float) -> float:
    total = 0.0
    for scores, label in zip(logits.tolist(), labels.tolist(), strict=True):
        p = math.exp(scores[label]) / sum(math.exp(score) for score in scores)
        total -= (1 - p) ** gamma * math.log(p)
    return total / max(len(labels), 1)


def slow_swfc(z: Tensor, labels: Tensor, alpha: float, gamma: float, tau: float) -> float:
    units = [row / row.norm() for row in z]
    n, y = len(units), labels.tolist()
    total = 0.0
    for j in range(n):
        others = [g for g in range(n) if g != j]
        same = [g for g in others if y[g] == y[j]]
        for g in same:
            s = math.exp(units[j] @ units[g] / tau) / sum(math.exp(units[j] @ units[k] / tau) for k in others)
            if s < 1.0:  # (1 - s)^gamma log s is 0 at s = 1
                total -= (n / y.count(y[j])) ** alpha / len(same) * (1 - s) ** gamma * math.log(s)
    return total


def slow_covariance(view: Tensor) -> Tensor:
    n, width = view.shape
    covariance = torch.zeros(width, width, dtype=view.dtype)
    mean = sum(view) / n
    for row in view:
        covariance += torch.outer(row - mean, row - mean) / (n - 1)
    return covariance


def slow_soft_hgr(views: Tensor) -> float:
    n, total = len(views), 0.0
    for a, b in combinations(range(views.shape[1]), 2):
        q, v = views[:, a] - views[:, a].mean(0), views[:, b] - views[:, b].mean(0)
        expectation = sum(float(q[i] @ v[i]) for i in range(n)) / n
        total -= expectation - float(torch.trace(slow_covariance(q) @ slow_covariance(v))) / 2
    return total


def slow_released_soft_hgr(views: Tensor) -> float:
    n, total = len(views), 0.0
    for a, b in combinations(range(views.shape[1]), 2):
        q, v = views[:, a], views[:, b]
        expectation = sum(float(q[i] @ v[i]) for i in range(n)) / n
        total -= expectation - float(torch.trace(torch.cov(q).reshape(n, n) @ torch.cov(v).reshape(n, n))) / n / 2
    return total


@checked
@given(seed=seeds, count=rows, gamma=st.sampled_from([0.0, 0.5, 2.5]))
def test_focal_is_its_equation(seed: int, count: int, gamma: float) -> None:
    logits, labels = draw(seed, count, 3), some_labels(seed, count)
    assert losses.focal(logits, labels, gamma).item() == pytest.approx(slow_focal(logits, labels, gamma))


@checked
@given(seed=seeds, count=rows, alpha=st.sampled_from([0.0, 1.2]), gamma=st.sampled_from([0.0, 2.0, 2.4]))
def test_swfc_is_its_equation(seed: int, count: int, alpha: float, gamma: float) -> None:
    z, labels = draw(seed, count, 4), some_labels(seed, count)
    weights = losses.sample_weights(labels, 3, alpha).double()
    expected = slow_swfc(z, labels, alpha, gamma, tau=0.8)
    assert losses.swfc(z, labels, weights, gamma, 0.8).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@checked
@given(seed=seeds, count=st.integers(2, 9), views=st.integers(1, 4))
def test_soft_hgr_is_its_equation(seed: int, count: int, views: int) -> None:
    features = draw(seed, count, views, 5) + 3.0
    assert losses.soft_hgr(features).item() == pytest.approx(slow_soft_hgr(features))


@checked
@given(seed=seeds, count=st.integers(1, 9))
def test_released_soft_hgr_is_the_sample_by_sample_one(seed: int, count: int) -> None:
    features = draw(seed, count, 3, 5) + 3.0
    assert losses.soft_hgr_as_released(features).item() == pytest.approx(slow_released_soft_hgr(features))


def test_soft_hgr_by_hand() -> None:
    # Q = (1, -1), V = (2, -2), both of mean 0: E[QV] = 2, variances 2 and 8 -> -(2 - 16 / 2)
    views = torch.tensor([[[1.0], [2.0]], [[-1.0], [-2.0]]])
    assert losses.soft_hgr(views).item() == pytest.approx(6.0)
    assert losses.soft_hgr(views + 7.0).item() == pytest.approx(6.0)


def test_soft_hgr_is_least_for_equal_views_of_unit_variance() -> None:
    row = torch.tensor([-1.0, 0.0, 1.0])  # variance 1 with 1 / (N - 1), mean square 2/3
    equal = row[:, None, None].expand(3, 2, 1)
    assert losses.soft_hgr(equal).item() == pytest.approx(-(2 / 3 - 1 / 2))
    opposite = torch.stack((row, -row), dim=1)[..., None]
    assert losses.soft_hgr(opposite) > losses.soft_hgr(equal)


def test_weights_by_hand() -> None:
    weights = losses.sample_weights(torch.tensor([0, 0, 0, 2]), 3, alpha=2.0)
    assert weights.tolist() == pytest.approx([(4 / 3) ** 2, 0.0, 16.0])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.4])
@pytest.mark.parametrize("labels", [[], [1], [0, 1], [0, 0], [0, 0, 1]])
def test_gradients_are_finite_for_few_or_equal_rows(labels: list[int], gamma: float) -> None:
    count, targets = len(labels), torch.tensor(labels, dtype=torch.int64)
    z = torch.ones(count, 4, requires_grad=True)
    views = torch.ones(count, 3, 4, requires_grad=True)
    logits = torch.zeros(count, 3, requires_grad=True)
    weights = losses.sample_weights(targets, 3, 1.2)
    total = losses.swfc(z, targets, weights, gamma, 0.8) + losses.focal(logits, targets, gamma)
    (total + losses.soft_hgr(views) + losses.soft_hgr_as_released(views)).backward()
    for leaf in (z, views, logits):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.5, 2.5])
def test_focal_stays_finite_where_the_answer_is_certain(gamma: float) -> None:
    logits = torch.tensor([[90.0, -90.0], [-90.0, 90.0]], requires_grad=True)
    loss = losses.focal(logits, torch.tensor([0, 0]), gamma)
    loss.backward()
    assert loss.item() == pytest.approx(90.0)  # the second row is wrong with certainty: 180 nats, mean of two
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_swfc_draws_the_same_label_together() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    weights = torch.ones(2)
    sorted_z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    mixed_z = sorted_z[[0, 2, 1, 3]]
    assert losses.swfc(sorted_z, labels, weights, 2.0, 0.5) < losses.swfc(mixed_z, labels, weights, 2.0, 0.5)
