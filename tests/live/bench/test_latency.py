"""The breakdown of delays, and of what was lost: from messages alone, and once through the real processes (slow)."""

import json
import subprocess
import sys
from io import StringIO

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.console import Console

from erc_live.live.bench.latency import SKIPPED, UNHEARD, Cost, Received, measure
from erc_live.live.bench.latency_report import plot, render
from erc_live.live.bench.recognisers import choices
from erc_live.live.commands import bench as bench_commands
from erc_live.live.errors import ConfigError, EngineError
from erc_live.streams.messages import Gap, Overload, Recogniser, SessionEnd
from erc_live.streams.stage_durations import STAGES

MS = 1_000_000
COST = Cost(0.5, 6.25, {"mic-0": 0.02, "perception": 0.35})
delays = st.lists(st.lists(st.integers(-300, 900), min_size=5, max_size=5), min_size=1, max_size=20)


def said(seq, stamps_ms, **fields):
    """An utterance that ends at 1 s per `seq`; stamps in ms after its end."""
    t_end_ns = seq * 1000 * MS
    names = ("t_closed_ns", "t_text_ns", "t_features_ns", "t_logits_ns", "t_published_ns")
    stamps = {name: t_end_ns + ms * MS for name, ms in zip(names, stamps_ms, strict=True)}
    fields = {"utterance": f"u{seq}"} | fields
    event = examples.event(seq, t_start_ns=t_end_ns - 1000 * MS, t_end_ns=t_end_ns, **stamps, **fields)
    return Received(event, event.t_published_ns + 5 * MS)


def session():
    first = said(1, (0, 40, 60, 70, 80), final=False, text="")
    return [first, said(1, (480, 230, 490, 495, 500)), said(3, (480, 900, 950, 960, 970))]


def lossy():
    """Two more utterances without words, an overload that came twice, and losses of two kinds."""
    steps = ("without words", "again with words", "without words")
    end = SessionEnd(session="s", t_ns=0, utterances=4, reason="all sources ended")
    messages = [
        *(Overload(t_ns=n, level=1, step=step, waiting_s=5.0) for n, step in enumerate(steps)),
        *(Gap(source="mic-0", t_start_ns=n, t_end_ns=n, lost=2, cause="device") for n in range(2)),
        Gap(source="perception", t_start_ns=0, t_end_ns=1, lost=1, cause="bus"),
        end,
    ]
    unheard = said(4, (480, 481, 482, 483, 484), text="", engine=Recogniser(name="faster-whisper tiny.en"))
    skipped = said(
        5, (480, 481, 482, 483, 484), text="", engine=Recogniser(name="faster-whisper tiny.en"), skipped=True
    )
    return [*session(), unheard, skipped, *(Received(message, 0) for message in messages)]


def shown(figures):
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(figures))
    return console.export_text()


def test_what_was_guessed_in_time_kept_nobody_waiting():
    figures = measure("demo", session(), COST)
    spread = {s.name: (s.p50, s.p95) for s in figures.stages}
    assert spread == {
        "endpoint": (480, 480), "words": (0, 420), "features": (10, 50), "graph": (5, 10), "publish": (5, 10),
        "all": (500, 970),
    }  # fmt: skip
    assert (figures.after_endpoint.p50, figures.after_endpoint.p95) == (20, 490)
    assert figures.delivered.p95 == 5
    assert figures.first is not None
    assert figures.first.p50 == 1080
    assert (figures.utterances, figures.provisional, figures.provisional_words) == (2, 1, 0)


@given(delays)
def test_stages_add_up_whatever_the_stamps(stamps):
    figures = measure("demo", [said(seq, sorted([max(0, s) for s in row])) for seq, row in enumerate(stamps)], COST)
    assert [s.name for s in figures.stages] == [*STAGES, "all"]
    assert all(s.p50 >= 0 for s in figures.stages)
    assert figures.stages[-1].longest == max(max(0, *row) for row in stamps)


def test_an_utterance_that_is_said_again_counts_once():
    again = said(3, (480, 900, 950, 960, 9000), revision=1)
    assert measure("demo", [*session(), again], COST).stages == measure("demo", session(), COST).stages


