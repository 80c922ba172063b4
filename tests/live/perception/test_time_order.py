"""Recordings that come at any pace are read in the order of time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.perception.time_order import TimeOrder
from erc_live.streams.messages import AudioChunk, SourceEnd, VideoFrame, samples_to_ns
from erc_live.streams.replay import in_time_order

SOURCES = ("camera-0", "mic-0", "mic-1")


def source(name, lengths):
    t_ns = 0
    for length in lengths:
        if name.startswith("mic"):
            yield AudioChunk(source=name, t_ns=t_ns, pcm=np.zeros(length, np.int16))
        else:
            yield VideoFrame(source=name, t_ns=t_ns, width_px=1, height_px=1, jpeg=b"")
        t_ns += samples_to_ns(length)
    yield SourceEnd(source=name, t_ns=t_ns, reason="end of file")


def named(messages):
    return [(type(m).__name__, m.source, m.t_ns) for m in messages]


@given(st.data())
def test_the_order_is_that_of_one_process_whatever_comes_first(data):
    lengths = {name: data.draw(st.lists(st.integers(1, 2000), max_size=12)) for name in SOURCES}
    expected = list(in_time_order(source(name, lengths[name]) for name in SOURCES))
    order, got = TimeOrder(SOURCES), []
    streams = {name: list(source(name, lengths[name]))[::-1] for name in SOURCES}
    while streams:
        name = data.draw(st.sampled_from(sorted(streams)))
        got += order.take(streams[name].pop())
        if not streams[name]:
            del streams[name]
    assert named(got) == named(expected)


def test_a_source_that_nobody_waits_for_is_due_at_once():
    order = TimeOrder(["mic-0"])
    end = SourceEnd(source="mic-1", t_ns=5, reason="stopped")
    assert order.take(end) == [end]
