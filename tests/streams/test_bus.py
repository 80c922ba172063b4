"""The bus: what is published arrives, what does not arrive is told, and no peer can stop or fill a worker."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import examples
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from erc_live.streams import codec
from erc_live.streams.address import BusAddresses
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.curve_keys import KeyPair
from erc_live.streams.errors import AddressError
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import AnyMessage, AudioChunk, Gap, SourceEnd, WorkerStatus
from erc_live.streams.ring import FULL, Retention

DEADLINE_S = 60.0  # catches what hangs
STATUS = WorkerStatus(worker="mic", pid=1, t_ns=0, phase="running")
RECORDING = Retention(readers=("reader",))


@pytest.fixture
def endpoint() -> Iterator[str]:
    with closing(BusAddresses()) as addresses:
        yield addresses.endpoint("mic")


def reader(*endpoints: str, topics: tuple[str, ...] = ("audio", "end"), name: str = "reader", **begin) -> Subscriber:
    return Subscriber(endpoints, topics, name, **begin)


def receive_until(
    subscriber: Subscriber, enough: Callable[[list[AnyMessage]], bool], *publishers: Publisher
) -> list[AnyMessage]:
    received: list[AnyMessage] = []
    deadline = time.monotonic() + DEADLINE_S
    while not enough(received):
        assert time.monotonic() < deadline, f"only {len(received)} messages"
        for publisher in publishers:
            publisher.poll()
        received += subscriber.receive(0.01)
    return received


def of(number: int) -> Callable[[list[AnyMessage]], bool]:
    return lambda messages: len(messages) >= number


def chunk(number: int, source: str = "mic") -> AudioChunk:
    return AudioChunk(source=source, t_ns=number * 32_000_000, pcm=np.full(512, number, np.int16))


def times(messages: list[AnyMessage]) -> list[int]:
    return [message.t_ns // 32_000_000 for message in messages if isinstance(message, AudioChunk)]


class RawPublisher:
    """Sends frames as a test wants them."""

    def __init__(self, endpoint: str) -> None:
        self.reader = b""
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.bind(endpoint)

    def wait(self) -> None:
        """Until somebody asks for something; `reader` is then how it is addressed."""
        while self.socket.poll(DEADLINE_S * 1000) and (said := self.socket.recv())[:1] != b"\x02":
            self.reader = said[1:] if said[1:].startswith(b"reader\0") else self.reader

    def close(self) -> None:
        self.socket.close(linger=0)
        self.context.term()


def test_messages_arrive_unchanged_and_in_order(endpoint: str) -> None:
    with (
        closing(Publisher(endpoint, "mic", RECORDING)) as publisher,
        closing(reader(endpoint, topics=("audio", "gap"))) as inlet,
    ):
        gap = Gap(source="mic", t_start_ns=0, t_end_ns=1, lost=2, cause="device")
        sent = [chunk(0), chunk(1), gap, chunk(2)]
        for message in sent:
            publisher.publish(message)
        received = receive_until(inlet, of(4), publisher)
        assert all(map(examples.same, received, sent))
        assert inlet.bad == 0


def test_who_listens_before_anybody_is_there_and_to_several_hears_all() -> None:
    with ExitStack() as stack:
        addresses = stack.enter_context(closing(BusAddresses()))
        endpoints = {name: addresses.endpoint(name) for name in "ab"}
        inlet = stack.enter_context(closing(reader(*endpoints.values())))
        publishers = [stack.enter_context(closing(Publisher(endpoints[name], name, RECORDING))) for name in "ab"]
        for name, publisher in zip("ab", publishers, strict=True):
            publisher.publish(chunk(0, name))
        received = receive_until(inlet, of(2), *publishers)
        assert {message.source for message in received if isinstance(message, AudioChunk)} == {"a", "b"}


def test_a_reader_that_is_busy_for_long_loses_nothing_of_a_recording_and_its_end(endpoint: str) -> None:
    published, received = 0, []
    with closing(Publisher(endpoint, "mic", RECORDING)) as publisher, closing(reader(endpoint)) as inlet:
        receive_until(inlet, lambda _: publisher._ring.readers, publisher)
        while not publisher.full:  # nobody reads
            publisher.publish(chunk(published))
            published += 1
        assert published == FULL
        while published < 3 * FULL:
            if not publisher.full:
                publisher.publish(chunk(published))
                published += 1
            received += inlet.receive(0.0)
        publisher.publish(SourceEnd(source="mic", t_ns=published * 32_000_000, reason="end of file"))
        received += receive_until(inlet, lambda m: bool(m) and isinstance(m[-1], SourceEnd), publisher)
    assert times(received) == list(range(published))
    assert not any(isinstance(message, Gap) for message in received)


def test_a_reader_too_slow_for_a_device_is_told_what_it_missed_and_costs_a_bounded_queue(endpoint: str) -> None:
    published = 10_000
    device = Retention(readers=("reader",), keep_s=10.0)
    with closing(Publisher(endpoint, "mic", device)) as publisher, closing(reader(endpoint)) as inlet:
        receive_until(inlet, lambda _: publisher._ring.readers, publisher)
        begun = time.monotonic()
        for number in range(published):
            publisher.publish(chunk(number))
        assert time.monotonic() - begun < DEADLINE_S / 2  # nobody waits for the reader
        assert len(publisher._ring._stored) < 400
        received = receive_until(inlet, lambda m: bool(times(m)) and times(m)[-1] == published - 1, publisher)
    lost = [message for message in received if isinstance(message, Gap)]
    heard = times(received)
    assert heard == sorted(heard)
    assert len(heard) + sum(gap.lost for gap in lost) == published
    first = lost[0]
    assert first.cause == "bus"
    assert (first.t_start_ns // 32_000_000, first.t_end_ns // 32_000_000) == (256, 256 + first.lost)


def test_who_takes_a_dead_reader_s_place_begins_where_that_one_was(endpoint: str) -> None:
    with closing(Publisher(endpoint, "mic", RECORDING)) as publisher:
        with closing(reader(endpoint, since_ns={})) as first:
            for number in range(40):
                publisher.publish(chunk(number))
            receive_until(first, of(40), publisher)
        with closing(reader(endpoint, since_ns={"mic": chunk(25).t_ns})) as second:
            assert times(receive_until(second, of(15), publisher)) == list(range(25, 40))


def test_a_recording_that_is_read_anew_goes_on_where_its_readers_are(endpoint: str) -> None:
    with closing(reader(endpoint, since_ns={})) as inlet:
        with closing(Publisher(endpoint, "mic", RECORDING)) as publisher:
            for number in range(7):
                publisher.publish(chunk(number))
            receive_until(inlet, of(7), publisher)
        with closing(Publisher(endpoint, "mic", RECORDING)) as publisher:
            for number in range(10):
                publisher.publish(chunk(number))
            assert times(receive_until(inlet, of(3), publisher)) == [7, 8, 9]


def test_a_device_that_is_opened_anew_leaves_a_gap_with_its_true_times(endpoint: str) -> None:
    with closing(reader(endpoint, since_ns={})) as inlet:
        for pid, first in ((1, 0), (2, 100)):
            with closing(Publisher(endpoint, f"mic:{pid}", Retention(keep_s=30.0))) as publisher:
                for number in range(first, first + 5):
                    publisher.publish(chunk(number))
                received = receive_until(inlet, lambda m, first=first: first + 4 in times(m), publisher)
    gap = received[0]
    assert gap == Gap(source="mic", t_start_ns=chunk(5).t_ns, t_end_ns=chunk(100).t_ns, lost=95, cause="worker")


def test_of_signs_of_life_only_the_newest_counts_and_none_is_lost_in_the_log(endpoint: str) -> None:
    with (
        closing(Publisher(endpoint, "mic", RECORDING)) as publisher,
        closing(reader(endpoint, topics=("status",))) as inlet,
    ):
        receive_until(inlet, lambda _: publisher._ring.readers, publisher)
        for _ in range(5):
            publisher.publish(STATUS)
        assert receive_until(inlet, bool, publisher) == [STATUS]
        assert publisher.end == 0


def test_a_warning_is_not_outdated_by_the_sign_of_life_after_it(endpoint: str) -> None:
    warnings = [structs.replace(STATUS, warning=line) for line in ("hangs", "answers again")]
    with (
        closing(Publisher(endpoint, "mic", RECORDING)) as publisher,
        closing(reader(endpoint, topics=("status",))) as inlet,
    ):
        receive_until(inlet, lambda _: publisher._ring.readers, publisher)
        for status in (*warnings, STATUS, STATUS):
            publisher.publish(status)
        assert receive_until(inlet, lambda received: STATUS in received, publisher) == [*warnings, STATUS]


def test_what_a_barred_publisher_says_is_not_heard(endpoint: str) -> None:
    with closing(Publisher(endpoint, "mic:1", RECORDING)) as publisher, closing(reader(endpoint)) as inlet:
        publisher.publish(chunk(0))
        receive_until(inlet, of(1), publisher)
        inlet.bar("mic:1")
        publisher.publish(chunk(1))
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            publisher.poll()
            assert inlet.receive(0.01) == []


@given(st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=8))
@settings(max_examples=25)
def test_junk_is_counted_and_dropped(junk: list[list[bytes]]) -> None:
    with closing(BusAddresses()) as addresses:
        endpoint = addresses.endpoint("mic")
        with closing(RawPublisher(endpoint)) as raw, closing(reader(endpoint)) as inlet:
            inlet.receive(0.0)
            raw.wait()
            for frames in junk:
                raw.socket.send_multipart([raw.reader, *frames])
            raw.socket.send_multipart([raw.reader, b"mic", bytes(8), *codec.encode(chunk(0))])
            received = receive_until(inlet, bool)
            assert [type(message) for message in received] == [AudioChunk]
            assert inlet.bad == len(junk)


@given(st.binary(max_size=200))
@settings(max_examples=25)
def test_questions_that_are_none_are_counted(junk: bytes) -> None:
    with closing(BusAddresses()) as addresses, closing(Publisher(addresses.endpoint("mic"), "mic")) as publisher:
        publisher._take(junk)
        assert publisher.bad == 1


def test_a_peer_that_sends_more_than_any_message_of_ours_is_cut_off() -> None:
    with closing(BusAddresses()) as addresses:
        ours, strange = addresses.endpoint("mic"), addresses.endpoint("strange")
        with (
            closing(RawPublisher(strange)) as raw,
            closing(Publisher(ours, "mic", RECORDING)) as publisher,
            closing(reader(ours, strange)) as inlet,
        ):
            inlet.receive(0.0)
            raw.wait()
            raw.socket.send_multipart([raw.reader, b"strange", bytes(8), bytes(17 << 20)])
            publisher.publish(chunk(0))
            assert [type(m) for m in receive_until(inlet, bool, publisher)] == [AudioChunk]


def test_closing_lets_the_last_messages_out(endpoint: str) -> None:
    with closing(reader(endpoint)) as inlet:
        with closing(Publisher(endpoint, "mic", RECORDING)) as publisher:
            receive_until(inlet, lambda _: publisher._ring.readers, publisher)
            for number in range(200):
                publisher.publish(chunk(number))
        assert times(receive_until(inlet, of(200))) == list(range(200))


def test_nobody_may_listen_to_other_machines() -> None:
    with pytest.raises(AddressError, match="CURVE"):
        Publisher("tcp://0.0.0.0:5577", "mic")


def test_an_occupied_port_is_named_with_its_key() -> None:
    with closing(RawPublisher("tcp://127.0.0.1:*")) as raw:
        endpoint = raw.socket.get_string(zmq.LAST_ENDPOINT)
        with pytest.raises(AddressError, match=r"events\.endpoint") as caught:
            EventPublisher(endpoint, history=50)
        assert endpoint.rpartition(":")[2] in str(caught.value)


def test_an_address_that_this_machine_does_not_have_is_named() -> None:
    with pytest.raises(AddressError, match=r"cannot listen on ipc:///no/such/folder/x: "):
        Publisher("ipc:///no/such/folder/x", "mic")


def test_an_ipc_path_of_a_running_publisher_is_not_taken_over(endpoint: str) -> None:
    with closing(Publisher(endpoint, "mic")), pytest.raises(AddressError, match="in use"):
        Publisher(endpoint, "mic")


def test_no_heartbeat_takes_a_full_queue_for_a_dead_peer(endpoint: str) -> None:
    """A socket whose queue is full does not read, so it does not answer heartbeats either; libzmq then reconnects, and
    aborts the process when the queue is emptied (its bug report 3937). The kernel tells of peers here that died.
    """
    with closing(Publisher(endpoint, "mic", RECORDING)) as publisher, closing(reader(endpoint)) as inlet:
        for socket in (publisher._socket, inlet._socket):
            assert socket.get(zmq.HEARTBEAT_IVL) == 0


def test_where_others_can_reach_a_session_only_who_knows_its_keys_reads_it() -> None:
    with closing(RawPublisher("tcp://127.0.0.1:*")) as raw:
        endpoint = raw.socket.get_string(zmq.LAST_ENDPOINT)
    pair = KeyPair.new()
    with (
        closing(Publisher(endpoint, "mic", RECORDING, pair)) as publisher,
        closing(reader(endpoint, pair=pair)) as inlet,
        closing(reader(endpoint, name="stranger")) as stranger,
        closing(reader(endpoint, name="other", pair=KeyPair.new())) as other,
    ):
        publisher.publish(chunk(0))
        assert times(receive_until(inlet, of(1), publisher)) == [0]
        assert stranger.receive(0.2) == other.receive(0.2) == []
        publisher.poll()
        assert set(publisher._ring.readers) == {"reader"}


def test_who_takes_a_dead_reader_s_place_is_sent_nothing_that_was_meant_for_it(endpoint: str) -> None:
    """What is published until the first question has come is still addressed to the one before."""
    published = 0
    with closing(Publisher(endpoint, "mic", RECORDING)) as publisher:
        with closing(reader(endpoint, since_ns={"mic": 0})) as dead:
            receive_until(dead, lambda _: publisher._ring.readers, publisher)
            for published in range(3):
                publisher.publish(chunk(published))
            receive_until(dead, of(3), publisher)
        with closing(reader(endpoint, since_ns={"mic": 0})) as inlet:
            received = inlet.receive(0.0)  # which connects, and asks
            while not received and published < 100:
                published += 1
                publisher.publish(chunk(published))  # without `poll`
                received += inlet.receive(0.01)
            received += receive_until(inlet, lambda m: len(times(received + m)) > published, publisher)
    assert times(received) == list(range(published + 1))


def test_what_was_lost_with_a_device_before_it_could_be_asked_for_again_is_told(endpoint: str) -> None:
    with (
        closing(Publisher(endpoint, "mic:2", Retention(keep_s=30.0))) as publisher,
        closing(reader(endpoint, since_ns={"mic": chunk(10).t_ns})) as inlet,
    ):
        for number in range(20, 25):
            publisher.publish(chunk(number))
        received = receive_until(inlet, of(6), publisher)
    gap = Gap(source="mic", t_start_ns=chunk(10).t_ns, t_end_ns=chunk(20).t_ns, lost=10, cause="worker")
    assert received[0] == gap
    assert times(received) == list(range(20, 25))
