"""The loop by itself, on a straight line: its rate, its average, what it keeps, and when it ends."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor, nn
from worlds import Epochs, Interrupted

from erc_live.models.errors import WeightsError
from erc_live.models.training.trainer import Recipe, Trainer, even_batches, rate_share

RECIPE = Recipe("line", seed=0, first_seed=0, epochs=6, ema=0.5, clip=1.0)


class Line:
    """Learns y = 3 x from drawn points; its scores are what it is told, or how near the slope is."""

    def __init__(self, scores: list[float] | None = None) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.1))
        self.groups: list[dict[str, Any]] = [{"params": list(self.network.parameters()), "lr": 0.1}]
        self._scores = iter(scores or [])
        self.scored = 0

    def batches(self, epoch: int, generator: Generator) -> list[Tensor]:
        return list(torch.rand(4, 8, 1, generator=generator))

    def loss(self, network: Any, batch: Tensor, generator: Generator) -> Tensor:
        noise = 0.01 * torch.randn(batch.shape, generator=generator)
        return (network(batch) - 3 * batch - noise).square().mean()

    def score(self, network: Any) -> dict[str, float]:
        self.scored += 1
        slope = float(network[0].weight)
        return {"score": next(self._scores, -abs(slope - 3)), "slope": slope}


def test_an_interrupted_run_ends_at_the_same_weights(tmp_path: Path) -> None:
    whole = Trainer(Line(), RECIPE, tmp_path / "whole.pt").fit()
    with pytest.raises(Interrupted):
        Trainer(Line(), RECIPE, tmp_path / "cut.pt", Epochs(last=2)).fit()
    again = Epochs()
    cut = Trainer(Line(), RECIPE, tmp_path / "cut.pt", again).fit()
    assert [epoch.epoch for epoch in again] == [3, 4, 5]
    assert (cut.losses, cut.scores, cut.best_epoch) == (whole.losses, whole.scores, whole.best_epoch)
    assert all(torch.equal(cut.weights[name], whole.weights[name]) for name in whole.weights)
    assert Trainer(Line(), RECIPE, tmp_path / "cut.pt").fit().weights.keys() == whole.weights.keys()  # nothing is left


@pytest.mark.parametrize("other", [replace(RECIPE, key="curve"), replace(RECIPE, seed=1)])
def test_another_run_is_not_gone_on_with(tmp_path: Path, other: Recipe) -> None:
    Trainer(Line(), RECIPE, tmp_path / "resume.pt").fit()
    with pytest.raises(WeightsError, match=r"^[^\n]*is of a run with other data or options[^\n]*$"):
        Trainer(Line(), other, tmp_path / "resume.pt").fit()


def test_without_an_average_the_weights_are_those_of_the_last_step(tmp_path: Path) -> None:
    line = Line(scores=[1.0, 2.0])
    fit = Trainer(line, replace(RECIPE, ema=0.0, epochs=2), tmp_path / "resume.pt").fit()
    assert all(torch.equal(fit.weights[name], value) for name, value in line.network.state_dict().items())


def test_the_best_is_kept_of_equals_the_later_and_patience_counts_from_the_first(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=20, patience=3)
    fit = Trainer(Line(scores=[0.1, 0.5, 0.5, 0.2, 0.9, 0.9]), recipe, tmp_path / "a.pt").fit()
    assert (len(fit.losses), fit.best_epoch, fit.best_score) == (8, 5, 0.9)
    slopes = [scores["slope"] for scores in fit.scores]
    assert float(fit.weights["0.weight"]) == slopes[5]


def test_where_nothing_is_chosen_the_last_is_kept(tmp_path: Path) -> None:
    line = Line(scores=[0.1, 0.9, 0.5, 0.9, 0.2, 0.3])
    fit = Trainer(line, replace(RECIPE, ema=0.0, chosen=False), tmp_path / "a.pt").fit()
    assert (len(fit.losses), fit.best_epoch, fit.best_score) == (6, 5, 0.3)
    assert all(torch.equal(fit.weights[name], value) for name, value in line.network.state_dict().items())


def test_dev_is_scored_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    line = Line()
    fit = Trainer(line, replace(RECIPE, epochs=5, score_every=2), tmp_path / "resume.pt").fit()
    assert [bool(scores) for scores in fit.scores] == [False, True, False, True, True]
    assert line.scored == 3


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    assert rate_share(0.05, 0.1, 0.0) == pytest.approx(0.5)
    assert rate_share(0.1, 0.1, 0.1) == 1.0
    assert rate_share(0.55, 0.1, 0.1) == pytest.approx(0.5)
    assert rate_share(0.5, 0.1, 0.0) == pytest.approx(0.5)
    assert rate_share(1.0, 0.1, 0.0) == pytest.approx(0.0)


@given(items=st.integers(1, 50), size=st.integers(1, 20), seed=st.integers(0, 99))
def test_batches_are_of_one_size(items: int, size: int, seed: int) -> None:
    batches = even_batches(items, size, Generator().manual_seed(seed))
    rows = torch.cat(batches).tolist()
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(range(items))
    assert len(rows) == items if items <= size else len(rows) == items // size * size
