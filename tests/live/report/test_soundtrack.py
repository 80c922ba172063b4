"""The sound of a report: a second of the page is a second of the sound."""

import io

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.report.soundtrack import PlacedSound, encode_opus, mixed
from erc_live.streams.messages import SAMPLE_RATE_HZ

placed = st.lists(
    st.tuples(st.integers(-50, 60_000), st.integers(1, 40_000), st.integers(-30_000, 30_000)), max_size=6
).map(sorted)


@given(placed)
def test_what_is_mixed_is_the_sum_with_silence_between(parts):
    sounds = [PlacedSound(first, np.full(length, value, np.int16)) for first, length, value in parts]
    expected = np.zeros(max([0, *(first + length for first, length, _ in parts)]), np.int32)
    for first, length, value in parts:
        expected[max(0, first) : max(0, first + length)] += value
    blocks = list(mixed(sounds))
    assert all(0 < len(block) <= SAMPLE_RATE_HZ for block in blocks)
    got = np.concatenate([np.zeros(0, np.int16), *blocks])
    assert np.array_equal(got, np.clip(expected, -(2**15), 2**15 - 1))


def test_a_click_is_heard_where_it_was():
    beep = (20_000 * np.sin(np.arange(1600) * 0.3)).astype(np.int16)
    at_s = (1.0, 7.5, 19.25)
    file = encode_opus(mixed(PlacedSound(round(t * SAMPLE_RATE_HZ), beep) for t in at_s))
    with av.open(io.BytesIO(file)) as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        rate_hz = container.streams.audio[0].codec_context.sample_rate
    loud = np.flatnonzero(np.abs(np.concatenate(frames)) > 0.1) / rate_hz
    starts = [loud[0], *loud[1:][np.diff(loud) > 0.5]]
    assert np.allclose(starts, at_s, atol=0.03)
    assert len(file) < 20 * 16_000 / 8
