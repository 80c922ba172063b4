"""What a pool of recognisers does, in figures that Prometheus reads (`metrics.port`). No word and no sender is in them.

The rule of this file: it is told, and asks nobody.
"""

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from erc_live.live.asr_pool.pool_scale import PoolLoad
from erc_live.live.config import MetricsSection
from erc_live.live.metrics_endpoint import served

SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class PoolMetrics:
    """`registry` holds the figures."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self._waiting = Gauge("erc_live_recognise_waiting", "Requests that wait for a recogniser", registry=registry)
        self._age = Gauge(
            "erc_live_recognise_waiting_seconds", "For how long the oldest of them waits", registry=registry
        )
        self._workers = Gauge(
            "erc_live_recognise_workers", "Recognisers by state: loading, busy, idle", ("state",), registry=registry
        )
        self._seconds = Histogram(
            "erc_live_recognise_seconds",
            "From a request to its words: waiting and recognition",
            registry=registry,
            buckets=SECONDS,
        )
        self._requests = Counter(
            "erc_live_recognise_requests",
            "What became of requests: done, dropped, refused, unreadable, failed",
            ("outcome",),
            registry=registry,
        )
        self._losses = Counter("erc_live_recognise_worker_losses", "Recognisers lost", registry=registry)
        self._counted: Tally[str] = Tally()

    def done(self, seconds: float) -> None:
        """A request has its words."""
        self._seconds.observe(seconds)

    def show(self, load: PoolLoad, totals: Mapping[str, int]) -> None:
        """How the pool stands. `totals`: as of `RecogniserPool.counts`."""
        self._waiting.set(load.waiting)
        self._age.set(load.waiting_s)
        for state in ("loading", "busy", "idle"):
            self._workers.labels(state).set(getattr(load, state))
        for outcome, total in totals.items():
            counter = self._losses if outcome == "lost" else self._requests.labels(outcome)
            counter.inc(total - self._counted[outcome])
            self._counted[outcome] = total


@contextmanager
def pool_metrics(config: MetricsSection) -> Iterator[PoolMetrics]:
    """Figures, for whoever asks if a port is named. Raises AddressError where it cannot be used."""
    metrics = PoolMetrics()
    if not config.port:
        yield metrics
        return
    with served(metrics.registry, config.port):
        yield metrics
