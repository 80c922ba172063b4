"""The broker: what perception and tracker say becomes one order, public and complete, whoever of them dies."""

import io
import time
from contextlib import closing

import examples
import pytest
from msgspec import structs

from erc_live.live.alerts.alert_rules import AlertRules
from erc_live.live.capture.source_spec import parse_mic
from erc_live.live.config import AlertRule, Config, EventsSection
from erc_live.live.session.broker import Broker
from erc_live.live.session.spec import SUBSCRIPTIONS, Feed, SessionSpec
from erc_live.streams.address import BusAddresses
from erc_live.streams.annotations import Annotation
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import (
    Gap,
    Overload,
    Recogniser,
    Relabel,
    SessionEnd,
    SourceEnd,
    UtteranceFeatures,
    WorkerStatus,
)
from erc_live.streams.ring import Retention

PATIENCE_S = 60.0
RELABEL = Relabel(t_ns=1, dialogue="d", moved=("u0",), voice="mic-0#2", speaker_name=None, cause="merge")
OVERLOAD = Overload(t_ns=2, level=1, step="without words", waiting_s=3.0)
GAP = Gap(source="mic-0", t_start_ns=0, t_end_ns=1, lost=1, cause="device")


def features(number: int, **fields: object) -> UtteranceFeatures:
    said = examples.event(number)
    own = {name: getattr(said, name) for name in UtteranceFeatures.__struct_fields__ if hasattr(said, name)}
    own |= {"source": "mic-0", "engine": Recogniser(name="e"), "speaker_name": None, "closed_by": "silence"}
    return UtteranceFeatures(**(own | fields))


def answer(number: int, heard: UtteranceFeatures, **fields: object):
    fits = {"utterance": heard.utterance, "revision": heard.revision, "final": heard.final, "index": number}
    return structs.replace(examples.event(number), **(fits | fields))


class World:
    """A broker, those who talk to it, and those who read its log."""

    def __init__(self, addresses: BusAddresses, feed: Feed | None = None) -> None:
        self.addresses = addresses
        config = Config(events=EventsSection(endpoint=addresses.endpoint("events")))
        session = SessionSpec(session="s", config=config, sources=(parse_mic("default", 0),), jsonl=True)
        session = structs.replace(session, feed=feed)
        self.place = addresses.endpoint("supervisor")
        self.heard: list[object] = []
        self.broker = Broker(session, self.place, io.BytesIO(), self.heard.append)
        self.broker.begin(ManualClock(5))
        self.workers = {name: self.publisher(name) for name in ("perception", "tracker")}
        self.lines = Subscriber([self.place], SUBSCRIPTIONS["lines"].topics, "screen")
        self.read: list[object] = []

    def publisher(self, name: str) -> Publisher:
        place = self.addresses.endpoint(name)
        self.broker.connect(place)
        return Publisher(place, f"{name}:1", Retention(readers=("supervisor",)))

    def say(self, worker: str, *messages: object) -> None:
        """Have a worker say something, and the broker hear it."""
        enough = len(self.heard) + len(messages)
        for message in messages:
            self.workers[worker].publish(message)
        self.until(lambda: len(self.heard) >= enough)

    def until(self, true) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline
            for worker in self.workers.values():
                worker.poll()
            self.broker.receive(0.005)
            self.read += self.lines.receive(0.005)

    def tracker_reads(self, since: int = 0) -> list[tuple[object, int]]:
        """All that a new tracker is told."""
        got = []
        with closing(Subscriber([self.place], SUBSCRIPTIONS["tracker"].topics, "tracker")) as inlet:
            deadline = time.monotonic() + PATIENCE_S
            while not got or got[-1].number < since:
                assert time.monotonic() < deadline
                self.broker.receive(0.0)
                got += inlet.receive_numbered(0.01)
        return [tuple(received) for received in got]

    def close(self) -> None:
        self.lines.close()
        for worker in self.workers.values():
            worker.close()
        self.broker.close()


@pytest.fixture
def world():
    with closing(BusAddresses()) as addresses, closing(World(addresses)) as made:
        yield made


def kinds(messages):
    return [type(message).__name__ for message in messages]


def test_a_correction_is_public_where_the_tracker_has_come_to_it(world):
    first, again = features(0), features(0, revision=7)
    world.say("tracker", examples.hello())
    world.say("perception", first, RELABEL, again, OVERLOAD, GAP)
    world.say("tracker", answer(0, first), RELABEL, answer(1, again, index=0))
    world.until(lambda: len(world.read) >= 6)
    assert kinds(world.read) == ["Hello", "Overload", "Gap", "EmotionEvent", "Relabel", "EmotionEvent"]
    assert world.broker.totals.utterances == 1
    assert world.broker.unanswered == 0


