"""A shard under load in one process: what is due is said, told and recovered, and an overload shows."""

import tempfile
from pathlib import Path

import pytest
from msgspec import structs

from erc_live.live.bench.shard_kills import bench_kills
from erc_live.live.bench.shard_load import DueFeatures, ShardLoadResult, ShardPlan, bench_shard
from erc_live.live.config import Config
from erc_live.live.serving.admission import receipt
from erc_live.models import checkpoint

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture
def config(tiny_world):
    return structs.replace(Config(), tracker=structs.replace(Config().tracker, weights=tiny_world["tracker.weights"]))


@pytest.fixture
def folder():
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield Path(place)


def test_all_that_was_due_is_told_and_recovered_bit_for_bit(config, folder):
    result = bench_shard(ShardPlan(20, rate_hz=200, seconds=1), config, (folder, folder / "log"), lambda _: None)
    assert result.utterances > 100
    assert result.stored == result.delivered == result.replayed == result.utterances
    assert (result.lost, result.differing, result.unequal) == (0, 0, 0)
    report = result.plain()
    assert report["decision_ms"]["p50"] <= report["delivery_ms"]["p50"]


def test_what_comes_too_late_counts_from_when_it_was_due(config):
    """Nobody waits for a server that hangs: its latency is that of all who would have spoken meanwhile."""
    result = ShardLoadResult(ShardPlan(1000, rate_hz=1e6, seconds=1e-3))
    inlet = DueFeatures(result.plan, checkpoint.load(config.tracker.weights), result)
    assert not inlet.wait(0)
    while not inlet.wait(1.5):
        pass
    said = [message for _, message, _ in inlet.receive(2000)]
    assert sorted(one.t_features_ns for one in said) == [one.t_features_ns for one in said]
    assert len({one.dialogue for one in said}) == min(1000, len(said))
    for one in said:
        inlet.answer(b"", receipt(one, "stored"))
    assert result.stored == len(result.stored_ms) == len(said)
    assert max(result.stored_ms) >= min(result.stored_ms) > 0


def test_a_shard_that_is_killed_at_any_instant_is_what_it_was(config, folder):
    result = bench_kills(20, 8, config, folder, lambda _: None)
    assert result.good, result
    assert result.kills == 20
    assert result.compared > 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_kills(config, folder):
    result = bench_kills(1000, 40, config, folder, lambda _: None)
    assert result.good, result
    assert result.kills == 1000
