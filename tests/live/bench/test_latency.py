"""The breakdown of delays: from stamps alone, and once through the real processes (slow)."""

import json
import subprocess
import sys
from io import StringIO

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from erc_live.live.bench.latency import Heard, measure, plot, render
from erc_live.live.errors import EngineError
from erc_live.live.screen.panels import STAGES

MS = 1_000_000
delays = st.lists(st.lists(st.integers(-300, 900), min_size=5, max_size=5), min_size=1, max_size=20)


def said(seq, stamps_ms, **fields):
    """An utterance that ends at 1 s per `seq`; stamps in ms after its end."""
    t_end_ns = seq * 1000 * MS
    names = ("t_closed_ns", "t_text_ns", "t_features_ns", "t_logits_ns", "t_published_ns")
    stamps = {name: t_end_ns + ms * MS for name, ms in zip(names, stamps_ms, strict=True)}
    event = examples.event(seq, t_start_ns=t_end_ns - 1000 * MS, t_end_ns=t_end_ns, **stamps, **fields)
    return Heard(event, event.t_published_ns + 5 * MS)


def session():
    first = said(1, (0, 40, 60, 70, 80), final=False, utterance="u")
    return [first, said(1, (480, 230, 490, 495, 500), utterance="u"), said(3, (480, 900, 950, 960, 970))]


def test_what_was_guessed_in_time_kept_nobody_waiting():
    figures = measure("demo", session(), 0.5)
    spread = {s.name: (s.p50, s.p95) for s in figures.stages}
    assert spread == {
        "endpoint": (480, 480), "words": (0, 420), "features": (10, 50), "graph": (5, 10), "publish": (5, 10),
        "all": (500, 970),
    }  # fmt: skip
    assert (figures.after_endpoint.p50, figures.after_endpoint.p95) == (20, 490)
    assert figures.delivered.p95 == 5
    assert figures.first is not None
    assert figures.first.p50 == 1080
    assert (figures.utterances, figures.provisional) == (2, 1)


@given(delays)
def test_stages_add_up_whatever_the_stamps(stamps):
    figures = measure("demo", [said(seq, sorted([max(0, s) for s in row])) for seq, row in enumerate(stamps)], 0.0)
    assert [s.name for s in figures.stages] == [*STAGES, "all"]
    assert all(s.p50 >= 0 for s in figures.stages)
    assert figures.stages[-1].longest == max(max(0, *row) for row in stamps)


def test_an_utterance_that_is_said_again_counts_once():
    again = said(3, (480, 900, 950, 960, 9000), revision=1)
    assert measure("demo", [*session(), again], 0.0).stages == measure("demo", session(), 0.0).stages


def test_silence_cannot_be_measured():
    with pytest.raises(EngineError, match="nothing was said"):
        measure("demo", [], 0.0)


def test_the_tables_fit_80_columns_and_the_picture_is_drawn(tmp_path):
    figures = [measure(name, session(), 0.5) for name in ("sound alone", "with pictures")]
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(figures))
    text = console.export_text()
    assert "computation-unaware" in text
    assert "1.00" in text
    plot(tmp_path / "delay.svg", figures)
    assert "<svg" in (tmp_path / "delay.svg").read_text()


@pytest.mark.slow
def test_the_demo_through_the_real_processes():
    command = [sys.executable, "-m", "erc_live.live.cli", "bench", "latency", "--json"]
    (figures,) = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout)
    assert figures["utterances"] == 13
    assert figures["provisional"] > 13
    assert figures["stages"][0]["p50"] > 100
