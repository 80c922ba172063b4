"""Events of a server come back to the session that fed it: before their utterances are done, and never in vain."""

from contextlib import closing

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from test_broker import answer, features
from test_dialogue_feed import RELABEL

from erc_live.live.session.dialogue_feed import Settled
from erc_live.live.session.feeding import DialogueReader
from erc_live.live.session.server_events import MISSING_S, ServerEvents

HELLO = examples.hello()
PLACE = "ipc://events"


class World:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.events = ServerEvents(HELLO.labels, lambda: self.now_s)

    def after_s(self, seconds: float) -> list[object]:
        self.now_s += seconds
        return self.events.release([])


@pytest.fixture
def world() -> World:
    made = World()
    made.events.begin(PLACE)
    return made


def stored(number: int) -> Settled:
    return Settled(features(number), decided=True)


def event(number: int):
    return answer(number, features(number))


def test_an_utterance_is_done_when_its_event_is_here_and_nothing_overtakes_it(world):
    world.events.take([HELLO])
    relabel = Settled(RELABEL)
    assert world.events.release([stored(0), stored(1), relabel]) == []
    assert world.events.held == 3
    assert world.events.take([event(1)]) == [event(1)]
    assert world.events.release([]) == []
    world.events.take([event(0)])
    assert [type(one).__name__ for one in world.events.release([])] == ["UtteranceFeatures"] * 2 + ["Relabel"]
    assert (world.events.held, world.events.lines) == (0, [])


def test_what_comes_before_the_hello_is_in_what_follows_it(world):
    assert world.events.take([event(1), HELLO, event(0), event(1)]) == [event(0), event(1)]


def test_an_event_that_does_not_come_is_told_and_holds_up_no_other_until_events_come_again(world):
    world.events.take([HELLO])
    world.events.release([stored(0)])
    assert world.after_s(MISSING_S) == []
    assert len(world.after_s(0.1)) == 1
    (line,) = world.events.lines
    assert f"no event of utterance u0 came from {PLACE}" in line
    assert len(world.events.release([stored(1)])) == 1
    assert world.events.take([event(0)]) == [event(0)]  # late, and still to be shown
    assert "come again" in world.events.lines[-1]
    assert world.events.release([stored(2)]) == []


def test_where_nothing_can_be_read_nothing_is_waited_for():
    silent, refused = World(), World()
    assert len(silent.events.release([stored(0)])) == 1  # no receipt has said where
    refused.events.begin(PLACE)
    refused.events.fail("no key")
    assert len(refused.events.release([stored(0)])) == 1
    assert refused.events.lines == ["what the server decides cannot be shown here: no key"]


def test_a_stream_that_cannot_be_read_is_told_and_not_asked_again():
    core, place = ServerEvents(HELLO.labels, lambda: 0.0), "ipc://" + "x" * 200
    with closing(DialogueReader("desk-4", keyless=False)) as reader:
        for _ in range(2):
            assert reader.read(place, core) == []
    (line,) = core.lines
    assert "cannot be shown here" in line
    assert "choose a shorter one" in line
    assert len(core.release([stored(0)])) == 1


def test_other_labels_than_those_of_the_session_are_told_and_not_shown(world):
    assert world.events.take([structs.replace(HELLO, labels=("a", "b")), event(0)]) == []
    assert "its labels are a, b, here they are" in world.events.lines[0]
    assert len(world.events.release([stored(0)])) == 1


@given(st.lists(st.sampled_from(("settle", "event")), max_size=30))
def test_in_whatever_order_receipts_and_events_come_each_utterance_follows_its_event(steps):
    world = World()
    world.events.begin(PLACE)
    world.events.take([HELLO])
    settled, came, done = 0, 0, []
    for step in steps:
        if step == "settle":
            done += world.events.release([stored(settled)])
            settled += 1
        else:
            world.events.take([event(came)])
            done += world.events.release([])
            came += 1
        assert [one.utterance for one in done] == [f"u{n}" for n in range(min(settled, came))]
