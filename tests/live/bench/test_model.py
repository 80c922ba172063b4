"""The bench measures what it says, judges by its targets, and draws a plot that a browser can read."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch
from rich.console import Console

from erc_live.live.bench import model as bench
from erc_live.live.bench.model import (
    SHORT,
    AtDialogues,
    AtLength,
    BenchReport,
    CallDuration,
    NetworkReport,
    bench_model,
)
from erc_live.live.bench.model_report import render, svg
from erc_live.live.errors import ConfigError, DeviceError

SVG = "{http://www.w3.org/2000/svg}"


def ms(duration: float) -> CallDuration:
    return CallDuration(duration, duration * 0.9, duration * 1.2)


NETWORK = NetworkReport(
    network="quick <net>",
    parameters=1_234,
    reach=21,
    state_bytes=10_000,
    replay_state_bytes=80_000,
    lengths=(
        AtLength(10, ms(1.0), ms(1.5), ms(2.0), ms(2.0)),
        AtLength(1_000, ms(1.04), ms(2.6), ms(60.0), ms(3.0)),
    ),
    single=ms(1.0),
    batches=(AtDialogues(1, ms(1.1)), AtDialogues(64, ms(4.0))),
    step=ms(1.0),
    cell=ms(0.05),
    steps=100_000,
    grown_bytes=4_096,
)
REPORT = BenchReport("cpu", 1, "2.x", (NETWORK,))


def shown(report: BenchReport) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(render(report))
    return capture.get()


def test_targets_are_ratios_of_medians() -> None:
    found = {target.name: (round(target.value, 3), target.met) for target in NETWORK.targets()}
    assert found == {
        "step at 1,000 / at 10": (1.04, True),
        "step / GRU cell": (20.0, True),
        "recompute / step at 1,000": (57.692, True),
        "64 together / one by one": (16.0, True),
    }


def test_rivals_are_shown_as_multiples_of_the_step() -> None:
    lines = shown(REPORT).splitlines()
    assert "last 21 again" in shown(REPORT)
    first = next(number for number, line in enumerate(lines) if "times the step" in line)
    assert [line.split() for line in lines[first + 2 : first + 4]] == [
        ["10", "1.50", "2.00", "2.00"],
        ["1,000", "2.50", "57.69", "2.88"],
    ]
    first_length, last_length = NETWORK.lengths
    endless = replace(NETWORK, reach=None, lengths=(first_length, replace(last_length, reach=None)))
    assert ["1,000", "-", "57.69", "2.88"] in [
        line.split() for line in shown(replace(REPORT, networks=(endless,))).splitlines()
    ]


def test_a_missed_target_is_seen() -> None:
    slow = replace(NETWORK, step=ms(2.0), grown_bytes=None)
    report = replace(REPORT, networks=(slow,))
    assert [target.met for target in slow.targets()] == [True, False, True, True]
    assert "MISSED" in shown(report)
    assert "not told by this system" in shown(report)
    assert "MISSED" not in shown(REPORT)


def test_what_took_too_long_is_left_out_of_table_and_plot() -> None:
    first, last = NETWORK.lengths
    report = replace(REPORT, networks=(replace(NETWORK, lengths=(first, replace(last, recompute=None))),))
    assert "recompute" not in shown(report)
    points = [line.get("points", "").split() for line in ElementTree.fromstring(svg(report)).iter(f"{SVG}polyline")]
    assert [len(line) for line in points] == [2, 2, 1, 2]


def test_the_plot_names_every_line_and_is_higher_where_it_takes_longer() -> None:
    root = ElementTree.fromstring(svg(REPORT))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {f"quick <net>: {line}" for line in ("step", "reach", "recompute", "replay")} <= set(texts)
    step, _, recompute, _ = (line.get("points", "").split() for line in root.iter(f"{SVG}polyline"))
    height = [float(line[-1].split(",")[1]) for line in (recompute, step)]
    assert height[0] < height[1]


def test_a_short_run_measures_everything() -> None:
    said: list[str] = []
    report = bench_model(["dialogue_graph"], (3, 60), "cpu", said.append, SHORT)
    (network,) = report.networks
    assert [at.length for at in network.lengths] == [3, 60]
    assert network.reach == 21
    assert all(at.reach and at.reach.p50 > 0 for at in network.lengths)
    assert [batch.dialogues for batch in network.batches] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    timings = [network.single, network.step, network.cell, *(at.step for at in network.lengths)]
    assert all(0 < timing.p10 <= timing.p50 <= timing.p90 for timing in timings)
    assert network.replay_state_bytes > network.state_bytes > 0
    assert any("memory" in text for text in said)
    assert json.loads(json.dumps(report.plain()))["networks"][0]["targets"][0]["limit"] == 1.05
    assert "dialogue_graph" in shown(report)


def test_a_growth_of_memory_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter((1_000, 5_000))
    monkeypatch.setattr(bench, "_resident_bytes", lambda device: next(sizes))
    (network,) = bench_model(["dialogue_graph"], (2,), repetitions=SHORT).networks
    assert network.grown_bytes == 4_000


@pytest.mark.parametrize(
    ("networks", "lengths", "message"),
    [
        (["nonesuch"], (10,), "no network nonesuch: --network takes dialogue_graph"),
        (["dialogue_graph"], (0,), "from 1"),
    ],
)
def test_wrong_options_are_refused(networks: list[str], lengths: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench_model(networks, lengths)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match="torch finds no GPU here: measure with --device cpu"):
        bench_model(["dialogue_graph"], device="cuda")
