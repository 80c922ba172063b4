"""Which pictures belong to an utterance."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.streams.align import SLOT_NS, sample_frames
from erc_live.streams.messages import VideoFrame

SECOND = 1_000_000_000


def frame(t_ns: int, source: str = "camera-0") -> VideoFrame:
    return VideoFrame(source=source, t_ns=t_ns, width_px=2, height_px=2, jpeg=b"x")


def every(period_ns: int, until_ns: int, jitter_ns: int = 0) -> list[VideoFrame]:
    return [frame(t + (t // period_ns % 2) * jitter_ns) for t in range(0, until_ns, period_ns)]


streams = st.lists(st.tuples(st.integers(-2 * SECOND, 20 * SECOND), st.sampled_from(["camera-0", "camera-1"]))).map(
    lambda pairs: [frame(t_ns, source) for t_ns, source in sorted(pairs)]
)
spans = st.tuples(st.integers(-3 * SECOND, 10 * SECOND), st.integers(0, 15 * SECOND))


@given(streams, spans, st.integers(1, 30))
def test_frames_are_inside_in_order_and_at_most_the_limit_and_the_rate(frames, span, limit):
    start, length = span
    chosen = sample_frames(frames, start, start + length, limit)
    inside = [f for f in frames if start <= f.t_ns < start + length]
    assert len(chosen) <= limit
    assert bool(chosen) == bool(inside)
    places = [next(i for i, f in enumerate(inside) if f is c) for c in chosen]
    assert [f.t_ns for f in chosen] == sorted(f.t_ns for f in chosen)
    assert len(set(places)) == len(places)
    assert all(count == 1 for count in Counter((f.source, (f.t_ns - start) // SLOT_NS) for f in chosen).values())


@given(streams, spans, st.integers(0, 15 * SECOND), st.integers(2, 30))
def test_a_stretch_that_grows_looks_at_no_picture_of_the_past_that_it_had_not_chosen(frames, span, more, limit):
    start, length = span
    before = sample_frames(frames, start, start + length, limit)
    after = sample_frames(frames, start, start + length + more, limit)
    old = [f for f in after if f.t_ns < start + length]
    assert all(any(f is b for b in before) for f in old)
    if len(sample_frames(frames, start, start + length + more, 10**6)) <= limit:
        assert len(old) == len(before), "as long as the limit allows, all of it is kept"


@given(st.integers(1, 75), st.integers(1, 40))
def test_the_limit_is_used_at_least_by_half_and_evenly(slots, limit):
    chosen = sample_frames(every(SLOT_NS // 2, slots * SLOT_NS), 0, slots * SLOT_NS, limit)
    assert len(chosen) >= min(slots, limit) / 2
    gaps = {b.t_ns - a.t_ns for a, b in pairwise(chosen)}
    assert len(gaps) <= 1


@given(streams, spans, st.integers(2, 30), st.integers(-(10**12), 10**12))
def test_the_choice_does_not_depend_on_when_the_session_began(frames, span, limit, shift):
    start, length = span
    moved = [frame(f.t_ns + shift, f.source) for f in frames]
    chosen = sample_frames(frames, start, start + length, limit)
    again = sample_frames(moved, start + shift, start + length + shift, limit)
    assert [f.t_ns + shift for f in chosen] == [f.t_ns for f in again]


def test_ten_of_twenty_in_a_second_and_all_of_a_slow_camera():
    assert [f.t_ns for f in sample_frames(every(SECOND // 20, SECOND), 0, SECOND, 20)] == list(
        range(0, SECOND, SECOND // 10)
    )
    assert len(sample_frames(every(SECOND, 10 * SECOND), 0, 10 * SECOND, 20)) == 10


def test_two_cameras_share_the_limit():
    frames = sorted(
        [*every(SLOT_NS, 4 * SECOND), *(frame(t, "b") for t in range(5, 4 * SECOND, SLOT_NS))], key=lambda f: f.t_ns
    )
    assert Counter(f.source for f in sample_frames(frames, 0, 4 * SECOND, 20)) == {"camera-0": 10, "b": 10}
    assert len(sample_frames(frames, 0, 4 * SECOND, 1)) == 1


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="limit"):
        sample_frames([], 0, 1, 0)
