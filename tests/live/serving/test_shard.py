"""A shard: what it says of each dialogue is what a tracker says of it alone; what it keeps is enough to come back."""

import errno
import os
from contextlib import closing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shards import ShardHost

from erc_live.live.serving.shard import FORGET_S
from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models import checkpoint
from erc_live.streams import codec
from erc_live.streams.clock import ManualClock
from erc_live.streams.errors import SessionError
from erc_live.streams.feature_channel import message_key
from erc_live.streams.messages import Relabel, SourceEnd


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk():
    """Here a crash is an object that is dropped; what was written is there without a sync."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def loaded(tiny_world):
    return checkpoint.load(tiny_world["tracker.weights"])


@pytest.fixture
def served(loaded, tmp_path):
    with closing(ShardHost(loaded, tmp_path / "log")) as host:
        yield host


def test_each_dialogue_is_answered_as_if_it_were_alone(served, loaded):
    names = ["a", "b", "c"]
    events = [e for n in range(6) for e in served.say(*(served.utterance(name, n) for name in names))]
    for name in names:
        alone = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
        expected = [alone.observe(served.utterance(name, n)) for n in range(6)]
        mine = [e for e in events if e.dialogue == name]
        assert [e.seq for e in mine] == list(range(6))
        assert [(e.utterance, e.index, e.speaker, e.label, e.shift) for e in mine] == [
            (e.utterance, e.index, e.speaker, e.label, e.shift) for e in expected
        ]
        for one, other in zip(mine, expected, strict=True):
            assert list(one.probs.values()) == pytest.approx(list(other.probs.values()), abs=1e-5)


@settings(max_examples=10)
@given(
    turns=st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "d", "~end", "~back"]), min_size=1, max_size=6),
        min_size=1,
        max_size=12,
    ),
    rest_s=st.sampled_from([0.0, 11.0]),
    crashes=st.sets(st.integers(0, 11), max_size=3),
)
def test_after_a_crash_every_bit_is_as_before(loaded, tmp_path_factory, turns, rest_s, crashes):
    with closing(ShardHost(loaded, tmp_path_factory.mktemp("log"), segment=50_000)) as served:
        crash_at_random(served, turns, rest_s, crashes)


def crash_at_random(served, turns, rest_s, crashes):
    counts = dict.fromkeys("abcd", 0)
    for number, turn in enumerate(turns):
        for name in turn:
            if name == "~end":
                served.shard.take(b"", SourceEnd(source="a", t_ns=0, reason="stopped"))
                continue
            if name == "~back":
                served.shard.take(b"", back("b", f"u{max(0, counts['b'] - 3)}"))
                continue
            served.shard.take(b"", served.utterance(name, counts[name]))
            counts[name] += 1
        served.flush()
        served.clock.t_ns += int(rest_s * 1e9)
        if number in crashes:
            before = served.bits()
            recovery = served.again()
            assert recovery.differing == 0
            assert served.bits() == before
    before = served.bits()
    served.again()
    assert served.bits() == before


def back(dialogue, *moved):
    return Relabel(t_ns=1, dialogue=dialogue, moved=moved, voice="mic#1", speaker_name=None, cause="correction")


def voiced(served, number, voice=None, revision=0):
    """An utterance of a voice that is told apart from others of its microphone."""
    voice = voice or f"mic#{number % 3}"
    return msgspec.structs.replace(
        served.utterance("a", number), speaker_name=None, voice=voice, source="mic", revision=revision
    )


def corrected(served, first, count):
    """What perception says again from the first utterance on that moves."""
    return [voiced(served, number, "mic#1" if number == first else None, revision=1) for number in range(first, count)]


@pytest.mark.parametrize("first", [0, 3, 40, 58])
def test_a_dialogue_goes_back_as_a_session_does(served, loaded, first):
    alone = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
    for number in range(60):
        served.say(voiced(served, number))
        alone.observe(voiced(served, number))
    relabel = back("a", f"u{first}")
    alone.go_back(relabel)
    assert served.shard.take(b"me", relabel) is None
    served.clock.t_ns += 3_000_000
    outcome = served.shard.flush()
    ((_, receipt),) = outcome.receipts
    (published,) = outcome.published
    assert (receipt.verdict, receipt.utterance) == ("stored", message_key(relabel)[0])
    assert (published.topic, codec.from_json(published.data)) == ("relabel", relabel)
    before = served.bits()
    served.again()
    assert served.bits() == before
    for one in corrected(served, first, 60):
        (event,), expected = served.say(one), alone.observe(one)
        assert (event.index, event.speaker, event.shift) == (expected.index, expected.speaker, expected.shift)
        assert list(event.probs.values()) == pytest.approx(list(expected.probs.values()), abs=1e-5)


def test_a_correction_that_comes_again_is_acknowledged_and_not_told_again(served):
    for number in range(5):
        served.say(voiced(served, number))
    served.shard.take(b"me", back("a", "u3"))
    served.shard.take(b"me", back("a", "u3"))  # the receipt was late
    outcomes = [served.shard.flush(), served.shard.flush()]
    assert [receipt.verdict for outcome in outcomes for _, receipt in outcome.receipts] == ["stored", "stored"]
    assert [len(outcome.published) for outcome in outcomes] == [1, 0]
    served.say(*corrected(served, 3, 5)[:1])
    before = served.bits()
    served.again()
    served.shard.take(b"me", back("a", "u3"))  # the receipt was lost
    (outcome,) = [served.shard.flush()]
    assert [receipt.verdict for _, receipt in outcome.receipts] == ["stored"]
    assert outcome.published == []
    assert served.bits() == before


def test_a_correction_that_cannot_be_is_refused_and_leaves_all_as_it_was(served):
    assert served.shard.take(b"me", back("a", "u0")).verdict == "refused"
    served.say(voiced(served, 0))
    before = served.bits()
    served.shard.take(b"me", back("a", "u7"))
    ((_, receipt),) = served.shard.flush().receipts
    assert receipt.verdict == "refused"
    assert "stays as it was" in receipt.why
    assert served.bits() == before


def test_what_the_log_has_forgotten_cannot_be_gone_back_to(served, monkeypatch):
    monkeypatch.setattr("erc_live.live.serving.shard.RETAINED", 0)
    served.segment = 20_000
    served.again()
    for number in range(70):
        served.say(voiced(served, number))
    assert served.log.begin > 0
    served.shard.take(b"me", back("a", "u0"))
    ((_, receipt),) = served.shard.flush().receipts
    assert receipt.verdict == "refused"
    assert served.shard.tracker.memory("a").utterances == 70


def test_an_utterance_that_comes_again_is_acknowledged_and_not_told_again(served):
    one = served.utterance("a", 0)
    assert len(served.say(one)) == 1
    assert served.say(one) == []
    served.again()
    assert served.shard.take(b"", one).verdict == "stored"
    assert served.flush() == []


def test_what_was_not_acknowledged_may_be_gone_and_its_number_is_free(served):
    served.say(served.utterance("a", 0))
    served.shard.take(b"", served.utterance("a", 1))
    served.again()  # before the flush
    assert [e.seq for e in served.say(served.utterance("a", 1))] == [1]


def test_a_torn_record_is_as_if_it_had_not_been(served):
    served.say(served.utterance("a", 0))
    before = served.bits()
    served.say(served.utterance("a", 1))
    file = max(served.folder.glob("*.log"))
    file.write_bytes(file.read_bytes()[:-7])
    served.again()
    assert served.bits() == before


def test_a_damaged_record_is_refused(served):
    served.say(served.utterance("a", 0))
    file = max(served.folder.glob("*.log"))
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    with pytest.raises(SessionError, match="damaged at byte 0"):
        served.again()
    served.close()


def test_a_poisoned_utterance_is_put_aside_and_the_dialogue_goes_on(served):
    first, second, other = served.utterance("a", 0), served.utterance("a", 1), served.utterance("b", 0)
    wrong = msgspec.structs.replace(first, vectors={"text": first.vectors["text"][:3]})
    events = served.say(wrong, other)
    assert [(e.dialogue, bool(e.modalities)) for e in events] == [("a", False), ("b", True)]
    assert not events[0].certain
    assert len(set(events[0].probs.values())) == 1
    (letter,) = served.dead_letters.records()
    assert b"text vectors have shape (3,)" in letter.data
    assert [e.index for e in served.say(second)] == [1]
    before = served.bits()
    served.again()
    assert served.bits() == before


def test_there_is_room_for_so_many(served):
    served.dialogues = 2
    served.again()
    served.say(served.utterance("a", 0), served.utterance("b", 0))
    refused = served.shard.take(b"", served.utterance("c", 0))
    assert refused.verdict == "full"
    assert refused.why == "2 dialogues are open, and there is room for 2 (--dialogues): try again later"
    hello, end = served.shard.flush().published
    assert (hello.topic, end.topic, end.dialogue) == ("hello", "session_end", "c")
    served.say(served.utterance("a", 1))  # who is in stays
    served.shard.take(b"", SourceEnd(source="a", t_ns=0, reason="stopped"))
    served.flush()
    assert served.shard.take(b"", served.utterance("c", 0)) is None


def test_of_ten_thousand_at_once_so_many_are_in_and_the_others_cost_nothing(served):
    served.dialogues = 50
    served.again()
    one = served.utterance("a", 0)
    answers = [served.shard.take(b"", msgspec.structs.replace(one, dialogue=f"d{n}")) for n in range(10_000)]
    assert [answer.verdict for answer in answers if answer] == ["full"] * 9_950
    events = served.flush()
    assert sorted(event.dialogue for event in events) == sorted(f"d{n}" for n in range(50))
    assert len(served.shard.tracker.slots) == len(served.shard.dialogues) == 50
    assert [e.index for e in served.say(msgspec.structs.replace(served.utterance("a", 1), dialogue="d0"))] == [1]


def test_a_dialogue_ends_after_a_day_without_an_utterance_and_the_others_go_on(served):
    served.say(served.utterance("a", 0), served.utterance("b", 0))
    served.clock.t_ns += int((FORGET_S - 60) * 1e9)
    served.say(served.utterance("b", 1))
    served.clock.t_ns += 61_000_000_000
    served.shard.take(b"", served.utterance("b", 2))
    published = [*served.shard.flush().published, *served.shard.flush().published]
    (end,) = [each for each in published if each.topic == "session_end"]
    assert (end.dialogue, codec.from_json(end.data).reason) == ("a", "silent for 24 h")
    assert list(served.shard.dialogues) == ["b"]
    served.again()
    assert list(served.shard.dialogues) == ["b"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dialogue": "a.b"}, "letters, digits"),
        ({"dialogue": ""}, "letters, digits"),
        ({"utterance": "u" * 200}, "more than 100"),
        ({"encoders": {"text": "other"}}, "the model expects text vectors of encoder"),
    ],
)
def test_what_is_never_taken_is_refused_with_a_reason(served, changes, why):
    answer = served.shard.take(b"", msgspec.structs.replace(served.utterance("a", 0), **changes))
    assert answer.verdict == "refused"
    assert why in answer.why
    assert not served.shard.dialogues


def test_provisional_utterances_leave_no_trace_but_their_numbers(served):
    partial = msgspec.structs.replace(served.utterance("a", 0), final=False)
    final = msgspec.structs.replace(served.utterance("a", 0), revision=1)
    assert [(e.seq, e.final) for e in served.say(partial)] == [(0, False)]
    assert [(e.seq, e.final, e.index) for e in served.say(final)] == [(1, True, 0)]
    before = served.bits()
    served.again()
    assert served.bits() == before


def test_provisional_ones_are_given_up_first(served):
    for number in range(640):  # more than the 8 steps of a flush
        served.shard.take(b"", served.utterance(f"d{number % 64}", number // 64))
    served.shard.take(b"", msgspec.structs.replace(served.utterance("a", 0), final=False))
    events = served.flush()
    assert served.shard.counts.dropped == 1
    assert sum(e.final for e in events) == len(events) == 640


def test_a_dialogue_that_never_ends_is_as_small_as_one_that_has_begun(served):
    for number in range(170):  # as many as are remembered for a correction
        served.say(served.utterance("a", number))
    early = sum(map(len, served.bits()["a"]))
    for number in range(170, 300):
        served.say(served.utterance("a", number))
    assert sum(map(len, served.bits()["a"])) < early * 1.1
    served.again()
    assert len(served.shard.past("a")) == 51


def test_a_late_subscriber_is_told_the_past(served):
    for number in range(3):
        served.say(served.utterance("a", number))
    served.again()
    hello, *events = served.shard.past("a")
    assert b'"last_seq":2' in hello
    assert [b'"seq":%d' % n in event for n, event in enumerate(events)] == [True] * 3
    assert served.shard.past("b") == []


def test_on_a_full_disk_nothing_is_acknowledged_or_published(served, monkeypatch):
    served.say(served.utterance("a", 0))
    before = served.bits()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        served.shard.take(b"", served.utterance("a", 1))
        with pytest.raises(SessionError, match="make room"):
            served.shard.flush()
    served.again()
    assert served.bits() == before


def test_a_dialogue_that_rests_is_small_and_comes_back_unchanged(served):
    one, other = (served.utterance("a", number) for number in range(2))
    served.say(one)
    served.clock.t_ns += 120_000_000_000
    served.say(served.utterance("b", 0))
    assert "a" in served.shard.tracker.slots.parked
    assert sum(map(len, served.bits()["a"])) < 25_000
    assert [e.index for e in served.say(other)] == [1]
