"""Two processes that both think that a shard is theirs: only the newer one's word counts, and nothing is missing."""

from contextlib import closing

import msgspec
import pytest

from erc_live.live.config import Config
from erc_live.live.serving import dialogue_records, shard
from erc_live.live.serving.serving_capacity import generated
from erc_live.live.serving.shard_actor import ShardActor, ShardQuestion
from erc_live.models import checkpoint
from erc_live.models.errors import WeightsError
from erc_live.streams import codec
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import FeatureFrames
from erc_live.streams.messages import SourceEnd
from erc_live.streams.segmented_log import FileLog


@pytest.fixture
def actors(tiny_world, tmp_path):
    tracker = msgspec.structs.replace(Config().tracker, weights=tiny_world["tracker.weights"])
    config = msgspec.structs.replace(Config(), tracker=tracker)
    pair = ShardActor(), ShardActor()
    for actor in pair:
        actor.load(config, 10, tmp_path)
    yield pair
    for actor in pair:
        actor.close()


def test_who_hung_while_another_took_over_stores_nothing_and_what_it_did_not_say_is_published(
    actors, tiny_world, tmp_path
):
    loaded = checkpoint.load(tiny_world["tracker.weights"])
    older, newer = actors
    messages = [FeatureFrames(b"me", codec.encode(generated(loaded, "a", number))) for number in range(4)]
    other = FeatureFrames(b"me", codec.encode(generated(loaded, "b", 0)))
    ended = FeatureFrames(b"me", codec.encode(SourceEnd(source="b", t_ns=0, reason="stopped")))
    opened = older.open(tmp_path / "shard-0", None, None)
    first = older.turn([messages[0], other], [ShardQuestion("past", "a")])
    lost = older.turn([messages[1], ended], [])  # it hangs before its reply arrives
    taken = newer.open(tmp_path / "shard-0", opened.room, first.end)
    assert taken.room == opened.room
    assert taken.published == lost.published
    assert [(topic, dialogue) for topic, dialogue, _ in taken.published] == [("event", "a"), ("session_end", "b")]
    with pytest.raises(SessionError, match="another process has taken it over"):
        older.turn(messages[3:], [])
    again = newer.turn(messages[1:3], [])
    assert [receipt.verdict for _, receipt in again.receipts] == ["stored", "stored"]
    told = [
        codec.from_json(data) for _, name, data in first.published + lost.published + again.published if name == "a"
    ]
    assert [event.seq for event in told] == [0, 1, 2]
    numbers = [b'"utterance":"u%d"' % number for number in range(4)]
    log = FileLog(tmp_path / "shard-0", seize=True)
    stored = b"".join(record.data for record in log.records())
    log.close()
    assert [number in stored for number in numbers] == [True, True, True, False]


def test_what_is_open_stands_in_the_log_and_ends_in_silence_though_nobody_says_anything(
    actors, tiny_world, tmp_path, monkeypatch
):
    loaded = checkpoint.load(tiny_world["tracker.weights"])
    older, newer = actors
    older.open(tmp_path / "shard-0", (4, "measured"), None)
    spoken = [generated(loaded, dialogue, 0) for dialogue in ("a", "b", "c")]
    frames = [codec.encode(one) for one in (*spoken, SourceEnd(source="b", t_ns=0, reason="stopped"))]
    reply = older.turn([FeatureFrames(b"me", one) for one in frames], [])
    assert reply.ended == ["b"]
    full = older.turn([FeatureFrames(b"me", codec.encode(generated(loaded, "d", 0)))], [], elsewhere=2)
    assert [(receipt.verdict, receipt.why) for _, receipt in full.receipts] == [
        ("full", "4 dialogues are open, and there is room for 4 (measured): try again later")
    ]
    opened = newer.open(tmp_path / "shard-0", None, None)
    with closing(FileLog(tmp_path / "shard-0", seize=True)) as log:
        there = dialogue_records.open_dialogues(record.data for record in log.records())
    assert there == set(opened.dialogues) == {"a", "c"}
    older.close()
    older.open(tmp_path / "shard-0", None, None)
    monkeypatch.setattr(shard, "FORGET_S", 0.0)
    assert sorted(older.turn([], []).ended) == ["a", "c"]


def test_what_it_could_not_load_is_said_once_more_by_who_should_open_a_log(tmp_path):
    actor, nowhere = ShardActor(), msgspec.structs.replace(Config().tracker, weights=str(tmp_path / "nowhere"))
    for step in (
        lambda: actor.load(msgspec.structs.replace(Config(), tracker=nowhere), 10, tmp_path),
        lambda: actor.open(tmp_path / "shard-0", None, None),
    ):
        with pytest.raises(WeightsError, match=r"no card\.json in"):
            step()
