"""The server as a process: real sockets, real kills, and a subscriber to one dialogue."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from nats_server import nats_server
from tiny_world import options

from erc_live.live.bench.load import LoadPlan, LoadResult, bench_load
from erc_live.live.serving.serving_capacity import generated
from erc_live.models import checkpoint
from erc_live.models.checkpoint import Checkpoint
from erc_live.streams.feature_channel import FeatureSender
from erc_live.streams.messages import EmotionEvent, Hello, SessionEnd
from erc_live.streams.subscribe import subscribe

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def loaded(tiny_world: dict[str, str]) -> Checkpoint:
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield Path(place)


def load(plan: LoadPlan, loaded: Checkpoint, folder: Path, weights: str) -> LoadResult:
    lines: list[str] = []
    result = bench_load(plan, loaded, folder, [f"tracker.weights={weights}"], lines.append)
    assert (result.lost, result.repeated, result.wrong, result.holes, result.differing) == (0, 0, 0, 0, 0), lines
    assert result.stored + result.refused == result.utterances  # a machine that is busy may refuse a dialogue
    assert result.kills == len(result.recovery_s) == plan.kills
    return result


def test_nothing_is_lost_repeated_or_wrong_where_the_server_is_killed(loaded, folder, tiny_world):
    load(LoadPlan(dialogues=20, rate_hz=20, seconds=4, kills=2, seed=0), loaded, folder, tiny_world["tracker.weights"])


@pytest.mark.slow
def test_nor_where_its_log_is_on_a_nats_server(loaded, folder, tiny_world):
    with nats_server(folder / "nats") as server:
        plan = LoadPlan(dialogues=10, rate_hz=10, seconds=3, kills=1, seed=0, log=server.url("load"))
        load(plan, loaded, folder, tiny_world["tracker.weights"])


def test_a_server_ends_when_its_nats_server_does(folder, tiny_world):
    """Also while nobody says anything: whoever stands by may have the log by then."""
    with nats_server(folder / "nats") as nats:
        keys = {"tracker.weights": tiny_world["tracker.weights"], "events.endpoint": f"ipc://{folder}/e"}
        command = [sys.executable, "-m", "erc_live.live.cli", "serve", "--log", nats.url("served"), *options(keys)]
        with Popen([*command, "--features", f"ipc://{folder}/f"], stderr=PIPE, text=True) as server:
            lines = []
            for line in server.stderr:
                lines.append(line)
                if line.startswith("recovered"):
                    nats.stop()
        assert server.returncode == 4, lines
        assert f"{nats.url('served')}: the connection to the NATS server is lost" in lines[-1]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_of_two_hundred_dialogues_and_twenty_kills(loaded, folder, tiny_world):
    load(LoadPlan(200, rate_hz=100, seconds=30, kills=20, seed=1), loaded, folder, tiny_world["tracker.weights"])


def test_who_follows_one_dialogue_reads_a_stream_like_that_of_a_session(loaded, folder, tiny_world):
    keys = {"tracker.weights": tiny_world["tracker.weights"], "events.endpoint": f"ipc://{folder}/e"}
    command = [sys.executable, "-m", "erc_live.live.cli", "serve", "--log", str(folder / "log"), "--dialogues", "2"]
    with Popen([*command, "--features", f"ipc://{folder}/f", *options(keys)], stderr=PIPE, text=True) as server:
        with closing(FeatureSender(f"ipc://{folder}/f")) as sender:
            for number in range(3):
                for dialogue in ("a", "b"):
                    sender.send(generated(loaded, dialogue, number))
            while sender.waiting:
                sender.poll(0.05)
                assert server.poll() is None
            sender.send(generated(loaded, "c", 0))
            (full,) = [receipt for _ in range(100) for receipt in sender.poll(0.05)][:1]
            messages = []
            for message in subscribe(f"ipc://{folder}/e", timeout_s=60, dialogue="a"):
                messages.append(message)
                if isinstance(message, EmotionEvent) and message.seq == 2:
                    sender.end("a", 0)
        server.terminate()
        errors = server.stderr.read()
    assert (full.dialogue, full.verdict) == ("c", "full")
    assert isinstance(messages[0], Hello)
    assert [m.seq for m in messages if isinstance(m, EmotionEvent)] == [0, 1, 2]
    assert isinstance(messages[-1], SessionEnd)
    assert "room for 2 dialogues" in errors
    assert server.returncode == 0, errors
