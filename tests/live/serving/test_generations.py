"""Other shards and other weights while people talk: a dialogue stays where it began, whatever is killed when.

The gateway, the record and the logs are real; a shard is one that needs no network, and notes who stored what.
"""

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from erc_live.live.config import Config
from erc_live.live.serving import dialogue_records as records
from erc_live.live.serving import shard_lane
from erc_live.live.serving.gateway import LOSSES, Gateway, GatewayNews, ShardedServing, turn
from erc_live.live.serving.generation_record import Generation, read_generations, shard_folder
from erc_live.live.serving.generations import take_up
from erc_live.live.serving.serve_metrics import ServeMetrics
from erc_live.live.serving.shard_actor import ShardOpened, ShardReply
from erc_live.live.serving.shard_lane import ShardLost
from erc_live.models import card as cards
from erc_live.models.errors import WeightsError
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import FeatureFrames, Receipt, head
from erc_live.streams.segmented_log import FileLog

WEIGHTS = ("first", "second")
TURNS = 12  # in which everything is answered
Words = tuple[str, int, int]  # dialogue, which one of that name, utterance

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # who is killed closes nothing


class Killed(BaseException):
    """The gateway is gone at once."""


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    """Nobody waits for others, and the disk is not waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_lane, "WAIT_S", 0.0)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders with a card, by their names."""
    folders = {}
    for name in WEIGHTS:
        folder = folders[name] = tmp_path_factory.mktemp(name)
        (folder / cards.WEIGHTS).write_text(name)
        cards.write(folder, cards.Card("dialogue_graph", {}, ("neutral",), {}, {}, {}))
    return {name: str(folder) for name, folder in folders.items()}


@dataclass
class Stored:
    """What stands in a log: where, by which weights, and the newest generation at that time."""

    words: Words
    shard: str
    weights: str
    newest: Generation


@dataclass
class LoggedShard:
    """A shard whose answer is that it is in the log."""

    weights: str
    world: "World"
    dies: str = ""  # with the next turn: "before" it has stored, or "after"
    killed: bool = False
    elsewhere: int = 0
    log: FileLog | None = None

    def __post_init__(self) -> None:
        self.loaded: Future = Future()
        self.loaded.set_result(1)

    def open(self, folder: Path, room: tuple[int, str] | None, since: int | None) -> Future:
        self.log, self.folder, self.room = FileLog(folder, seize=True), folder, room or (100, "measured")
        self.dialogues: dict[str, set[Words]] = defaultdict(set)
        for _, data in self.log.records():
            match records.decode(data):
                case records.BatchRecord(features=[features]):
                    words = msgspec.json.decode(features, type=Words)
                    self.dialogues[words[0]].add(words)
                case records.Ended(dialogue=dialogue):
                    self.dialogues.pop(dialogue, None)
        return done(ShardOpened(1, list(self.dialogues), 0, 0, self.room, self.log.end, []))

    def turn(self, messages: list[FeatureFrames], questions: list, elsewhere: int) -> Future:
        self.elsewhere = elsewhere
        if self.dies == "before":
            return failed(ShardLost("killed"))
        reply = ShardReply(answers=[None for _ in questions])
        for message in messages:
            reply.receipts.append((message.sender, self.take(head(message.frames).source, message.frames[1], reply)))
        reply.dialogues, reply.end = len(self.dialogues), self.log.end
        return failed(ShardLost("killed")) if self.dies else done(reply)

    def take(self, ended: str, data: bytes, reply: ShardReply) -> Receipt:
        if ended:
            if self.dialogues.pop(ended, None):
                self.log.append(records.ended(ended, b"{}"))
                reply.ended.append(ended)
            return Receipt(dialogue=ended, utterance="", revision=0, verdict="stored")
        words = msgspec.json.decode(data, type=Words)
        full = words[0] not in self.dialogues and not self.room[0]
        if not full and words not in self.dialogues[words[0]]:
            self.log.append(records.batch([data], [event_of(words)]).data)
            self.dialogues[words[0]].add(words)
            newest = self.world.gateway.generations.newest
            self.world.stored.append(Stored(words, self.folder.name, self.weights, newest))
        return Receipt(dialogue=words[0], utterance="", revision=0, verdict="full" if full else "stored")

    def kill(self) -> None:
        self.killed = True

    def close(self) -> None:
        if self.log:
            self.log.close()


