"""The sign of life of the public stream: what a reader missed, and that its publisher is gone, are never silent."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing

import examples
import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from programs import publishing

import erc_live.streams
from erc_live.streams.address import BusAddresses
from erc_live.streams.clock import ManualClock
from erc_live.streams.errors import StreamLost
from erc_live.streams.event_stream import HEARTBEAT_S, EventPublisher
from erc_live.streams.messages import EmotionEvent, Gap, Heartbeat, Hello, Overload, PublicEvent, Relabel, SessionEnd
from erc_live.streams.subscribe import LOST_S, InOrder, subscribe
from erc_live.streams.topics import BY_MESSAGE

DEADLINE_S = 200.0
GAP = Gap(source="mic", t_start_ns=0, t_end_ns=1, lost=1, cause="device")
OVERLOAD = Overload(t_ns=1, level=1, step="words", waiting_s=1.0)
RELABEL = Relabel(t_ns=1, dialogue="d", moved=("u0",), voice="v", speaker_name=None, cause="merge")


class Seconds:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def endpoint() -> Iterator[str]:
    with closing(BusAddresses()) as addresses:
        yield addresses.endpoint("events")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`quick(s)`: subscribers take a session for lost after that time."""

    def set_(lost_s: float) -> None:
        module = sys.modules[subscribe.__module__]
        for name, value in {"LOST_S": lost_s, "_ANSWER_S": 0.01, "_LOOK_S": 0.05}.items():
            monkeypatch.setattr(module, name, value)

    return set_


def receive(socket: zmq.Socket[bytes], publisher: EventPublisher) -> dict[str, object]:
    deadline = time.monotonic() + DEADLINE_S
    while not socket.poll(1):
        publisher.poll()
        assert time.monotonic() < deadline
    fields: dict[str, object] = json.loads(socket.recv_multipart()[1])
    return fields


def test_it_comes_once_a_second_and_counts_what_was_sent(endpoint: str) -> None:
    clock = Seconds()
    with (
        closing(EventPublisher(endpoint, history=3, now=clock)) as publisher,
        zmq.Context() as context,
        closing(context.socket(zmq.SUB)) as socket,
    ):
        publisher.clock = ManualClock(77)
        socket.connect(endpoint)
        socket.subscribe("heartbeat")
        while not publisher.subscribers("heartbeat"):
            pass
        clock.now += HEARTBEAT_S
        publisher.poll()  # there is no session yet, so nothing to say
        for message in (examples.hello(), examples.event(0), GAP, examples.event(1)):
            publisher.publish(message)
        clock.now += HEARTBEAT_S / 2
        publisher.poll()
        clock.now += HEARTBEAT_S / 2
        publisher.publish(OVERLOAD)
        quiet = dict.fromkeys(("annotation", "alert", "relabel", "worker_lost", "session_end"), 0)
        counts = {"event": 2, "gap": 1, "overload": 1, **quiet}
        first = receive(socket, publisher)
        assert first == first | {"type": "Heartbeat", "session": "s1", "t_ns": 77, "last_seq": 1, "published": counts}
        clock.now += 5 * HEARTBEAT_S
        publisher.publish(examples.event(2))
        assert receive(socket, publisher)["last_seq"] == 2  # after a pause one, and not five


def test_who_does_not_know_of_it_is_sent_nothing_new(endpoint: str) -> None:
    clock = Seconds()
    with (
        closing(EventPublisher(endpoint, history=3, now=clock)) as publisher,
        zmq.Context() as context,
        closing(context.socket(zmq.SUB)) as socket,
    ):
        publisher.publish(examples.hello())
        socket.connect(endpoint)
        for topic in ("event", "gap", "session_end", "snapshot.old"):
            socket.subscribe(topic)
        assert receive(socket, publisher)["type"] == "Hello"
        for seq in range(3):
            clock.now += HEARTBEAT_S
            publisher.poll()
            publisher.publish(examples.event(seq))
            assert receive(socket, publisher)["type"] == "EmotionEvent"


@given(st.lists(st.tuples(st.sampled_from("egor*"), st.booleans()), max_size=60), st.integers(-1, 3))
def test_what_was_missed_is_told_to_the_message(script: list[tuple[str, bool]], last_seq: int) -> None:
    """What is published, and whether it arrives: events, gaps, overloads, relabels, signs of life."""
    stream, seq, published = InOrder(), last_seq, Counter({"gap": 7})
    told: list[PublicEvent] = [*stream.feed(examples.hello(last_seq=last_seq, published=dict(published)))]
    if last_seq >= 0:
        told += stream.feed(examples.event(last_seq))  # of the snapshot
    missed = Counter[str]()
    for what, arrives in [*script, ("*", True)]:
        seq += what == "e"
        life = Heartbeat(session="s1", t_ns=10**12, last_seq=seq, published=dict(published))
        message = {"e": examples.event(seq), "g": GAP, "o": OVERLOAD, "r": RELABEL, "*": life}[what]
        topic = BY_MESSAGE[type(message)].name
        published[topic] += 1
        if arrives:
            told += stream.feed(message)
        elif what != "*":
            missed[topic] += 1
    lost = Counter[str]()
    for message in told:
        if isinstance(message, Gap) and message.cause == "bus":
            lost[message.source] += message.lost
    assert lost == missed


