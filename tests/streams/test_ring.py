"""The log of a publisher: a reader gets all it asked for, in order, however slow it is; what it cannot get is told."""

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.streams.ring import FULL, RESEND_S, WINDOW, Entry, Retention, Ring

S = 1_000_000_000
TOPICS = ("audio", "end")


def entry(number: int, topic: str = "audio", source: str = "mic") -> Entry:
    """A message of one second, which says its number."""
    return Entry(topic, source, number * S, (number + 1) * S, (number.to_bytes(4, "big"),))


def numbers(entries):
    return [int.from_bytes(sent.frames[0], "big") for _, sent in entries]


class Reader:
    """Asks as `bus.Subscriber` does."""

    def __init__(self, ring, name="reader", instance=1, since_ns=None):
        self.ring, self.name, self.instance, self.since_ns = ring, name, instance, since_ns
        self.awaited = None
        self.read = []
        self.gaps = []

    def ask(self, now_s=0.0):
        self.gaps += self.ring.ask(self.name, self.instance, TOPICS, self.awaited, self.since_ns, now_s)
        return self

    def take(self, read_them=True):
        self.gaps += self.ring.missed(self.name)
        for number, sent in self.ring.due(self.name):
            if read_them and number >= (self.awaited or 0):
                self.read += numbers([(number, sent)])
                self.awaited = number + 1
        return self


@given(st.lists(st.sampled_from(["publish", "ask", "take", "other"]), max_size=200), st.integers(1, 40))
@settings(max_examples=100)
def test_a_recording_s_readers_get_everything_in_order_and_what_nobody_needs_is_let_go(steps, each):
    ring = Ring(Retention(readers=("reader", "late")))
    reader, late, published = Reader(ring).ask(), Reader(ring, "late"), 0
    for step in steps:
        if step == "publish":
            for _ in range(each):
                ring.append(entry(published))
                published += 1
        elif step == "take":
            reader.take()
        else:
            (reader if step == "ask" else late).ask()
    for _ in range(published // WINDOW + 2):
        reader.ask().take()
        late.ask().take()
    reader.ask()
    late.ask()
    assert reader.read == late.read == list(range(published))
    assert reader.gaps == late.gaps == []
    assert ring.settled
    assert not ring._stored


def test_a_reader_that_does_not_read_makes_a_recording_wait_and_gets_no_more_than_a_window():
    ring = Ring(Retention(readers=("reader",)))
    reader, published = Reader(ring).ask(), 0
    while not ring.full:
        ring.append(entry(published))
        published += 1
    assert published == FULL
    assert len(list(ring.due("reader"))) == WINDOW
    assert list(ring.due("reader")) == []
    reader.awaited = 10
    reader.ask()
    assert len(list(ring.due("reader"))) == 10


def test_what_a_reader_needs_is_kept_until_it_lets_go_and_who_takes_its_place_is_sent_it():
    ring = Ring(Retention(readers=("reader",)))
    first = Reader(ring, since_ns={"mic": 0}).ask()
    for number in range(20):
        ring.append(entry(number))
    first.take()
    first.since_ns = {"mic": 12 * S}
    first.ask()
    second = Reader(ring, instance=2, since_ns={"mic": 14 * S}).ask().take()
    assert second.read == list(range(14, 20))
    assert second.gaps == []
    third = Reader(ring, instance=3, since_ns={"mic": 9 * S}).ask().take()
    assert third.read == list(range(12, 20))
    (gap,) = third.gaps  # somebody had let go of more than this one thinks
    assert (gap.t_start_ns, gap.t_end_ns, gap.lost, gap.cause) == (9 * S, 12 * S, 3, "worker")


def test_a_device_does_not_wait_and_a_slow_reader_is_told_the_very_times():
    ring = Ring(Retention(readers=("reader",), keep_s=30.0))
    reader = Reader(ring).ask()
    for number in range(100):
        ring.append(entry(number))
    reader.take()
    assert reader.read == list(range(69, 100))
    (gap,) = reader.gaps
    assert (gap.source, gap.t_start_ns, gap.t_end_ns, gap.lost, gap.cause) == ("mic", 0, 69 * S, 69, "bus")
    assert len(ring._stored) == 31


def test_a_publisher_that_began_anew_goes_on_where_its_readers_are():
    ring = Ring(Retention(readers=("reader",)))
    reader = Reader(ring)
    reader.awaited = 7
    reader.ask()
    for number in range(10):
        ring.append(entry(number))
    assert reader.take().read == [7, 8, 9]


def test_what_got_lost_on_the_way_is_sent_again():
    ring = Ring(Retention(readers=("reader",)))
    reader = Reader(ring).ask()
    for number in range(5):
        ring.append(entry(number))
    reader.take(read_them=False)
    assert reader.ask(RESEND_S / 2).take().read == []
    assert reader.ask(RESEND_S + 0.1).take().read == list(range(5))


def test_topics_that_a_reader_does_not_want_cost_it_nothing():
    ring = Ring(Retention(readers=("reader",)))
    reader = Reader(ring).ask()
    for number in range(3 * WINDOW):
        ring.append(entry(number, topic="video" if number % 3 else "end"))
    assert reader.take().read == list(range(0, 3 * WINDOW, 3))


def test_a_spool_keeps_all_but_what_is_passing():
    ring = Ring(Retention(keep_s=30.0, spool=io.BytesIO()))
    for number in range(100):
        ring.append(entry(number), passing=number % 2 == 1)
    assert sum(len(kept.frames) for kept in ring._stored.values()) <= 16  # the rest is in the spool
    reader = Reader(ring).ask().take()
    assert [n for n in reader.read if n % 2 == 0] == list(range(0, 100, 2))
    assert [n for n in reader.read if n % 2] == list(range(69, 100, 2))
    assert reader.gaps == []


def test_nobody_waits_for_who_is_excused():
    ring = Ring(Retention(readers=("reader", "dead")))
    reader = Reader(ring).ask()
    Reader(ring, "dead").ask()
    for number in range(10):
        ring.append(entry(number))
    reader.take().ask()
    assert len(ring._stored) == 10
    ring.excuse("dead")
    assert not ring._stored
    assert ring.settled


def test_the_end_of_a_source_is_told_to_everyone_who_takes_a_reader_s_place():
    ring = Ring(Retention(readers=("reader",)))
    first = Reader(ring, since_ns={"mic": 0}).ask()
    ring.append(entry(0))
    ring.append(entry(1, topic="end")._replace(t_end_ns=S))
    first.take()
    first.since_ns = {"mic": S}
    first.ask()
    second = Reader(ring, instance=2, since_ns={"mic": S}).ask().take()
    assert second.read == [1]