def done(result: object) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future


def failed(error: Exception) -> Future:
    future: Future = Future()
    future.set_exception(error)
    return future


def event_of(words: Words) -> bytes:
    event = records.EventHead(
        session="",
        dialogue=words[0],
        utterance=str(words),
        revision=0,
        seq=words[2],
        final=True,
        speaker=0,
        speaker_name="",
        probs={},
    )
    return msgspec.json.encode(event)


@dataclass
class World:
    """A folder, whoever serves it now, and people who talk: of each dialogue one message is on its way at a time,
    and is sent until it has a receipt.
    """

    folder: Path
    weights: dict[str, str]
    stored: list[Stored] = field(default_factory=list)
    lives: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    spoken: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    waiting: dict[str, FeatureFrames] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    older: list[tuple[int, int]] = field(default_factory=list)
    processes: list[LoggedShard] = field(default_factory=list)

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        """A process that ends closes what it has open."""
        while self.processes:
            self.processes.pop().close()

    # What a cluster does.
    def start(self, name: str, config: Config, dialogues: int, folder: Path) -> LoggedShard:
        shard = LoggedShard(Path(config.tracker.weights).name, self)
        self.processes.append(shard)
        return shard

    # What sockets do.
    def wait(self, timeout_s: float) -> bool:
        return bool(self.waiting)

    def receive_frames(self, most: int) -> list[FeatureFrames]:
        return list(self.waiting.values())[:most]

    def answer(self, sender: bytes, receipt: Receipt) -> None:
        dialogue = receipt.dialogue
        if receipt.verdict == "full" or dialogue not in self.waiting:
            return
        if head(self.waiting.pop(dialogue).frames).source:
            self.lives[dialogue] += 1
            self.spoken[dialogue] = 0
        else:
            self.spoken[dialogue] += 1

    def publish(self, *published: object) -> None: ...

    def poll(self) -> None: ...

    # What people do.
    def say(self, dialogue: str) -> None:
        words = dialogue, self.lives[dialogue], self.spoken[dialogue]
        self._send(dialogue, {"dialogue": dialogue}, words)

    def end(self, dialogue: str) -> None:
        self._send(dialogue, {"source": dialogue}, ())

    def _send(self, dialogue: str, place: dict, words: tuple) -> None:
        frames = [msgspec.msgpack.encode(place), msgspec.json.encode(words)]
        self.waiting.setdefault(dialogue, FeatureFrames(dialogue.encode(), frames))

    def serve(self, shards: int, weights: str) -> None:
        """A gateway begins in the place of the one that is there, which is not asked."""
        self.__exit__()
        tracker = structs.replace(Config().tracker, weights=self.weights.get(weights, weights))
        serving = ShardedServing(structs.replace(Config(), tracker=tracker), "", self.folder, 100, "local", shards)
        nothing = [lambda *_: None] * 4
        news = GatewayNews(
            lambda one, number: self.older.append((one.number, number)),
            *nothing,
            lambda one: self.closed.append(one.number),
        )
        generations = take_up(self.folder, shards, tracker.weights)
        self.gateway = Gateway(serving, generations, self, news, ServeMetrics())
        self.gateway.load()

    def turns(self, number: int = TURNS) -> None:
        for _ in range(number):
            turn(self.gateway, self, self)

    def lose(self, place: int, when: str) -> None:
        """A process dies with its next turn."""
        lanes = list(self.gateway.lanes.values())
        lane = lanes[place % len(lanes)]
        if lane.losses < LOSSES and lane._process:
            lane._process.dies = when

    def check(self) -> None:
        """Everything that had a receipt is stored once, where its dialogue began."""
        lives = defaultdict(list)
        for one in self.stored:
            lives[one.words[:2]].append(one)
        for (dialogue, _), all_of_it in lives.items():
            assert [one.words[2] for one in all_of_it] == list(range(len(all_of_it)))
            assert len({one.shard for one in all_of_it}) == len({one.weights for one in all_of_it}) == 1
            begun = all_of_it[0].newest
            assert all_of_it[0].weights == Path(begun.weights).name
            assert all_of_it[0].shard == shard_folder(self.folder, begun.shard(dialogue)).name
        for dialogue, spoken in self.spoken.items():
            assert len(lives[dialogue, self.lives[dialogue]]) in (spoken, spoken + 1)
        there = read_generations(self.folder)
        assert there == list(self.gateway.generations.generations)
        names = {shard_folder(self.folder, number).name for one in there for number in one.numbers}
        assert {path.name for path in self.folder.glob("shard-*")} <= names


