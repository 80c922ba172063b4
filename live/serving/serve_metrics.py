"""What a server does, in figures that Prometheus reads (`metrics.port`). No word, no name and no dialogue is in them.

The rule of this file: it is told, and asks nobody; what it is told costs the server some microseconds a turn.
"""

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from erc_live.live.config import MetricsSection
from erc_live.live.metrics_endpoint import served

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
MESSAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ShardLoad(NamedTuple):
    """Of a shard now: dialogues that are open, messages that wait for a receipt, and for how long the first does."""

    dialogues: int
    waiting: int
    age_s: float


class ServeMetrics:
    """`registry` holds the figures; a server without shards is shard 0."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)

        def gauge(name: str, help_: str) -> Gauge:
            return Gauge(f"erc_live_serve_{name}", help_, ("shard",), registry=registry)

        self._dialogues = gauge("dialogues", "Dialogues that are open")
        self._waiting = gauge("waiting", "Messages that wait for a receipt")
        self._age = gauge("waiting_seconds", "For how long the first of them waits")
        self._seconds = Histogram(
            "erc_live_serve_turn_seconds",
            "From messages to their receipts: steps and one append to the log",
            ("shard",),
            registry=registry,
            buckets=SECONDS,
        )
        self._messages = Histogram(
            "erc_live_serve_turn_messages", "Messages of a turn", ("shard",), registry=registry, buckets=MESSAGES
        )
        self._utterances = Counter(
            "erc_live_serve_utterances",
            "What became of utterances: stored, repeated, refused, failed, dropped (provisional ones)",
            ("outcome",),
            registry=registry,
        )
        self._replayed = Counter(
            "erc_live_serve_replayed", "Utterances computed again from the log", ("shard",), registry=registry
        )
        self._losses = Counter("erc_live_serve_shard_losses", "Processes lost", ("shard",), registry=registry)
        self._counted: Tally[str] = Tally()

    def recovered(self, shard: int, replayed: int) -> None:
        """A shard is ready."""
        self._replayed.labels(shard).inc(replayed)

    def lost(self, shard: int) -> None:
        """The process of a shard is gone."""
        self._losses.labels(shard).inc()

    def closed(self, shard: int) -> None:
        """There is no such shard any more; what it has counted stays."""
        for gauge in (self._dialogues, self._waiting, self._age):
            gauge.remove(shard)

    def turn(self, shard: int, messages: int, seconds: float, totals: Mapping[str, int]) -> None:
        """Messages were answered. `totals`: as of `ShardCounts`, of all shards since the start."""
        self._seconds.labels(shard).observe(seconds)
        self._messages.labels(shard).observe(messages)
        for outcome, total in totals.items():
            self._utterances.labels(outcome).inc(total - self._counted[outcome])
            self._counted[outcome] = total

    def load(self, shard: int, now: ShardLoad) -> None:
        """How a shard stands."""
        self._dialogues.labels(shard).set(now.dialogues)
        self._waiting.labels(shard).set(now.waiting)
        self._age.labels(shard).set(now.age_s)


@contextmanager
def serve_metrics(config: MetricsSection) -> Iterator[ServeMetrics]:
    """Figures, for whoever asks if a port is named. Raises AddressError where it cannot be used."""
    metrics = ServeMetrics()
    if not config.port:
        yield metrics
        return
    with served(metrics.registry, config.port):
        yield metrics
