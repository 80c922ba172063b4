"""A session feeds a server: nothing final is overtaken, lost or given up in silence, whatever the server answers."""

import pytest
from msgspec import structs
from test_broker import features

from erc_live.live.session.dialogue_feed import RETRY_S, SILENCE_S, DialogueFeed
from erc_live.live.session.spec import Feed
from erc_live.streams.feature_channel import Receipt, message_key
from erc_live.streams.messages import Gap, Relabel, SourceEnd, UtteranceFeatures

RELABEL = Relabel(t_ns=1, dialogue="main", moved=("u1",), voice="mic#1", speaker_name=None, cause="merge")


class World:
    """A server that answers when it is told to, and the feed of a session."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.on_its_way: list[UtteranceFeatures | Relabel | SourceEnd] = []
        self.sent: list[UtteranceFeatures | Relabel | SourceEnd] = []
        self._receipts: list[Receipt] = []
        self.feed = DialogueFeed(self, Feed("desk-4", "ipc://server"), lambda: self.now_s)

    @property
    def waiting(self) -> int:
        return len(self.on_its_way)

    def send(self, message: UtteranceFeatures) -> None:
        self.sent.append(message)
        if message.final:
            self.on_its_way.append(message)

    def relabel(self, message: Relabel) -> None:
        self.sent.append(message)
        self.on_its_way.append(message)

    def end(self, dialogue: str, t_ns: int, reason: str = "stopped") -> None:
        message = SourceEnd(source=dialogue, t_ns=t_ns, reason=reason)
        self.sent.append(message)
        self.on_its_way.append(message)

    def poll(self, timeout_s: float = 0.0) -> list[Receipt]:
        receipts, self._receipts = self._receipts, []
        return receipts

    def answer(self, verdict: str = "stored", why: str = "") -> list[object]:
        """The server answers; what is done then."""
        utterance, revision = message_key(self.on_its_way.pop())
        self._receipts.append(
            Receipt(dialogue="desk-4", utterance=utterance, revision=revision, verdict=verdict, why=why)
        )
        return self.feed.poll()

    def names(self) -> list[str]:
        return [m.utterance if isinstance(m, UtteranceFeatures) else type(m).__name__ for m in self.sent]


@pytest.fixture
def world() -> World:
    return World()


def test_one_message_at_a_time_in_order_and_under_the_name_of_the_dialogue(world):
    messages = [features(0), features(1), RELABEL, SourceEnd(source="perception", t_ns=9, reason="ended")]
    for message in messages:
        world.feed.take(message)
    done = world.feed.poll()
    while world.on_its_way:
        assert world.waiting == 1
        done += world.answer()
    assert world.names() == ["u0", "u1", "Relabel", "SourceEnd"]
    assert {m.source if isinstance(m, SourceEnd) else m.dialogue for m in world.sent} == {"desk-4"}
    assert [id(one.message) for one in done] == [id(one) for one in messages]  # by which a session knows what is done
    assert [one.decided for one in done] == [True, True, False, False]
    assert (world.feed.stored, world.feed.waiting, world.feed.lines) == (2, 0, [])


def test_a_provisional_utterance_is_sent_where_nothing_waits_and_never_again(world):
    world.feed.take(features(0, final=False))
    world.feed.take(features(0))
    world.feed.take(features(1, final=False))
    world.feed.poll()
    world.answer()
    assert [(m.utterance, m.final) for m in world.sent] == [("u0", False), ("u0", True)]


def test_a_server_that_is_full_is_asked_again_and_nothing_overtakes(world):
    world.feed.take(features(0))
    world.feed.take(features(1))
    world.feed.poll()
    assert world.answer("full", "2 dialogues are open") == []
    assert world.names() == ["u0"]
    world.now_s += RETRY_S
    world.feed.poll()
    world.answer("full", "2 dialogues are open")
    world.now_s += RETRY_S
    world.feed.poll()
    world.answer()
    assert world.names() == ["u0", "u0", "u0", "u1"]
    assert "2 dialogues are open" in world.feed.lines[0]
    assert len(world.feed.lines) == 1


def test_what_is_refused_is_told_and_is_a_gap(world):
    world.feed.take(features(0))
    world.feed.take(features(1))
    world.feed.poll()
    (gap, _), (given_up, decided) = world.answer("refused", "other encoders")
    assert isinstance(gap, Gap)
    assert (gap.lost, given_up.utterance, decided) == (1, "u0", False)
    assert world.feed.lines == ["utterance u0 of desk-4 was refused by the server at ipc://server: other encoders"]
    world.answer()
    assert (world.names(), world.feed.stored) == (["u0", "u1"], 1)


def test_a_correction_that_is_refused_leaves_out_what_it_would_say_again_and_no_more(world):
    for number in range(3):
        world.feed.take(features(number))
    world.feed.take(RELABEL)
    for number in (1, 2):
        world.feed.take(features(number, revision=1))
    world.feed.take(features(3))
    world.feed.poll()
    for verdict in ("stored", "stored", "stored", "refused", "stored"):
        world.answer(verdict)
    assert world.names() == ["u0", "u1", "u2", "Relabel", "u3"]
    assert (world.feed.stored, world.feed.waiting) == (4, 0)


def test_silence_is_told_once_and_its_end_too(world):
    world.feed.take(features(0))
    world.feed.poll()
    for _ in range(3):
        world.now_s += SILENCE_S
        world.feed.poll()
    assert len(world.feed.lines) == 1
    assert "no answer from the server at ipc://server" in world.feed.lines[0]
    world.answer()
    assert "answers again" in world.feed.lines[1]
    world.now_s += 100  # nobody speaks
    world.feed.poll()
    assert len(world.feed.lines) == 2


def test_what_has_no_receipt_at_the_end_is_counted(world):
    world.feed.take(features(0))
    world.feed.take(features(1))
    world.feed.take(SourceEnd(source="perception", t_ns=9, reason="ended"))
    world.feed.poll()
    world.answer()
    (gap,) = world.feed.give_up(10_000_000_000)
    assert (gap.lost, gap.t_start_ns) == (1, features(1).t_start_ns)
    world.answer()
    world.answer()
    assert world.feed.give_up(10_000_000_000) == []


def test_who_takes_anothers_place_sends_only_what_had_no_receipt(world):
    world.feed.remember(structs.replace(features(0)))
    world.feed.take(features(1))
    world.feed.poll()
    assert world.names() == ["u1"]