@pytest.fixture
def world(tmp_path: Path, weights: dict[str, str]) -> Iterator[World]:
    with World(tmp_path, weights) as one:
        yield one


def test_shards_are_added_while_people_talk(world):
    world.serve(0, "first")
    for dialogue in "abcdefgh":
        world.say(dialogue)
    world.turns()
    world.serve(3, "first")
    assert world.older == [(1, 8)]
    for dialogue in "abcdefghijklmnop":
        world.say(dialogue)
    world.turns()
    assert [one.shards for one in read_generations(world.folder)] == [2, 3]
    assert {one.elsewhere for one in world.processes if not one.killed and one.elsewhere} == {3}  # 8 of 3 shards
    for dialogue in "abcdefgh":
        assert not world.closed
        world.end(dialogue)
        world.turns()
    assert world.closed == [1]
    assert sum(one.killed for one in world.processes) == 2
    assert sorted(path.name for path in world.folder.glob("shard-*")) == ["shard-2", "shard-3", "shard-4"]
    world.say("a")
    world.turns()
    world.check()
    world.serve(0, "first")
    assert [one.number for one in read_generations(world.folder)] == [2]


def test_weights_are_changed_while_people_talk_and_back(world):
    for weights in ("first", "second", "first"):
        world.serve(1, weights)
        world.say("abc"[len(world.spoken)])
        world.turns()
        for dialogue in [*world.spoken]:
            world.say(dialogue)
        world.turns()
    world.check()
    assert {one.words[0]: one.weights.rstrip("0") for one in world.stored} == {
        "a": "first",
        "b": "second",
        "c": "first",
    }
    assert [one.number for one in read_generations(world.folder)] == [1, 2, 3]
    for place in range(3):
        world.lose(place, "after")
    for dialogue in "abc":
        world.say(dialogue)
    world.turns()
    world.end("b")
    world.turns()
    world.check()
    assert world.closed == [2]


def test_weights_that_are_gone_are_missed_only_by_dialogues_that_are_open(world, tmp_path_factory):
    lent = tmp_path_factory.mktemp("lent")
    for file in (cards.WEIGHTS, cards.CARD):
        (lent / file).write_bytes((Path(world.weights["second"]) / file).read_bytes())
    world.serve(1, str(lent))
    world.say("a")
    world.turns()
    before = (world.folder / "generations").read_bytes()
    (lent / cards.CARD).rename(lent / "elsewhere")
    with pytest.raises(WeightsError, match=rf"open \(1\) that began with the weights \w+ of {lent} \(no card"):
        world.serve(1, "first")
    assert (world.folder / "generations").read_bytes() == before
    world.serve(2, "second")  # the same, where they are now
    world.serve(1, "first")
    world.say("a")
    world.turns()
    assert [one.shard for one in world.stored] == ["shard-0", "shard-0"]
    world.end("a")
    world.turns()
    assert world.closed == [1]


