"""The public stream: whoever joins, whenever, sees the past it was promised and then everything, once, in order."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice, pairwise
from typing import IO

import examples
import msgspec
import pytest
import readme
import zmq
from hypothesis import given
from hypothesis import strategies as st

from erc_live.streams import codec
from erc_live.streams.address import BusAddresses
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.errors import AddressError
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import EmotionEvent, Gap, Heartbeat, Hello, PublicEvent, SessionEnd, SessionState
from erc_live.streams.subscribe import InOrder, subscribe

DEADLINE_S = 200.0  # catches what hangs


@pytest.fixture
def endpoint() -> Iterator[str]:
    with closing(BusAddresses()) as addresses:
        yield addresses.endpoint("events")


class Listener:
    """A subscriber in a thread, which reads to the end of the session."""

    def __init__(self, endpoint: str) -> None:
        self.received: list[PublicEvent] = []
        self._arrived = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._listen, args=[endpoint])
        self._thread.start()

    def _listen(self, endpoint: str) -> None:
        for message in subscribe(endpoint, timeout_s=DEADLINE_S):
            self.received.append(message)
            self._arrived.release()

    def served_by(self, publisher: EventPublisher, count: int) -> None:
        """Return when it has read `count` messages more."""
        deadline = time.monotonic() + DEADLINE_S
        for _ in range(count):
            while not self._arrived.acquire(timeout=0.005):
                assert time.monotonic() < deadline
                publisher.poll()

    def finish(self) -> list[PublicEvent]:
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        return self.received


def uncounted(messages: list[PublicEvent]) -> list[PublicEvent]:
    """The messages, and of a Hello all but what it counts."""
    return [msgspec.structs.replace(m, published=None) if isinstance(m, Hello) else m for m in messages]


def meet(publisher: EventPublisher, topic: str, count: int = 1) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while publisher.subscribers(topic) < count:
        assert time.monotonic() < deadline


def test_two_that_join_late_get_the_past_and_then_what_happens(endpoint: str) -> None:
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        publisher.publish(examples.hello())
        for seq in range(5):
            publisher.publish(examples.event(seq))
        first = Listener(endpoint)
        first.served_by(publisher, 4)
        publisher.publish(examples.event(5, speaker=1, speaker_name="Ben"))
        second = Listener(endpoint)
        second.served_by(publisher, 4)
        gap = Gap(source="mic", t_start_ns=0, t_end_ns=1, lost=2, cause="device")
        for message in (gap, examples.event(6), examples.session_end(7)):
            publisher.publish(message)
        hello, *events = uncounted(first.finish())
        assert hello == examples.hello(last_seq=4)
        assert [m.seq for m in events if isinstance(m, EmotionEvent)] == [2, 3, 4, 5, 6]
        assert events[4] == gap
        hello, *events = uncounted(second.finish())
        assert hello == examples.hello(last_seq=5, speakers=("Ada", "Ben"))
        assert [m.seq for m in events if isinstance(m, EmotionEvent)] == [3, 4, 5, 6]
        assert events[-1] == examples.session_end(7)


def test_who_joins_before_the_session_begins_waits_for_its_hello(endpoint: str) -> None:
    listener = Listener(endpoint)
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        meet(publisher, "event")
        publisher.publish(examples.hello())
        publisher.publish(examples.event(0))
        publisher.publish(examples.session_end(1))
    assert uncounted(listener.finish()) == [examples.hello(), examples.event(0), examples.session_end(1)]


def test_who_joins_late_is_told_what_is_being_done_now(endpoint: str) -> None:
    """The newest state alone, after the `Hello`; of what changes later, each change as it comes."""
    before, now, after = (
        SessionState(session="s1", t_ns=t_ns, recording=True, paused=paused, purpose="research")
        for t_ns, paused in ((1, False), (2, True), (3, False))
    )
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        for message in (examples.hello(), before, examples.event(0), now):
            publisher.publish(message)
        listener = Listener(endpoint)
        listener.served_by(publisher, 3)
        publisher.publish(after)
        publisher.publish(examples.session_end(1))
    expected = [examples.hello(last_seq=0), now, examples.event(0), after, examples.session_end(1)]
    assert uncounted(listener.finish()) == expected


def test_who_joins_after_the_end_is_told_so(endpoint: str) -> None:
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        for message in (examples.hello(), examples.event(0), examples.session_end(1)):
            publisher.publish(message)
        listener = Listener(endpoint)
        listener.served_by(publisher, 3)
    assert uncounted(listener.finish()) == [examples.hello(last_seq=0), examples.event(0), examples.session_end(1)]


def test_nobody_misses_or_repeats_an_event_while_many_are_published(endpoint: str) -> None:
    events, history = 500, 20
    listeners: list[Listener] = []
    with closing(EventPublisher(endpoint, history)) as publisher:
        publisher.publish(examples.hello())
        for seq in range(events):
            if seq % 70 == 0:
                listeners.append(Listener(endpoint))
            if seq % 90 == 0:  # a rush, then time to let those in who have connected by now
                listeners[seq // 180].served_by(publisher, 1)
            publisher.publish(examples.event(seq))
        for listener in listeners:
            while not listener.received:
                listener.served_by(publisher, 1)
        publisher.publish(examples.session_end(events))
        received = [listener.finish() for listener in listeners]
    assert len({messages[0].last_seq for messages in received if isinstance(messages[0], Hello)}) > 1
    for messages in received:
        assert isinstance(messages[0], Hello)
        assert isinstance(messages[-1], SessionEnd)
        seqs = [message.seq for message in messages[1:-1] if isinstance(message, EmotionEvent)]
        assert len(seqs) == len(messages) - 2  # no Gap
        assert seqs == list(range(max(0, messages[0].last_seq + 1 - history), events))


def test_a_snapshot_takes_less_than_50_ms_where_nothing_disturbs(endpoint: str) -> None:
    with closing(EventPublisher(endpoint, history=50)) as publisher, zmq.Context() as context:
        publisher.publish(examples.hello())
        for seq in range(60):
            publisher.publish(examples.event(seq))
        took_s = []
        for attempt in range(10):
            with closing(context.socket(zmq.SUB)) as socket:
                begun = time.perf_counter()
                socket.connect(endpoint)
                socket.subscribe(f"snapshot.{attempt}")
                messages = 0
                while messages < 51:
                    publisher.poll()
                    messages += len(socket.recv_multipart()) // 2 if socket.poll(1) else 0
                took_s.append(time.perf_counter() - begun)
        assert min(took_s) < 0.05


def test_the_snippets_of_the_readme_work(endpoint: str) -> None:
    plain = readme.block("python", "zmq").replace("ipc:///run/user/1000/erc-live/events", endpoint)
    ours = readme.block("python", "subscribe()").replace("subscribe()", f"subscribe({endpoint!r})")
    heard: dict[str, list[str]] = {plain: [], ours: []}
    with closing(EventPublisher(endpoint, history=50)) as publisher:
        publisher.publish(examples.hello())
        publisher.publish(examples.event(0, text="before"))
        with ExitStack() as programs:
            readers = []
            for program, lines in heard.items():
                process = programs.enter_context(
                    subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True)
                )
                programs.callback(process.kill)
                expected = 4 if program == plain else 2
                readers.append(threading.Thread(target=collect, args=(process.stdout, expected, lines)))
                readers[-1].start()
            meet(publisher, "session_end", 2)
            publisher.publish(examples.event(1, text="after"))
            publisher.publish(examples.session_end(2))
            for reader in readers:
                while reader.is_alive():
                    publisher.poll()
                    reader.join(0.005)
    assert heard[plain] == [
        "Hello None None None",
        "EmotionEvent Ada joy before",
        "EmotionEvent Ada joy after",
        "SessionEnd None None None",
    ]
    assert heard[ours] == ["Ada joy 1.0 before", "Ada joy 1.0 after"]


def collect(stream: IO[str], count: int, lines: list[str]) -> None:
    lines.extend(line.strip() for line in islice(stream, count))


def test_without_a_session_there_is_a_clear_answer(endpoint: str) -> None:
    with pytest.raises(AddressError, match=r"nobody answers at .* within 0\.05 s; is erc-live running"):
        next(subscribe(endpoint, timeout_s=0.05))
    with pytest.raises(AddressError, match="key of who publishes there"):
        next(subscribe("tcp://10.0.0.1:5577"))


def test_who_waits_is_told_so_once(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[subscribe.__module__]
    monkeypatch.setattr(module, "_ANSWER_S", 0.01)
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    told: list[str] = []
    with pytest.raises(AddressError):
        next(subscribe(endpoint, timeout_s=0.1, on_wait=lambda: told.append("waiting")))
    assert told == ["waiting"]


def test_leaving_early_is_fine(endpoint: str) -> None:
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        publisher.publish(examples.hello())
        polling = threading.Thread(target=lambda: (meet(publisher, "session_end"), publisher.poll()))
        polling.start()
        stream = subscribe(endpoint, timeout_s=DEADLINE_S)
        assert isinstance(next(stream), Hello)
        polling.join()
        stream.close()
        deadline = time.monotonic() + DEADLINE_S
        while publisher.subscribers("event"):
            assert time.monotonic() < deadline


def test_junk_requests_do_not_disturb(endpoint: str) -> None:
    with (
        closing(EventPublisher(endpoint, history=3)) as publisher,
        zmq.Context() as context,
        closing(context.socket(zmq.XSUB)) as stranger,
    ):
        stranger.connect(endpoint)
        for junk in (b"", b"\x01" + b"x" * 900, b"\x00never", b"\x07", b"\x01snapshot.\xff\xfe", b"\x02"):
            stranger.send(junk)
        stranger.send_multipart([b"\x01a", b"b"])
        stranger.send(b"\x01" + b"x" * 5000)  # too long: cut off
        publisher.publish(examples.hello())
        listener = Listener(endpoint)
        listener.served_by(publisher, 1)
        publisher.publish(examples.session_end())
        assert uncounted(listener.finish()) == [examples.hello(), examples.session_end()]


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(-1, 10))
def test_what_is_shown_is_in_order_and_complete_or_told(seqs: list[int], last_seq: int) -> None:
    stream = InOrder()
    assert list(stream.feed(examples.event(7))) == []  # before the Hello: it is in the snapshot
    assert len(list(stream.feed(examples.hello(last_seq=last_seq)))) == 1
    shown = [message for seq in seqs for message in stream.feed(examples.event(seq))]
    numbers = [message.seq for message in shown if isinstance(message, EmotionEvent)]
    lost = sum(message.lost for message in shown if isinstance(message, Gap))
    assert all(a < b for a, b in pairwise(numbers))
    assert set(numbers) <= set(seqs)
    if numbers:
        expected_first = numbers[0] if last_seq >= 0 else 0  # a session that has not begun begins with 0
        assert len(numbers) + lost == numbers[-1] - expected_first + 1
        assert numbers[-1] == max(seqs)


def test_a_broken_connection_repeats_nothing_and_a_new_session_starts_over() -> None:
    stream = InOrder()
    hello, again = examples.hello(last_seq=3), examples.hello(last_seq=5)
    assert list(stream.feed(hello)) == [hello]
    assert [m.seq for seq in (2, 3) for m in stream.feed(examples.event(seq))] == [2, 3]
    assert list(stream.feed(again)) == []
    assert [m.seq for seq in (2, 3, 4, 5) for m in stream.feed(examples.event(seq))] == [4, 5]
    for anew in (examples.hello(session="s2", last_seq=8), examples.hello(session="s2")):
        assert list(stream.feed(anew)) == [anew]
        assert list(stream.feed(examples.event(0))) == [examples.event(0)]


def test_the_wire_is_a_topic_and_json(endpoint: str) -> None:
    with (
        closing(EventPublisher(endpoint, history=3)) as publisher,
        zmq.Context() as context,
        closing(context.socket(zmq.SUB)) as socket,
    ):
        socket.connect(endpoint)
        socket.subscribe("")
        meet(publisher, "event")
        publisher.publish(examples.event(3))
        topic, data = socket.recv_multipart()
        assert topic == b"event"
        assert json.loads(data)["probs"] == examples.event(3).probs
        assert codec.from_json(data) == examples.event(3)


NAME = Annotation(session="s1", t_ns=3, wall_ns=4, author="Ann", kind="name", speaker=0, text="Zoe")
MARK = Annotation(session="s1", t_ns=5, wall_ns=6, author="Ann", kind="mark", text="now")
ALERT = Alert(session="s1", t_ns=7, rule="a", on=True, text="a: it is so")


def test_who_joins_late_is_told_names_notes_and_alerts_and_misses_none_of_those_that_follow(endpoint: str) -> None:
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        for message in (examples.hello(), examples.event(0), NAME, MARK, ALERT):
            publisher.publish(message)
        late = Listener(endpoint)
        late.served_by(publisher, 5)
        later = [msgspec.structs.replace(MARK, text="later"), msgspec.structs.replace(ALERT, on=False)]
        for message in (*later, examples.session_end(1)):
            publisher.publish(message)
        late.served_by(publisher, 3)
        hello, *others = late.finish()
    assert others == [examples.event(0), NAME, MARK, ALERT, *later, examples.session_end(1)]
    assert hello.speakers == ("Zoe",)


def test_a_session_that_greets_once_more_brings_what_was_noted_meanwhile_and_nothing_twice() -> None:
    stream = InOrder()
    counts = {"annotation": 0, "alert": 0}
    first = [examples.hello(published=counts), NAME]
    again = [examples.hello(published=counts), NAME, MARK, ALERT]
    beat = Heartbeat(session="s1", t_ns=9, last_seq=-1, published={"annotation": 3, "alert": 1})
    seen = [out for message in (*first, *again) for out in stream.feed(message)]
    assert seen[1:] == [NAME, MARK, ALERT]
    (gap,) = stream.feed(beat)
    assert (gap.source, gap.lost, gap.cause) == ("annotation", 1, "bus")