def test_a_reader_that_does_not_keep_up_is_told_how_many_it_missed(endpoint: str) -> None:
    """The queue is full when the last messages are sent, and nothing follows them but signs of life."""
    clock, published = Seconds(), 3000
    begin, received = threading.Event(), list[PublicEvent]()

    def read() -> None:
        for message in subscribe(endpoint, timeout_s=DEADLINE_S):
            received.append(message)
            begin.wait(DEADLINE_S)

    with closing(EventPublisher(endpoint, history=3, now=clock)) as publisher:
        publisher.publish(examples.hello())
        reader = threading.Thread(target=read)
        reader.start()
        while not received:
            publisher.poll()
        for seq in range(published):
            publisher.publish(examples.event(seq, text="x" * 2000))
            publisher.publish(GAP)
        begin.set()
        deadline = time.monotonic() + DEADLINE_S
        while arrived(received) + lost(received) < 2 * published:
            clock.now += HEARTBEAT_S
            publisher.poll()
            assert time.monotonic() < deadline
        publisher.publish(examples.session_end())
        reader.join(DEADLINE_S)
    assert lost(received, "gap") > 0
    assert received.count(GAP) + lost(received, "gap") == published
    assert arrived(received) - received.count(GAP) + lost(received, "event") == published


def arrived(received: list[PublicEvent]) -> int:
    return sum(isinstance(message, EmotionEvent) or message == GAP for message in [*received])


def lost(received: list[PublicEvent], source: str = "") -> int:
    gaps = [message for message in [*received] if isinstance(message, Gap) and message.cause == "bus"]
    return sum(gap.lost for gap in gaps if source in ("", gap.source))


def test_the_same_session_greets_again_and_what_was_missed_meanwhile_is_told() -> None:
    stream = InOrder()
    assert len([*stream.feed(examples.hello(published={"gap": 2, "relabel": 1}))]) == 1
    again = examples.hello(published={"gap": 5, "relabel": 1, "of a later version": 9})
    assert [(gap.source, gap.lost) for gap in stream.feed(again) if isinstance(gap, Gap)] == [("gap", 3)]


def test_a_publisher_that_is_killed_is_missed_within_three_seconds(endpoint: str) -> None:
    with publishing(endpoint=endpoint, history=3) as publisher:
        stream = subscribe(endpoint, timeout_s=DEADLINE_S)
        assert isinstance(next(stream), Hello)
        for _ in range(3):
            assert isinstance(next(stream), EmotionEvent)
        publisher.kill()
        publisher.wait()
        begun = time.monotonic()
        with pytest.raises(StreamLost, match="no sign of life for 3 s"):
            next(stream)
        assert time.monotonic() - begun < LOST_S + 1.0


def test_who_follows_goes_on_with_the_next_session(endpoint: str, quick: Callable[[float], None]) -> None:
    quick(1.5)
    waits = threading.Semaphore(0)
    stream = subscribe(endpoint, timeout_s=DEADLINE_S, follow=True, on_wait=waits.release)
    received: list[PublicEvent] = []
    with publishing(endpoint=endpoint, history=1) as publisher:
        received += [next(stream), next(stream)]
        publisher.kill()
        publisher.wait()
    while waits.acquire(blocking=False):  # before the first session answered
        pass
    reader = threading.Thread(target=lambda: received.extend(next(stream) for _ in range(4)))
    reader.start()
    assert waits.acquire(timeout=DEADLINE_S)  # it knows that the session is gone
    for session in ("s2", "s3"):
        with closing(EventPublisher(endpoint, history=3)) as publisher:
            publisher.publish(examples.hello(session=session))
            while not publisher.subscribers("session_end"):
                pass
            publisher.publish(msgspec.structs.replace(examples.session_end(), session=session))
    reader.join(DEADLINE_S)
    stream.close()
    assert [type(m) for m in received] == [Hello, EmotionEvent, Hello, SessionEnd, Hello, SessionEnd]
    assert [m.session for m in received if isinstance(m, Hello)] == ["s1", "s2", "s3"]


def test_time_that_the_reader_itself_takes_is_no_silence(endpoint: str, quick: Callable[[float], None]) -> None:
    quick(0.3)
    with closing(EventPublisher(endpoint, history=3)) as publisher:
        publisher.publish(examples.hello())
        served = threading.Event()

        def serve() -> None:
            while not served.is_set():
                publisher.poll()

        server = threading.Thread(target=serve)
        server.start()
        stream = subscribe(endpoint, timeout_s=DEADLINE_S)
        assert isinstance(next(stream), Hello)
        served.set()
        server.join()
        idle = time.monotonic()
        while time.monotonic() < idle + 0.5:
            publisher.poll()
        publisher.publish(examples.session_end())
        assert isinstance([*stream][-1], SessionEnd)


def test_on_the_command_line_it_is_one_line_and_a_documented_code(endpoint: str) -> None:
    with publishing(endpoint=endpoint, history=1) as publisher:
        call = [sys.executable, "-m", "erc_live.live.cli", "subscribe", endpoint, "--jsonl"]
        with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
            assert reader.stdout
            assert reader.stderr
            while json.loads(reader.stdout.readline())["type"] != "Hello":
                pass
            publisher.kill()
            publisher.wait()
            assert reader.wait(DEADLINE_S) == 8
            *_, line = reader.stderr.read().splitlines()
    assert line.startswith("erc-live: ")
    assert "no sign of life" in line


def test_the_loss_of_a_stream_has_a_public_name() -> None:
    assert erc_live.streams.StreamLost is StreamLost
