"""Figures of a pool: what they count."""

from erc_live.live.asr_pool.pool_metrics import PoolMetrics
from erc_live.live.asr_pool.pool_scale import PoolLoad


def test_totals_are_counted_once_and_the_pool_stands_as_it_was_last_told() -> None:
    metrics = PoolMetrics()
    metrics.show(PoolLoad(1, 2, 0, 3, 0.5), {"done": 3, "lost": 1})
    metrics.show(PoolLoad(0, 2, 1, 4, 0.25), {"done": 5, "refused": 1, "lost": 1})
    metrics.done(0.3)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"erc_live_recognise_{name}", labels)

    assert [value("requests_total", outcome=outcome) for outcome in ("done", "refused")] == [5, 1]
    assert value("worker_losses_total") == 1
    assert [value("workers", state=state) for state in ("loading", "busy", "idle")] == [0, 2, 1]
    assert [value("waiting"), value("waiting_seconds"), value("seconds_count")] == [4, 0.25, 1]
