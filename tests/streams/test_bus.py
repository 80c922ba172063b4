"""The bus: what is published arrives, what does not arrive is told, and no peer can stop or fill a worker."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import examples
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.streams import codec
from erc_live.streams.address import BusAddresses
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.errors import AddressError
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import AnyMessage, AudioChunk, Gap, WorkerStatus

DEADLINE_S = 200.0  # catches what hangs


@pytest.fixture
def endpoint() -> Iterator[str]:
    with closing(BusAddresses()) as addresses:
        yield addresses.endpoint("mic")


@pytest.fixture
def inproc(request: pytest.FixtureRequest) -> str:
    """Where messages are in the reader's queue as soon as they are sent."""
    return f"inproc://{request.node.name}"


def receive_until(subscriber: Subscriber, enough: Callable[[list[AnyMessage]], bool]) -> list[AnyMessage]:
    received: list[AnyMessage] = []
    deadline = time.monotonic() + DEADLINE_S
    while not enough(received):
        assert time.monotonic() < deadline, f"only {len(received)} messages"
        received += subscriber.receive(0.1)
    return received


def meet(publisher: Publisher, topic: str, *subscribers: Subscriber) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while publisher.subscribers(topic) < len(subscribers):
        assert time.monotonic() < deadline
        for subscriber in subscribers:
            assert subscriber.receive(0.001) == []


def chunk(number: int, source: str = "mic") -> AudioChunk:
    return AudioChunk(source=source, t_ns=number * 32_000_000, pcm=np.full(512, number, np.int16))


