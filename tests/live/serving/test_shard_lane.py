"""What is on its way to a shard: nothing is lost, doubled or overtaken, whenever its process dies or hangs."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.serving.rendezvous import shard_of
from erc_live.live.serving.shard_actor import ShardOpened, ShardQuestion, ShardReply
from erc_live.live.serving.shard_lane import FULL, HUNG_S, MOST, WAIT_S, ShardLane, ShardLost
from erc_live.streams.clock import ManualClock
from erc_live.streams.feature_channel import FeatureFrames, Receipt


@dataclass
class VirtualProcess:
    """A shard that keeps what it took in `log`, as a folder does that another process takes over."""

    log: list[bytes]
    begun: list[tuple[Future, list, list]] = field(default_factory=list)
    killed: bool = False

    def open(self, folder: Path, room: tuple[int, str] | None, since: int | None) -> Future:
        missed = [] if since is None else [("event", "a", data) for data in self.log[since:]]
        opened: Future = Future()
        opened.set_result(ShardOpened(1, [], 0, 0, room or (9, "measured"), len(self.log), missed))
        return opened

    def turn(self, messages, questions, elsewhere) -> Future:
        future: Future = Future()
        self.begun.append((future, messages, questions))
        return future

    def kill(self) -> None:
        self.killed = True

    def work(self, answered: bool = True) -> None:
        """The next turn; without an answer, it died after it had stored and before it said so."""
        future, messages, questions = self.begun.pop(0)
        before = len(self.log)
        for message in messages:
            if message.frames[0] not in self.log:
                self.log.append(message.frames[0])
        receipts = [(m.sender, Receipt(dialogue="", utterance="", revision=0, verdict="stored")) for m in messages]
        if answered:
            answers = [(what, len(self.log)) for what, _ in questions]
            new = [("event", "a", data) for data in self.log[before:]]
            future.set_result(ShardReply(receipts, new, answers, end=len(self.log)))

    def die(self) -> None:
        for future, _, _ in self.begun:
            future.set_exception(ShardLost("killed"))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def lane(clock: ManualClock, tmp_path: Path) -> ShardLane:
    return ShardLane(tmp_path, lambda: clock.t_ns / 1e9)


def served(lane: ShardLane, log: list[bytes], published: list[bytes] | None = None) -> VirtualProcess:
    process = VirtualProcess(log)
    lane.serve(process)
    opened = lane.opened()
    assert opened
    if published is not None:
        published += [data for _, _, data in opened.published]
    return process


def message(number: int) -> FeatureFrames:
    return FeatureFrames(b"me", [b"%d" % number])


def test_a_turn_waits_for_others_but_not_for_long(lane, clock):
    process = served(lane, [])
    lane.put(message(0), final=True)
    lane.send()
    assert not process.begun
    clock.t_ns += int(WAIT_S * 1e9)
    lane.send()
    assert len(process.begun) == 1
    for number in range(FULL):
        lane.put(message(1 + number), final=True)
    lane.send()
    assert [len(messages) for _, messages, _ in process.begun] == [1, FULL]


def test_who_is_not_there_is_waited_for_with_bounds(lane, clock):
    for number in range(MOST + 5):
        lane.put(message(number % (MOST + 1)), final=True)
    assert len(lane) == MOST
    assert not lane.put(message(-1), final=False)
    lane.send()
    process = served(lane, [])
    clock.t_ns += int(WAIT_S * 1e9)
    lane.send()
    assert process.begun


def test_a_question_is_answered_after_what_came_before_and_asked_again_of_the_next(lane, clock):
    process, answers = served(lane, []), []
    lane.put(message(0), final=True)
    lane.ask(ShardQuestion("past", "a"), answers.append)
    lane.send()
    process.die()
    with pytest.raises(ShardLost):
        list(lane.replies())
    lane.lost()
    other = served(lane, process.log)
    lane.send()
    other.work()
    for _ in lane.replies():
        assert not answers  # what came before is published now
    assert answers == [("past", 1)]


def test_who_does_not_answer_is_succeeded(lane, clock):
    process = served(lane, [])
    lane.put(message(0), final=True)
    clock.t_ns += int(WAIT_S * 1e9)
    lane.send()
    clock.t_ns += int(HUNG_S * 1e9)
    assert list(lane.replies()) == []
    clock.t_ns += 1
    with pytest.raises(ShardLost, match="no answer for 30 s"):
        list(lane.replies())
    lane.lost()
    assert process.killed
    assert len(lane) == 1


@dataclass
class Trial:
    """A lane, the process that serves it, and what came of it."""

    clock: ManualClock = field(default_factory=ManualClock)
    log: list[bytes] = field(default_factory=list)
    put: int = 0
    answered: int = 0
    published: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lane = ShardLane(Path("unused"), lambda: self.clock.t_ns / 1e9)
        self.process = served(self.lane, self.log)

    def say(self) -> None:
        self.lane.put(message(self.put), final=True)
        self.put += 1

    def send(self) -> None:
        self.clock.t_ns += int(WAIT_S * 1e9)
        self.lane.send()

    def work(self, answered: bool = True) -> None:
        if self.process.begun:
            self.process.work(answered)

    def reply(self) -> None:
        try:
            for reply, *_ in self.lane.replies():
                self.answered += len(reply.receipts)
                self.published += [data for _, _, data in reply.published]
        except ShardLost:
            self.lane.lost()
            self.process = served(self.lane, self.log, self.published)

    def die(self) -> None:
        self.process.die()
        self.reply()

    def die_unanswered(self) -> None:
        """It has stored a turn, and did not come to say so."""
        if self.process.begun:
            lost = self.process.begun[0]
            self.work(answered=False)
            self.process.begun.insert(0, lost)
        self.die()


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.sampled_from([Trial.say, Trial.send, Trial.work, Trial.reply, Trial.die, Trial.die_unanswered]), max_size=60
    )
)
def test_all_that_was_put_is_stored_and_published_once_and_in_order(steps):
    trial = Trial()
    for step in [*steps, *[Trial.reply, Trial.send, Trial.work] * 4, Trial.reply]:
        step(trial)
    assert trial.log == [b"%d" % number for number in range(trial.put)]
    assert trial.answered == trial.put
    assert trial.published == trial.log


def test_dialogues_fall_evenly_and_few_move_with_one_shard_more():
    before = [shard_of(f"d-{number}", 4) for number in range(4000)]
    after = [shard_of(f"d-{number}", 5) for number in range(4000)]
    assert all(900 < before.count(shard) < 1100 for shard in range(4))
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {4}
    assert 700 < len(moved) < 900
