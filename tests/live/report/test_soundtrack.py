"""The sound of a report: a second of the page is a second of the sound."""

import io

import av
import numpy as np
import recorded_talk as talk
from conversation import START_NS
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.report.soundtrack import encode_opus, soundtrack
from erc_live.streams.conversation_view import conversation_view
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk
from erc_live.streams.session import open_session

CHUNK_NS = CHUNK_SAMPLES * 62_500
MS = 1_000_000
# Of a microphone: which of its chunks are there, and how loud they are.
microphone = st.tuples(st.sets(st.integers(0, 90), min_size=1), st.integers(-30_000, 30_000))


def track(folder, chunks):
    talk.record(folder, chunks)
    session, missing = open_session(folder), []
    blocks = list(soundtrack(session, conversation_view(session), missing, lambda done_s: None))
    assert missing == []
    assert all(0 < len(block) <= SAMPLE_RATE_HZ for block in blocks)
    return np.concatenate(blocks)


def chunk(source: str, number: int, pcm: np.ndarray, off_ms: int = 0) -> AudioChunk:
    return AudioChunk(source=source, t_ns=START_NS + number * CHUNK_NS + off_ms * MS, pcm=pcm)


@settings(max_examples=20, deadline=None)
@given(st.lists(microphone, min_size=1, max_size=2))
def test_what_is_mixed_is_the_sum_with_silence_between(tmp_path_factory, microphones):
    chunks, expected = [], np.zeros(91 * CHUNK_SAMPLES, np.int32)
    for n, (there, level) in enumerate(microphones):
        pcm = np.full(CHUNK_SAMPLES, level, np.int16)
        chunks += [chunk(f"mic-{n}", number, pcm) for number in sorted(there)]
        for number in there:
            expected[number * CHUNK_SAMPLES : (number + 1) * CHUNK_SAMPLES] += level
    got = track(tmp_path_factory.mktemp("mixed") / "talk", chunks)
    assert np.array_equal(got, np.clip(expected, -(2**15), 2**15 - 1)[: len(got)])
    assert not expected[len(got) :].any()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=60, max_size=60))
def test_stamps_that_jitter_make_no_clicks(tmp_path_factory, off_ms):
    pcm = np.full(CHUNK_SAMPLES, 10_000, np.int16)
    chunks = [chunk("mic-0", number, pcm, off) for number, off in enumerate(off_ms)]
    got = track(tmp_path_factory.mktemp("jitter") / "talk", chunks)
    whole = got[CHUNK_SAMPLES : 59 * CHUNK_SAMPLES]
    assert set(whole.tolist()) == {10_000}


def test_a_beep_is_where_it_was(tmp_path):
    beep = (20_000 * np.sin(np.arange(1600) * 0.3)).astype(np.int16)
    at_s = (1.0, 7.5, 19.25)
    chunks = [AudioChunk(source="mic-0", t_ns=START_NS + round(t * 1e9), pcm=beep) for t in at_s]
    file = encode_opus([track(tmp_path / "talk", chunks)])
    with av.open(io.BytesIO(file)) as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
        rate_hz = container.streams.audio[0].codec_context.sample_rate
    loud = np.flatnonzero(np.abs(np.concatenate(frames)) > 0.1) / rate_hz
    starts = [loud[0], *loud[1:][np.diff(loud) > 0.5]]
    assert np.allclose(starts, at_s, atol=0.03)
    assert len(file) < 20 * 16_000 / 8