def test_what_a_server_has_stored_is_done_and_is_not_given_to_it_again():
    with closing(BusAddresses()) as addresses, closing(World(addresses, Feed("desk-4", "ipc://server"))) as fed:
        said = [features(0), RELABEL, features(0, revision=7), features(1)]
        fed.say("tracker", examples.hello())
        fed.say("perception", *said)
        first, _ = fed.broker.resume
        fed.say("tracker", *said[:3])
        assert fed.broker.resume[0] == first + 3
        assert fed.broker.unanswered == 1
        assert [type(m) for m, _ in fed.tracker_reads(since=first + 3)] == [type(m) for m in said]
        fed.until(lambda: len(fed.read) >= 2)
        assert kinds(fed.read) == ["Hello", "Relabel"]


def test_what_a_server_decides_is_published_as_of_this_session_once_and_settles_nothing():
    """With the numbers and the clock of this session; the dialogue may have a past, and events may come twice."""
    with closing(BusAddresses()) as addresses, closing(World(addresses, Feed("desk-4", "ipc://server"))) as fed:
        said = [features(0, revision=2), features(1)]
        going_on = structs.replace(said[0], final=False, revision=1)
        fed.say("tracker", examples.hello())
        fed.say("perception", going_on, *said)
        of = {"dialogue": "desk-4", "session": "desk-4-1", "t_logits_ns": 9**15}
        decided = [answer(number, one, **of) for number, one in ((30, going_on), (30, said[0]), (31, said[1]))]
        past = answer(7, features(7), **of)
        again = structs.replace(decided[1], revision=3, label="joy")
        fed.say("tracker", past, *decided, decided[1], decided[0], again)
        fed.until(lambda: len(fed.read) >= 5)
        _, *events = fed.read
        assert [(e.utterance, e.final, e.revision) for e in events] == [
            ("u0", False, 1),
            ("u0", True, 2),
            ("u1", True, 0),
            ("u0", True, 3),
        ]
        assert [(e.seq, e.index) for e in events] == [(0, 0), (1, 0), (2, 1), (3, 0)]
        assert {(e.session, e.dialogue, e.t_logits_ns) for e in events} == {("s", said[0].dialogue, 5)}
        assert [e.probs for e in events] == [e.probs for e in (*decided, again)]
        assert (fed.broker.totals.utterances, fed.broker.unanswered) == (2, 2)


def test_a_new_tracker_is_told_everything_and_where_to_go_on(world):
    said = [features(number) for number in range(4)]
    world.say("tracker", examples.hello())
    world.say("perception", *said)
    world.say("tracker", *(answer(number, said[number]) for number in range(2)))
    number, seq = world.broker.resume
    assert (seq, world.broker.unanswered) == (2, 2)
    told = world.tracker_reads(since=number + 1)
    assert [m.utterance for m, _ in told] == [m.utterance for m in said]
    assert [m.utterance for m, n in told if n < number] == [m.utterance for m in said[:2]]
    world.say("tracker", examples.hello(), answer(1, said[1]), answer(2, said[2]), answer(3, said[3]))
    world.until(lambda: sum(kind == "EmotionEvent" for kind in kinds(world.read)) >= 4)
    assert [m.seq for m in world.read if type(m).__name__ == "EmotionEvent"] == [0, 1, 2, 3]  # none twice
    assert kinds(world.read).count("Hello") == 1


def test_what_is_provisional_is_not_kept_for_ever(world):
    world.say("perception", features(0, final=False), features(1), features(20, final=False))
    assert [message.utterance for message, _ in world.tracker_reads(since=2)] == ["u0", "u1", "u20"]
    world.say("perception", features(100))
    assert [message.utterance for message, _ in world.tracker_reads(since=3)] == ["u1", "u100"]


def test_what_is_worked_off_and_said_is_remembered_for_who_takes_perception_s_place(world):
    world.say("perception", features(3, text="one", voice="mic-0#2"), features(5, text="two", speaker_name="Ann"))
    assert world.broker.last_end_ns == {"mic-0": features(5).t_end_ns}
    assert list(world.broker.context) == [("mic-0#2", "one"), ("Ann", "two")]
    assert world.broker.voices == {"mic-0": 2}


