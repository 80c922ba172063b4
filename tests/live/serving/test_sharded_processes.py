"""Shards in processes that Ray keeps: real kills, and folders that do not fit."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import torch
from msgspec import structs
from tiny_world import answering, options

from erc_live.live.bench.load import SAME, LoadPlan, bench_load, reference
from erc_live.live.bench.load_servers import ShardedServer
from erc_live.live.commands import serve as serve_command
from erc_live.live.config import Config
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.serving.gateway import GatewayNews, ShardedServing, room, serve
from erc_live.live.serving.generation_record import read_generations, shard_folder
from erc_live.live.serving.generations import take_up
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.serving.shard_actor import ShardActor
from erc_live.models import checkpoint
from erc_live.models.checkpoint import Checkpoint
from erc_live.streams import codec
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import FeatureFrames, FeatureSender
from erc_live.streams.messages import EmotionEvent
from erc_live.streams.subscribe import subscribe

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture(scope="module")
def loaded(tiny_world: dict[str, str]) -> Checkpoint:
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """The path of a socket must be short. All that a test starts has it in its environment."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ERC_LIVE_TEST", place)
        yield Path(place)


def load(plan: LoadPlan, loaded: Checkpoint, folder: Path, weights: str) -> None:
    lines, listening = list[str](), set[str]()

    def told(line: str) -> None:
        lines.append(line)
        if line.startswith("standing by"):
            listening.update(addresses(str(folder)))

    result = bench_load(plan, loaded, folder, [f"tracker.weights={weights}"], told)
    assert (result.lost, result.repeated, result.wrong, result.holes, result.differing) == (0, 0, 0, 0, 0), lines
    assert result.stored + result.refused == result.utterances  # a machine that is busy may refuse a dialogue
    assert result.kills == len(result.recovery_s) == plan.kills
    assert "sent again" in lines[-1], lines  # it ended when it was asked to, in order
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert listening
    assert not [process for process in started(str(folder)) if process.pid != os.getpid()]


def addresses(mark: str) -> Iterator[str]:
    """Where what the test started listens."""
    for process in started(mark):
        with suppress(psutil.Error):
            for one in process.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN:
                    yield one.laddr.ip


def started(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("ERC_LIVE_TEST") == mark:
                yield process


@pytest.mark.timeout(900)  # 4 processes load torch one after the other
def test_nothing_is_lost_repeated_or_wrong_where_shards_are_killed(loaded, folder, tiny_world):
    plan = LoadPlan(dialogues=200, rate_hz=40, seconds=5, kills=3, seed=0, shards=2)
    load(plan, loaded, folder, tiny_world["tracker.weights"])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_two_hundred_dialogues_and_twenty_kills_of_shards(loaded, folder, tiny_world):
    plan = LoadPlan(dialogues=200, rate_hz=50, seconds=30, kills=20, seed=1, shards=2)
    load(plan, loaded, folder, tiny_world["tracker.weights"])


@pytest.mark.timeout(900)
def test_a_dialogue_keeps_its_weights_and_another_one_gets_those_that_are_new(loaded, folder, tiny_world):
    """What was said under the weights of before is put into their log here; one gateway then serves both."""
    old = structs.replace(Config(), tracker=structs.replace(Config().tracker, weights=tiny_world["tracker.weights"]))
    new = answering(loaded.model.config)
    torch.nn.init.ones_(new.head[-1].bias)  # other weights, whatever was drawn
    checkpoint.save(folder / "new", new, loaded.card)
    spoken = [generated(loaded, "a", number) for number in range(2)]
    (folder / "log").mkdir()
    generations, actor = take_up(folder / "log", 1, old.tracker.weights), ShardActor()
    actor.load(old, 10, folder)
    actor.open(shard_folder(folder / "log", generations.shard("a")), None, None)
    actor.turn([FeatureFrames(b"me", codec.encode(spoken[0]))], [])
    actor.close()
    lines: list[str] = []
    keys = {"tracker.weights": str(folder / "new"), "events.endpoint": f"ipc://{folder}/e"}
    command = [sys.executable, "-m", "erc_live.live.cli", "serve", "--ray", "local", "--log", str(folder / "log")]
    command += ["--features", f"ipc://{folder}/f", *options(keys)]
    with closing(ShardedServer(command, 2, lines.append)), closing(FeatureSender(f"ipc://{folder}/f")) as sender:
        for one in (spoken[1], generated(loaded, "b", 0)):
            sender.send(one)
        answered(sender)
        begins = [next(subscribe(f"ipc://{folder}/e", timeout_s=60, dialogue=dialogue)) for dialogue in "ab"]
        events = []
        for message in subscribe(f"ipc://{folder}/e", timeout_s=60, dialogue="a"):
            events += [message] if isinstance(message, EmotionEvent) else []
            if len(events) == 2:
                sender.end("a", 0)
                answered(sender)
    assert [hello.model for hello in begins] == [loaded.fingerprint, checkpoint.load(str(folder / "new")).fingerprint]
    assert [(event.seq, event.probs) for event in events] == [
        (seq, pytest.approx(event.probs, abs=SAME)) for seq, event in enumerate(reference(spoken, loaded))
    ]
    was = f"generation 1 (shards: 1, weights: {loaded.fingerprint})"
    assert {f"{was}: 1 open, and going on there", f"{was} is closed: its last dialogue has ended"} <= {*lines}
    assert [one.number for one in read_generations(folder / "log")] == [2]


def answered(sender: FeatureSender) -> None:
    """Everything has its receipt; who waits longer than a test may, is ended by that."""
    while sender.waiting:
        assert {receipt.verdict for receipt in sender.poll(0.05)} <= {"stored"}


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ("shards", "generations: is missing, and there are shards"),
        ("00000000000000000000.00000001.log", "is the log of a server without shards"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_before_anything_starts(folder, there, why):
    (folder / there).write_text("2")
    news = GatewayNews(*[lambda *_: None] * 6)
    serving = ShardedServing(Config(), f"ipc://{folder}/f", folder, 10, "local")
    with pytest.raises(SessionError, match=why):
        serve(serving, news, lambda: True)


def test_what_has_to_be_installed_is_said(monkeypatch):
    monkeypatch.setattr(serve_command, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[scale\]'"):
        serve_command.serve(ray="local")


def test_a_spare_stands_by_anyhow():
    with pytest.raises(ConfigError, match="--standby and --drain go without --ray"):
        serve_command.serve(ray="local", standby=True)


def test_a_shard_has_room_for_a_little_more_than_its_share():
    assert [room(1000, 1), room(1000, 2), room(10_000, 4)] == [1000, 590, 2700]
