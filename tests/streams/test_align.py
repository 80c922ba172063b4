"""Which pictures belong to an utterance."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.streams.align import sample_frames
from erc_live.streams.messages import VideoFrame


def frame(t_ns: int) -> VideoFrame:
    return VideoFrame(source="camera", t_ns=t_ns, width_px=2, height_px=2, jpeg=b"x")


@given(st.lists(st.integers(-50, 150)).map(sorted), st.integers(-60, 160), st.integers(0, 100), st.integers(1, 12))
def test_frames_are_inside_in_order_at_most_the_limit_and_all_when_few(times, start, length, limit):
    frames = [frame(t) for t in times]
    inside = [f for f in frames if start <= f.t_ns < start + length]
    chosen = sample_frames(frames, start, start + length, limit)
    assert len(chosen) == min(limit, len(inside))
    positions = [next(i for i, f in enumerate(inside) if f is c) for c in chosen]
    assert positions == sorted(set(positions))
    # Evenly spread: no two neighbours, nor an end, are further apart than two shares.
    share = len(inside) / max(1, len(chosen))
    edges = [-share / 2, *positions, len(inside) + share / 2]
    assert all(b - a <= 2 * share for a, b in pairwise(edges)) or not chosen


def test_one_frame_is_the_middle_one():
    assert sample_frames([frame(t) for t in range(5)], 0, 5, 1)[0].t_ns == 2


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="limit"):
        sample_frames([], 0, 1, 0)