def test_a_spare_is_nobody_yet(world):
    spare = WorkerStatus(worker="spare-perception", pid=1, t_ns=0, phase="ready")
    got = []
    with closing(Subscriber([world.place], ("status",), "other")) as inlet:

        def arrived():
            for status in (spare, structs.replace(spare, worker="perception")):
                world.workers["perception"].publish(status)
            got.extend(inlet.receive(0.0))
            return got

        world.until(arrived)
    assert {message.worker for message in got} == {"perception"}
    assert spare in world.heard


def test_the_session_ends_when_the_tracker_has_come_to_the_end_and_only_once(world):
    said = features(0)
    world.say("tracker", examples.hello())
    world.say("perception", said, SourceEnd(source="perception", t_ns=9, reason="all sources ended", note="why"))
    assert not world.broker.over
    world.say("tracker", answer(0, said), SourceEnd(source="tracker", t_ns=9, reason="all sources ended", note="why"))
    assert world.broker.over
    world.broker.end("again")
    world.until(lambda: world.broker.settled and isinstance(world.read[-1], SessionEnd))
    (end,) = [message for message in world.read if isinstance(message, SessionEnd)]
    assert (end.utterances, end.reason, end.note) == (1, "all sources ended", "why")


def test_what_a_dead_process_still_says_is_not_heard(world):
    world.say("perception", features(0))
    world.broker.bar("perception:1", world.addresses.endpoint("perception"))
    world.workers["perception"].publish(features(1))
    world.say("tracker", examples.hello())
    assert len(world.heard) == 2


def noted(kind: str, **fields: object) -> Annotation:
    return Annotation(session="", t_ns=77, wall_ns=0, author="Ann", kind=kind, **fields)


def test_a_name_counts_from_there_on_and_outlives_the_tracker(world):
    said = [features(number) for number in range(3)]
    world.say("tracker", examples.hello())
    assert world.broker.annotate(noted("name", speaker=0, text="Zoe")).startswith("there is no such speaker: nobody")
    world.say("perception", *said)
    world.say("tracker", answer(0, said[0]))
    assert world.broker.annotate(noted("name", speaker=7, text="Zoe")) == (
        "there is no such speaker: those who have spoken are, in this order, Ada"
    )
    assert world.broker.annotate(noted("name", speaker=0, text="  Zoe \n Lee ")) == ""
    world.say("tracker", examples.hello(), answer(0, said[0]), answer(1, said[1]), answer(2, said[2]))
    world.until(lambda: len(world.read) >= 5)
    assert [getattr(m, "speaker_name", None) or getattr(m, "text", None) for m in world.read[1:]] == [
        *("Ada", "Zoe Lee", "Zoe Lee", "Zoe Lee"),
    ]


def test_what_a_screen_notes_is_stamped_and_published_once_and_what_cannot_be_is_told(world):
    said = features(3)
    screen = world.workers["screen"] = world.publisher("screen")
    world.say("tracker", examples.hello())
    world.say("perception", said)
    world.say("tracker", answer(3, said))
    world.say("screen", noted("mark", text="now"), noted("label", utterance="u3", label="bored"))
    world.say("screen", noted("label", utterance="u9", label="joy"))
    world.until(lambda: len(world.read) >= 4)
    mark, label = (message for message in world.read if isinstance(message, Annotation))
    assert (mark.session, mark.t_ns, mark.text) == ("s", 77, "now")
    assert label.t_ns == said.t_start_ns, "the moment that it is about"
    assert min(mark.wall_ns, label.wall_ns) > 1_700_000_000 * 10**9
    (warning,) = (m.warning for m in world.heard if isinstance(m, WorkerStatus))
    assert "there is no utterance 'u9'" in warning
    screen.poll()


def test_nothing_is_noted_of_a_session_that_has_not_begun_or_has_ended(world):
    assert world.broker.annotate(noted("mark")) == "the session has not begun"
    world.say("tracker", examples.hello())
    world.broker.end("stopped")
    assert world.broker.annotate(noted("mark")) == "the session has ended"


def test_alerts_are_published_behind_what_raised_them_and_observed(world):
    world.broker._alerts = AlertRules([AlertRule(name="a", kind="shift")], "s", ["mic-0"])
    said = features(0)
    world.say("tracker", examples.hello())
    world.say("perception", said)
    world.workers["tracker"].publish(answer(0, said, shift=True))
    world.until(lambda: len(world.read) >= 3)
    assert kinds(world.read) == ["Hello", "EmotionEvent", "Alert"]
    assert kinds(world.heard)[-2:] == ["EmotionEvent", "Alert"]