def test_an_end_that_was_stored_and_not_answered_is_an_end(world):
    world.serve(1, "first")
    for dialogue in "ab":
        world.say(dialogue)
    world.turns()
    world.serve(1, "second")
    world.end("a")
    world.lose(0, "after")
    world.turns()
    world.say("a")
    world.turns()
    world.check()
    assert [(one.words, one.weights[:-1]) for one in world.stored[2:]] == [(("a", 1, 0), "second")]
    assert not world.closed  # of b


def test_what_was_put_aside_stays(world):
    world.serve(1, "first")
    world.say("a")
    world.turns()
    letters = FileLog(shard_folder(world.folder, 0) / "dead-letters")
    letters.append(b"why")
    letters.close()
    world.end("a")
    world.turns()
    world.serve(1, "second")
    assert [path.name for path in shard_folder(world.folder, 0).iterdir()] == ["dead-letters"]
    assert not world.older


@pytest.mark.parametrize("there", ["shards", "shard-0", "generations"])
def test_a_record_that_is_missing_or_damaged_is_said(world, there):
    (world.folder / there).write_text("2")
    with pytest.raises(SessionError, match=r"generations: (is missing|cannot be read)"):
        world.serve(0, "first")


def a_change(world: World) -> None:
    """Another generation begins, and that of before ends."""
    world.serve(1, "second")
    for dialogue in "abd":
        world.say(dialogue)
    world.turns(2)
    for dialogue in "abc":
        world.end(dialogue)
    world.turns(3)


STEPS = ("open", "unlink", "rmdir", "replace", "mkdir")  # what a change of generation does on the disk


def test_a_kill_between_any_two_steps_loses_and_moves_nothing(weights):
    for fatal in range(1000):
        with tempfile.TemporaryDirectory() as folder, World(Path(folder), weights) as world:
            world.serve(2, "first")
            for dialogue in "abc":
                world.say(dialogue)
            world.turns(3)
            survived = run_until(fatal, lambda world=world: a_change(world))
            world.serve(0, "second")
            for dialogue in "abcd":
                world.say(dialogue)
            world.turns(4)
            world.check()
            for dialogue in "abcd":
                world.end(dialogue)
            world.turns(3)
            world.check()
            assert not world.waiting
            assert [Path(one.weights).name for one in read_generations(world.folder)] == ["second0"]
        if survived:
            break
    assert fatal > 50  # steps were counted


def run_until(fatal: int, what: Callable[[], None]) -> bool:
    """Whether it came to its end, and was not killed before that step on the disk."""
    left = [fatal]

    def killing(real: Callable) -> Callable:
        def step(*args: object, **options: object) -> object:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return real(*args, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, killing(getattr(os, name)))
        try:
            what()
        except Killed:
            return False
    return True


actions = st.one_of(
    st.tuples(st.just(World.say), st.sampled_from("abcdef")),
    st.tuples(st.just(World.say), st.sampled_from("abcdef")),
    st.tuples(st.just(World.end), st.sampled_from("abcdef")),
    st.tuples(st.just(World.turns), st.integers(1, 3)),
    st.tuples(st.just(World.serve), st.integers(0, 3), st.sampled_from(WEIGHTS)),
    st.tuples(st.just(World.lose), st.integers(0, 5), st.sampled_from(["before", "after"])),
)


@given(steps=st.lists(actions, max_size=30))
def test_whoever_dies_and_whatever_is_asked_for_a_dialogue_stays_where_it_began(weights, steps):
    with tempfile.TemporaryDirectory() as folder, World(Path(folder), weights) as world:
        world.serve(0, "first")
        for step, *arguments in steps:
            step(world, *arguments)
        world.turns()
        world.check()
        assert not world.waiting
