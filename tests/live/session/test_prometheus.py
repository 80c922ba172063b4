"""Figures of a session for Prometheus: each utterance once, nobody's words, and on the loopback interface alone."""

import socket
from contextlib import closing
from urllib.request import urlopen

import examples
import pytest
from conversation import messages, state, status, troubled
from examples import event, hello
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from erc_live.live.metrics_endpoint import served
from erc_live.live.session.prometheus import SessionMetrics
from erc_live.streams.errors import AddressError
from erc_live.streams.messages import AnyMessage, Gap, Overload, Relabel, WorkerLost

MS = 1_000_000


def observed(*said: AnyMessage) -> SessionMetrics:
    metrics = SessionMetrics()
    for message in said:
        metrics.observe(message)
    return metrics


def value(metrics: SessionMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"erc_live_{name}", labels)


def test_each_utterance_counts_once_however_often_it_is_said() -> None:
    relabel = Relabel(t_ns=1, dialogue="d", moved=("u1",), voice="v", speaker_name=None, cause="merge")
    metrics = observed(
        event(0, utterance="u1", final=False),
        event(1, utterance="u1", label="joy"),
        relabel,
        event(2, utterance="u1", label="anger", revision=1),
        event(3, utterance="u2", label="joy", certain=False, skipped=True),
    )
    assert value(metrics, "utterances_total", label="joy") == 2
    assert value(metrics, "utterances_total", label="anger") is None
    assert value(metrics, "provisional_events_total") == 1
    assert value(metrics, "uncertain_utterances_total") == 1
    assert value(metrics, "wordless_utterances_total") == 1
    assert value(metrics, "relabels_total") == 1


def test_latencies_are_those_of_the_stages() -> None:
    stamps = {"t_end_ns": 0, "t_closed_ns": 400 * MS, "t_text_ns": 900 * MS, "t_features_ns": 910 * MS}
    metrics = observed(event(0, **stamps, t_logits_ns=930 * MS, t_published_ns=935 * MS))
    sums = {stage: value(metrics, "latency_seconds_sum", stage=stage) for stage in ("endpoint", "words", "all")}
    assert sums == {"endpoint": 0.4, "words": 0.5, "all": 0.935}
    assert value(metrics, "latency_seconds_bucket", stage="all", le="1.0") == 1
    assert value(metrics, "latency_seconds_bucket", stage="all", le="0.75") == 0


def test_losses_and_workers_and_the_state_are_told() -> None:
    gaps = (Gap(source="mic-0", t_start_ns=0, t_end_ns=1, lost=n, cause="device") for n in (3, 4))
    overload = Overload(t_ns=0, level=2, step="", waiting_s=0.0)
    died = WorkerLost(t_ns=0, worker="mic-0", reason="r", consequence="c", restarts=1, lost=0)
    worker = status("mic-0", lag_s=1.5, dropped=7, level_db=-30.0, waiting=2)
    metrics = observed(*gaps, overload, died, worker, state(recording=True, paused=True), hello(purpose="research"))
    assert value(metrics, "gaps_total", cause="device") == 2
    assert value(metrics, "lost_total", cause="device") == 7
    assert value(metrics, "overload_level") == 2
    assert value(metrics, "worker_deaths_total", worker="mic-0") == 1
    names = ("running", "lag_seconds", "dropped", "level_dbfs", "waiting")
    assert [value(metrics, f"worker_{name}", worker="mic-0") for name in names] == [1, 1.5, 7, -30, 2]
    assert value(metrics, "worker_rate_hz", worker="mic-0") is None
    assert (value(metrics, "recording"), value(metrics, "paused")) == (1, 1)
    assert value(metrics, "session_info", session="s1", model="m", purpose="research") == 1


@given(st.lists(examples.messages(*examples.MESSAGE_TYPES), max_size=10))
def test_any_message_can_be_observed_and_what_comes_out_can_be_read(said: list[AnyMessage]) -> None:
    text = generate_latest(observed(*said).registry).decode()
    assert [*text_string_to_metric_families(text)]


def test_a_scrape_has_no_words_and_no_names() -> None:
    metrics = observed(*messages(), *troubled())
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with served(metrics.registry, port):
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(AddressError, match=f"metrics.port {port}"), served(metrics.registry, port):
            pass
    assert "erc_live_utterances_total" in text
    assert "Ada" not in text
    assert "knew" not in text
    with served(metrics.registry, port):  # the port is free again
        pass