def test_what_was_given_up_and_lost_is_told():
    losses = measure("demo", lossy(), COST).losses
    assert losses.steps == {"without words": 2, "again with words": 1}
    assert losses.gaps == {"mic-0 device": (2, 4), "perception bus": (1, 1)}
    assert losses.wordless == {UNHEARD: 1, SKIPPED: 1}
    assert losses.ended == "all sources ended"
    text = " ".join(shown([measure("demo", lossy(), COST)]).split())
    assert f"4 utterances, 2 without words (1 {UNHEARD}; 1 {SKIPPED})" in text
    assert "overload: without words (2); again with words (1)" in text
    assert "gaps: mic-0 device 2 times, 4 lost; perception bus 1 times, 1 lost" in text
    assert "6.2 s from the command to the first sample" in text
    assert "mic-0 2 %, perception 35 %" in text


def test_where_all_went_well_that_is_told():
    text = shown([measure("demo", session(), COST)])
    assert "2 utterances, 0 without words\n" in text
    assert "overload: none\n" in text
    assert "gaps: none\n" in text


def test_a_session_without_an_utterance_says_what_it_lost_instead():
    gap, end = lossy()[-2:]
    with pytest.raises(EngineError, match=r"no utterance in this recording.*perception bus; all sources ended"):
        measure("demo", [gap, end], COST)
    end = Received(structs.replace(end.message, note="only silence was heard"), 0)
    with pytest.raises(EngineError, match=r"nothing was lost; all sources ended; only silence was heard"):
        measure("demo", [end], COST)
    with pytest.raises(EngineError, match=r"nothing was lost; it did not end"):
        measure("demo", [], COST)


def test_recognisers_stand_side_by_side_in_80_columns_and_the_picture_is_drawn(tmp_path):
    figures = [measure("pocketsphinx", session(), COST), measure("tiny.en", lossy(), COST)]
    lines = shown(figures).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("\u2026" in line for line in lines)  # nothing is cut off
    rows = {line.split()[0]: line.split()[1:] for line in lines[:4] if line.strip()}
    assert rows["tiny.en"] == ["480/480", "1/420", "484/970", "1080/1080", "2", "4", "3", "35"]
    assert rows["pocketsphinx"] == ["480/480", "0/420", "500/970", "1080/1080", "0", "2", "0", "35"]
    assert json.loads(json.dumps(figures[1].plain()))["losses"]["steps"]["without words"] == 2
    plot(tmp_path / "delay.svg", figures)
    assert "<svg" in (tmp_path / "delay.svg").read_text()
    with pytest.raises(ConfigError, match="--plot"):
        plot(tmp_path / "absent" / "delay.svg", figures)


def test_each_recogniser_plays_the_recording_with_and_without_pictures():
    runs = bench_commands._runs(["a.wav"], choices(["tiny.en", "none"]), ["b.mp4"])
    assert list(runs) == ["tiny.en", "tiny.en, pictures", "none", "none, pictures"]
    tiny = ["a.wav", "--set", "transcriber.engine=faster-whisper", "--set", "transcriber.model=tiny.en"]
    assert runs["tiny.en"] == tiny
    assert runs["tiny.en, pictures"] == [*tiny, "--camera", "b.mp4"]
    assert bench_commands._runs(["a.wav"], choices(None), []) == {"sound alone": ["a.wav"]}
    assert "--transcript" in bench_commands._demo(with_words=True)
    assert "--transcript" not in bench_commands._demo(with_words=False)


@pytest.mark.slow
def test_the_demo_through_the_real_processes():
    command = [sys.executable, "-m", "erc_live.live.cli", "bench", "latency", "--json"]
    (figures,) = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout)
    assert figures["utterances"] == 13
    assert figures["provisional"] > 13
    assert figures["stages"][0]["p50"] > 100
    assert figures["losses"]["ended"] == "all sources ended"
    assert set(figures["cost"]["workers"]) == {"mic-0", "mic-1", "perception", "tracker", "screen", "supervisor"}
    assert 0 < figures["cost"]["workers"]["perception"] < 2
    assert 0 < figures["cost"]["ready_s"] < 90
