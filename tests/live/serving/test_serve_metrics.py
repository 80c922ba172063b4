"""Figures of a server: what they count, and that they are there only where somebody named a port."""

import socket
import urllib.request
from contextlib import ExitStack, closing

import pytest

from erc_live.live.config import MetricsSection
from erc_live.live.serving.serve_metrics import ServeMetrics, ShardLoad, serve_metrics
from erc_live.streams.errors import AddressError


def value(metrics: ServeMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"erc_live_serve_{name}", labels)


def test_totals_are_counted_once() -> None:
    metrics = ServeMetrics()
    metrics.turn(0, 3, 0.004, {"stored": 3, "refused": 0})
    metrics.turn(1, 2, 0.1, {"stored": 5, "refused": 1})
    assert value(metrics, "utterances_total", outcome="stored") == 5
    assert value(metrics, "utterances_total", outcome="refused") == 1
    assert value(metrics, "turn_messages_sum", shard="0") == 3
    assert value(metrics, "turn_seconds_count", shard="1") == 1


def test_a_shard_stands_as_it_was_last_told() -> None:
    metrics = ServeMetrics()
    for now in (ShardLoad(9, 4, 0.5), ShardLoad(8, 0, 0.0)):
        metrics.load(0, now)
    metrics.recovered(0, 7)
    metrics.lost(0)
    assert [value(metrics, name, shard="0") for name in ("dialogues", "waiting", "waiting_seconds")] == [8, 0, 0]
    assert value(metrics, "replayed_total", shard="0") == 7
    assert value(metrics, "shard_losses_total", shard="0") == 1
    metrics.closed(0)
    assert [value(metrics, name, shard="0") for name in ("dialogues", "replayed_total")] == [None, 7]


def test_they_are_read_on_this_machine_where_a_port_is_named() -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serve_metrics(MetricsSection(port=port)) as metrics:
        metrics.load(0, ShardLoad(3, 0, 0.0))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert 'erc_live_serve_dialogues{shard="0"} 3.0' in answer.read().decode()
        with ExitStack() as stack, pytest.raises(AddressError, match=r"metrics\.port \d+: cannot be used"):
            stack.enter_context(serve_metrics(MetricsSection(port=port)))