class RawPublisher:
    """Sends frames as a test wants them, numbers and all."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context.instance() if endpoint.startswith("inproc") else zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.bind(endpoint)

    def wait(self) -> None:
        assert self.socket.poll(DEADLINE_S * 1000)
        self.socket.recv()

    def send(self, number: int, message: AnyMessage, topic: str = "audio.mic") -> None:
        self.socket.send_multipart([topic.encode(), number.to_bytes(8, "big"), *codec.encode(message)])

    def close(self) -> None:
        self.socket.close(linger=0)
        if self.context is not zmq.Context.instance():
            self.context.term()


def test_messages_arrive_unchanged_and_in_order(endpoint: str) -> None:
    with closing(Publisher(endpoint)) as publisher, closing(Subscriber([endpoint], ["audio", "gap"])) as subscriber:
        meet(publisher, "audio.mic", subscriber)
        gap = Gap(source="mic", t_start_ns=0, t_end_ns=1, lost=2, cause="device")
        sent = [chunk(0), chunk(1), gap, chunk(2)]
        for message in sent:
            publisher.publish(message, "mic" if isinstance(message, AudioChunk) else "")
        received = receive_until(subscriber, lambda messages: len(messages) >= 4)
        assert all(map(examples.same, received, sent))
        assert subscriber.bad == subscriber.skipped == 0


def test_one_subscriber_hears_several_publishers() -> None:
    with ExitStack() as stack:
        addresses = stack.enter_context(closing(BusAddresses()))
        endpoints = {name: addresses.endpoint(name) for name in "ab"}
        subscriber = stack.enter_context(closing(Subscriber(endpoints.values(), ["audio"])))  # before they are there
        publishers = {name: stack.enter_context(closing(Publisher(endpoints[name]))) for name in "ab"}
        for name, publisher in publishers.items():
            meet(publisher, "audio." + name, subscriber)
        for name, publisher in publishers.items():
            publisher.publish(chunk(0, name), name)
        received = receive_until(subscriber, lambda messages: len(messages) == 2)
        assert {message.source for message in received if isinstance(message, AudioChunk)} == {"a", "b"}


def test_a_source_is_not_mistaken_for_one_whose_name_begins_alike(inproc: str) -> None:
    with closing(Publisher(inproc)) as publisher, closing(Subscriber([inproc], ["audio.mic"])) as subscriber:
        publisher.publish(chunk(0), "mic2")
        publisher.publish(chunk(1), "mic")
        assert [message.t_ns for message in subscriber.receive(1.0)] == [chunk(1).t_ns]


def test_lost_messages_become_a_gap(inproc: str) -> None:
    with closing(RawPublisher(inproc)) as raw, closing(Subscriber([inproc], ["audio"])) as subscriber:
        raw.wait()
        for number in (7, 8, 12, 13):  # joining late, at 7, is no loss
            raw.send(number, chunk(number))
        first, second, gap, third, fourth = subscriber.receive(1.0)
        assert gap == Gap(source="mic", t_start_ns=chunk(9).t_ns, t_end_ns=chunk(12).t_ns, lost=3, cause="bus")
        assert [m.t_ns for m in (first, second, third, fourth)] == [chunk(n).t_ns for n in (7, 8, 12, 13)]


def test_the_gaps_of_a_topic_are_its_own(inproc: str) -> None:
    with closing(RawPublisher(inproc)) as raw, closing(Subscriber([inproc], ["audio"])) as subscriber:
        raw.wait()
        for number in range(4):
            raw.send(number, chunk(number, "a"), "audio.a")
            raw.send(number * 2, chunk(number, "b"), "audio.b")
        gaps = [message for message in subscriber.receive(1.0) if isinstance(message, Gap)]
        assert [(gap.source, gap.lost) for gap in gaps] == [("b", 1)] * 3


def test_a_lost_status_is_no_gap(inproc: str) -> None:
    status = WorkerStatus(worker="mic", pid=1, t_ns=0, phase="running")
    with closing(RawPublisher(inproc)) as raw, closing(Subscriber([inproc], ["status"])) as subscriber:
        raw.wait()
        for number in (0, 5):
            raw.send(number, status, "status.mic")
        assert subscriber.receive(1.0) == [status]


def test_a_publisher_that_died_and_came_back_is_heard_again_after_a_gap(endpoint: str) -> None:
    with closing(Subscriber([endpoint], ["audio"])) as subscriber:
        for _ in range(2):
            with closing(Publisher(endpoint)) as publisher:
                meet(publisher, "audio.mic", subscriber)
                for number in range(3):
                    publisher.publish(chunk(number), "mic")
                received = receive_until(subscriber, lambda m: bool(m) and m[-1].t_ns == chunk(2).t_ns)
        kinds = [type(message) for message in received]
        assert kinds == [Gap, AudioChunk, AudioChunk, AudioChunk]
        assert (received[0].lost, received[0].cause) == (0, "bus")  # nobody knows how many


def test_only_the_newest_picture_counts_unless_all_are_wanted(inproc: str) -> None:
    with (
        closing(Publisher(inproc)) as publisher,
        closing(Subscriber([inproc], ["video", "audio"])) as live,
        closing(Subscriber([inproc], ["video"], keep_all=True)) as recorder,
    ):
        for number in range(5):
            publisher.publish(examples.picture(number), "cam")
            publisher.publish(chunk(number), "mic")
        received = live.receive(1.0)
        assert [m.t_ns for m in received if isinstance(m, AudioChunk)] == [chunk(n).t_ns for n in range(5)]
        assert [m for m in received if not isinstance(m, AudioChunk)] == [examples.picture(4)]
        assert live.skipped == 4
        assert recorder.receive(1.0) == [examples.picture(n) for n in range(5)]


@given(st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=5))
@settings(max_examples=50)
def test_junk_is_counted_and_dropped(junk: list[list[bytes]]) -> None:
    inproc = f"inproc://{uuid.uuid4()}"
    with closing(RawPublisher(inproc)) as raw, closing(Subscriber([inproc], ["audio", "gap"])) as subscriber:
        raw.wait()
        raw.wait()
        for frames in junk:
            raw.socket.send_multipart([b"audio.mic", *frames])
            raw.socket.send_multipart([b"gap", *frames])
        raw.send(0, chunk(0))
        assert [type(message) for message in subscriber.receive(1.0)] == [AudioChunk]
        assert subscriber.bad == 2 * len(junk)


def test_a_message_of_another_type_than_its_topic_says_is_junk(inproc: str) -> None:
    with closing(RawPublisher(inproc)) as raw, closing(Subscriber([inproc], ["audio", "\u00e9"])) as subscriber:
        raw.wait()
        raw.wait()
        raw.send(0, examples.picture(0))
        raw.socket.send_multipart(["\u00e9".encode(), codec.to_json(chunk(0))])  # not a public message
        raw.socket.send_multipart([b"audio.\xff", b"x"])
        assert subscriber.receive(1.0) == []
        assert subscriber.bad == 3


def test_a_peer_that_sends_more_than_any_message_of_ours_is_cut_off() -> None:
    with closing(BusAddresses()) as addresses:
        ours, strange = addresses.endpoint("mic"), addresses.endpoint("strange")
        with (
            closing(RawPublisher(strange)) as raw,
            closing(Publisher(ours)) as publisher,
            closing(Subscriber([ours, strange], ["audio"])) as subscriber,
        ):
            meet(publisher, "audio.mic", subscriber)
            raw.wait()
            raw.socket.send_multipart([b"audio.strange", bytes(8), bytes(17 << 20)])
            assert raw.socket.poll(DEADLINE_S * 1000)
            assert raw.socket.recv() == b"\0audio"  # that was its only subscription
            publisher.publish(chunk(0), "mic")
            assert [type(m) for m in receive_until(subscriber, bool)] == [AudioChunk]


def test_a_slow_reader_costs_a_bounded_queue_and_loses_nothing_in_silence(endpoint: str) -> None:
    published = 10_000
    with (
        closing(Publisher(endpoint, queue=32)) as publisher,
        closing(Subscriber([endpoint], ["video"], keep_all=True)) as subscriber,
    ):
        meet(publisher, "video.cam", subscriber)
        begun = time.monotonic()
        for number in range(published):
            publisher.publish(examples.picture(number, size=10_000), "cam")  # 100 MB
        assert time.monotonic() - begun < DEADLINE_S / 2  # nobody waits for the reader
        received: list[AnyMessage] = []
        while not received or received[-1] != examples.picture(published - 1, size=10_000):
            publisher.publish(examples.picture(published, size=10_000), "cam")  # the loss shows once the queue has room
            published += 1
            received += subscriber.receive(0.1)
        pictures = [message for message in received if not isinstance(message, Gap)]
        lost = sum(message.lost for message in received if isinstance(message, Gap))
        assert lost > 0
        assert len(pictures) + lost == published
        assert len(pictures) * 10_000 < 16 << 20  # what the queues of both ends, and the kernel's, held


def test_closing_lets_the_last_messages_out(endpoint: str) -> None:
    with closing(Subscriber([endpoint], ["audio"])) as subscriber:
        with closing(Publisher(endpoint)) as publisher:
            meet(publisher, "audio.mic", subscriber)
            for number in range(500):
                publisher.publish(chunk(number), "mic")
        received = receive_until(subscriber, lambda messages: len(messages) >= 500)
        assert [message.t_ns for message in received] == [chunk(n).t_ns for n in range(500)]


def test_subscribers_are_counted_as_they_come_and_go(inproc: str) -> None:
    with closing(Publisher(inproc)) as publisher:
        assert publisher.subscribers("audio.mic") == 0
        first, second = Subscriber([inproc], ["audio"]), Subscriber([inproc], ["audio.mic", "end"])
        assert publisher.subscribers("audio.mic") == 2
        assert publisher.subscribers("audio.other") == 1
        assert publisher.subscribers("video.cam") == 0
        second.close()
        deadline = time.monotonic() + DEADLINE_S
        while publisher.subscribers("audio.mic") != 1:
            assert time.monotonic() < deadline
        assert publisher.subscribers("end.mic") == 0
        first.close()


def test_nobody_may_listen_to_other_machines() -> None:
    with pytest.raises(AddressError, match="CURVE"):
        Publisher("tcp://0.0.0.0:5577")


def test_an_occupied_port_is_named_with_its_key() -> None:
    with closing(RawPublisher("tcp://127.0.0.1:*")) as raw:
        endpoint = raw.socket.get_string(zmq.LAST_ENDPOINT)
        with pytest.raises(AddressError, match=r"events\.endpoint") as caught:
            EventPublisher(endpoint, history=50)
        assert endpoint.rpartition(":")[2] in str(caught.value)


def test_an_address_that_this_machine_does_not_have_is_named() -> None:
    with pytest.raises(AddressError, match=r"cannot listen on ipc:///no/such/folder/x: .*events\.endpoint"):
        Publisher("ipc:///no/such/folder/x")


def test_an_ipc_path_of_a_running_publisher_is_not_taken_over(endpoint: str) -> None:
    with closing(Publisher(endpoint)), pytest.raises(AddressError, match="in use"):
        Publisher(endpoint)
