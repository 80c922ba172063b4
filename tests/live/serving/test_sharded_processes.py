"""Shards in processes that Ray keeps: real kills, a process that hangs, and folders that are another's."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import psutil
import pytest

from erc_live.live.bench.load import LoadPlan, bench_load
from erc_live.models import checkpoint
from erc_live.models.checkpoint import Checkpoint

pytestmark = pytest.mark.xdist_group("processes")
SERVE = (sys.executable, "-m", "erc_live.live.cli", "serve", "--ray", "local")


@pytest.fixture(scope="module")
def loaded(tiny_world: dict[str, str]) -> Checkpoint:
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield Path(place)


def load(plan: LoadPlan, loaded: Checkpoint, folder: Path, weights: str) -> None:
    lines: list[str] = []
    result = bench_load(plan, loaded, folder, [f"tracker.weights={weights}"], lines.append)
    assert (result.lost, result.repeated, result.wrong, result.holes, result.differing) == (0, 0, 0, 0, 0), lines
    assert result.stored + result.refused == result.utterances  # a machine that is busy may refuse a dialogue
    assert result.kills == len(result.recovery_s) == plan.kills
    assert not [process for process in psutil.process_iter(["cmdline"]) if "erc-ray-" in str(process.info["cmdline"])]


def test_nothing_is_lost_repeated_or_wrong_where_shards_are_killed(loaded, folder, tiny_world):
    plan = LoadPlan(dialogues=200, rate_hz=40, seconds=5, kills=3, seed=0, shards=2)
    load(plan, loaded, folder, tiny_world["tracker.weights"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_two_hundred_dialogues_and_twenty_kills_of_shards(loaded, folder, tiny_world):
    plan = LoadPlan(dialogues=200, rate_hz=50, seconds=30, kills=20, seed=1, shards=2)
    load(plan, loaded, folder, tiny_world["tracker.weights"])


@pytest.mark.parametrize(
    ("there", "asked", "why"),
    [
        ("shards", ["--shards", "3"], "is the log of 2 shards"),
        ("00000000000000000000.00000001.log", [], "is the log of a server without shards"),
        ("", ["--standby"], "--standby without"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_before_anything_starts(folder, there, asked, why):
    if there:
        (folder / "log").mkdir()
        (folder / "log" / there).write_text("2")
    command = [*SERVE, "--log", str(folder / "log"), "--features", f"ipc://{folder}/f", *asked]
    ended = run(command, capture_output=True, text=True, check=False)
    assert ended.returncode in (2, 4)
    assert why in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
