"""While the disk syncs: the next step is computed, and nothing that follows from the last one is given away."""

import errno
import shutil
from contextlib import closing

import pytest
from held_disk import held_disk
from shards import ShardHost

from erc_live.live.serving import pending_writes
from erc_live.live.serving.pending_writes import PendingWrite, PendingWrites
from erc_live.models import checkpoint
from erc_live.streams import codec
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import EmotionEvent, SourceEnd


@pytest.fixture(scope="module")
def loaded(tiny_world):
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def served(loaded, tmp_path):
    with closing(ShardHost(loaded, tmp_path / "log")) as host:
        host.say(host.utterance("a", 0), host.utterance("b", 0))
        yield host


def step(served, *messages):
    """Let them in, and step; where the log ends then."""
    for message in messages:
        assert served.shard.take(b"me", message) is None
    served.clock.t_ns += 3_000_000
    served.shard.step()
    return served.writer.end


def told(served, dialogue):
    """What a late subscriber is told, and the numbers in it."""
    messages = [codec.from_json(data) for data in served.shard.past(dialogue)]
    return messages, [m.seq for m in messages if isinstance(m, EmotionEvent)]


def ended(dialogue):
    return SourceEnd(source=dialogue, t_ns=1, reason="stopped")


def test_nothing_is_given_away_before_its_sync_and_the_next_step_is_computed(served):
    shard, before = served.shard, (told(served, "a"), codec.from_json(served.shard.alive("a")).last_seq)
    with held_disk() as disk:
        first = step(served, served.utterance("a", 1))
        disk.wait()
        assert shard.take(b"other", served.utterance("a", 1)) is None  # it comes again, from somebody else
        step(served, served.utterance("a", 2), served.utterance("c", 0))
        step(served, ended("b"))
        assert shard.take(b"me", ended("b")) is None  # it has ended; who knows whether that stays
        assert [shard.tracker.memory(name).utterances for name in ("a", "b", "c")] == [3, 0, 1]
        nothing = shard.released()
        assert (nothing.receipts, nothing.published, shard.counts.stored) == ([], [], 2)
        assert (told(served, "a"), codec.from_json(shard.alive("a")).last_seq) == before
        assert told(served, "b")[1] == [0]
        assert (shard.past("c"), shard.alive("c")) == ([], b"")
        disk.let_go()
        served.writer.wait(first)
        one = shard.released()
        assert [(sender, r.dialogue, r.utterance) for sender, r in one.receipts] == [
            (b"me", "a", "u1"),
            (b"other", "a", "u1"),
        ]
        assert [(m.topic, codec.from_json(m.data).seq) for m in one.published] == [("event", 1)]
        assert told(served, "a")[1] == [0, 1]
        disk.let_go()
        served.writer.wait()
        rest = shard.released()
    assert [(r.dialogue, r.utterance) for _, r in rest.receipts] == [("a", "u2"), ("c", "u0"), ("b", ""), ("b", "")]
    assert {r.verdict for _, r in rest.receipts} == {"stored"}
    assert [(m.topic, m.dialogue) for m in rest.published] == [("event", "a"), ("event", "c"), ("session_end", "b")]
    assert (told(served, "a")[1], told(served, "b")[1], told(served, "c")[1]) == ([0, 1, 2], [], [0])
    assert [step.messages for step in (*one.steps, *rest.steps)] == [1, 2, 1]
    assert shard.counts.stored == 5


def test_that_there_is_no_room_is_said_while_the_disk_hangs(loaded, tmp_path):
    with closing(ShardHost(loaded, tmp_path / "log", dialogues=1)) as served, held_disk():
        step(served, served.utterance("a", 0))
        assert served.shard.take(b"me", served.utterance("b", 0)).verdict == "full"


def test_a_sync_that_fails_is_said_and_all_that_waited_for_it_never_was(served):
    before = served.bits()
    with held_disk() as disk:
        step(served, served.utterance("a", 1))
        disk.wait()
        step(served, served.utterance("b", 1))
        disk.let_go(OSError(errno.EIO, "Input/output error"))
        with pytest.raises(SessionError, match="the disk does not take the log"):
            served.writer.wait()
        for refused in (served.shard.released, lambda: step(served, served.utterance("b", 2)), served.shard.flush):
            with pytest.raises(SessionError, match="the disk does not take the log"):
                refused()
    served.again()
    assert served.bits() == before
    assert [e.seq for e in served.say(served.utterance("a", 1))] == [1]


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_a_kill_between_write_and_sync_loses_nothing_acknowledged_and_repeats_nothing(served, loaded, tmp_path, share):
    """What is on the disk then is any beginning of what was written."""
    acknowledged = served.log.end - served.log.begin
    with held_disk() as disk:
        step(served, served.utterance("a", 1), served.utterance("b", 1))
        disk.wait()
        step(served, served.utterance("a", 2))
        killed = shutil.copytree(served.folder, tmp_path / "killed", ignore=shutil.ignore_patterns("*lock*"))
    file = max(killed.glob("*.log"))
    data = file.read_bytes()
    assert len(data) > acknowledged
    file.write_bytes(data[: acknowledged + int(share * (len(data) - acknowledged))])
    with closing(ShardHost(loaded, killed)) as again:
        stored = {name: again.shard.past(name) for name in "ab"}
        assert [told(again, name)[1] for name in "ab"] == [[0, 1] if share == 1 else [0]] * 2
        assert stored["a"][1:2] == served.shard.past("a")[1:2]  # what was told stands there as it was told
        again.say(*(again.utterance(name, number) for name in "ab" for number in (0, 1)), again.utterance("a", 2))
        assert {name: told(again, name)[1] for name in "ab"} == {"a": [0, 1, 2], "b": [0, 1]}
        assert all(again.shard.past(name)[1:][: len(data) - 1] == data[1:] for name, data in stored.items())


class SlowWriter:
    """A writer whose log takes nothing, of which it is only noted what is waited for."""

    end = 0

    def __init__(self):
        self.waited = []

    def wait(self, end):
        self.waited.append(end)


def test_who_is_far_ahead_of_the_disk_waits_for_it(monkeypatch):
    monkeypatch.setattr(pending_writes, "AHEAD", 3)
    writer = SlowWriter()
    writes = PendingWrites(writer)
    for end in (10, 20, 30, 40, 50):
        writer.end = end
        writes.add(PendingWrite(1, 0))
    assert writer.waited == [20, 30]
