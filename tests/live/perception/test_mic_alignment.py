"""The order of what several microphones heard depends on its times alone."""

import numpy as np
from fakes import chunks, merged
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.perception.mic_alignment import MicAlignment
from erc_live.streams.messages import CHUNK_SAMPLES, AudioChunk, Gap, SourceEnd

SECOND = 1_000_000_000
A = np.arange(20_000, dtype=np.int16)
B = A[::-1].copy()


def fed(messages, sources=("a", "b")):
    step = MicAlignment(sources, 0, SECOND)
    return [due for message in messages for due in step.take(message)]


def told(messages):
    """The windows, comparable."""
    return [(m.source, m.t_ns, m.pcm.tobytes()) for m in messages if isinstance(m, AudioChunk)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=80), st.integers(100, 5000), st.integers(100, 5000), st.integers(0, 10**8))
def test_neither_the_size_of_chunks_nor_who_arrives_first_changes_the_order(first, size_a, size_b, shift_ns):
    a, b = list(chunks("a", A, 0, size_a)), list(chunks("b", B, shift_ns, size_b))
    arrived, left = [], [a[::-1], b[::-1]]
    for which in first:
        line = left[which] or left[not which]
        ahead_ns = line[-1].t_ns - min((rest[-1].t_ns for rest in left if rest), default=0) if line else 0
        if line and ahead_ns < SECOND // 2:
            arrived.append(line.pop())
    arrived += merged(*left)
    ends = [SourceEnd(source=source, t_ns=0, reason="") for source in ("a", "b")]
    expected = merged(list(chunks("a", A)), list(chunks("b", B, shift_ns)))
    assert told(fed([*arrived, *ends])) == told(m for m in expected if len(m.pcm) == CHUNK_SAMPLES)


def test_one_microphone_is_waited_for_until_it_has_stalled():
    step = MicAlignment(("a", "b"), 0, SECOND)
    heard = [(chunk.t_ns, len(step.take(chunk))) for chunk in chunks("a", np.zeros(40_000, np.int16))]
    assert all(count == 0 for t_ns, count in heard if t_ns < SECOND)
    assert next(count for t_ns, count in heard if t_ns >= SECOND) > 1  # what had waited
    assert all(count == 1 for t_ns, count in heard[:-1] if t_ns > 1.1 * SECOND)


def test_alone_nothing_waits():
    assert all(len(fed([chunk], ("a",))) == 1 for chunk in chunks("a", A[: 8 * CHUNK_SAMPLES]))


def test_a_gap_comes_after_what_was_heard_before_it_and_the_rest_before_it_is_dropped():
    gap = Gap(source="a", t_start_ns=0, t_end_ns=2 * SECOND, lost=1, cause="device")
    messages = fed([*chunks("a", A[:1000]), gap, *chunks("a", A[:1024], 2 * SECOND)], ("a",))
    assert [type(m) for m in messages] == [AudioChunk, Gap, AudioChunk, AudioChunk]
    assert messages[2].t_ns == 2 * SECOND
