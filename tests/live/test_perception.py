from itertools import permutations

import numpy as np
import pytest
from fakes import LoudnessDetector, answer, chunks, merged, speech
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.perception import STALLED_NS, Microphone, Perception
from erc_live.streams.messages import CHUNK_SAMPLES, Gap, SourceEnd, VideoFrame, samples_to_ns
from erc_live.streams.segmenter import SegmenterConfig

CONFIG = SegmenterConfig(
    onset=0.5, offset=0.35, pre_roll_s=0.064, min_speech_s=0.1, end_silence_s=0.16, max_utterance_s=3.0
)
TALK = speech((False, 10), (True, 20), (False, 12), (True, 30), (False, 12), (True, 8), (False, 20))


def perception(*sources, max_frames=5):
    return Perception([Microphone(s) for s in sources], LoudnessDetector, CONFIG, max_frames, start_ns=0)


def end(source):
    return SourceEnd(source=source, t_ns=0, reason="end of file")


def run(core, messages, now_ns=0):
    """Feed all, answer at once; return requests and released features."""
    requests, released = [], []
    for message in messages:
        for request in core.feed(message):
            requests.append(request)
            core.accept(answer(request))
        released += core.poll(now_ns)
    return requests, released


def test_every_utterance_is_requested_and_released_once():
    core = perception("mic-0")
    requests, released = run(core, [*chunks("mic-0", TALK), end("mic-0")])
    assert len(requests) == 3
    assert [f.utterance for f in released] == [r.utterance for r in requests]
    assert core.ended


def test_the_samples_of_a_request_are_those_of_its_times():
    requests, _ = run(perception("mic-0"), chunks("mic-0", TALK))
    for request in requests:
        first = request.t_start_ns // samples_to_ns(1)
        last = request.t_end_ns // samples_to_ns(1)
        np.testing.assert_array_equal(request.speech.pcm, TALK[first:last])


@settings(max_examples=30, deadline=None)
@given(st.integers(100, 20_000), st.integers(0, 10**12))
def test_chunk_size_and_start_change_nothing(size, start_ns):
    core = Perception([Microphone("mic-0")], LoudnessDetector, CONFIG, 5, start_ns=start_ns)
    requests, _ = run(core, [*chunks("mic-0", TALK, start_ns, size), end("mic-0")])
    expected, _ = run(perception("mic-0"), [*chunks("mic-0", TALK), end("mic-0")])
    assert [r.utterance for r in requests] == [r.utterance for r in expected]
    assert [r.t_closed_ns - start_ns for r in requests] == [r.t_closed_ns for r in expected]
    assert all((a.speech.pcm == b.speech.pcm).all() for a, b in zip(requests, expected, strict=True))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_answers_in_any_order_are_released_in_the_order_of_closing(order):
    core = perception("mic-0")
    requests = [r for m in chunks("mic-0", TALK) for r in core.feed(m)]
    released = []
    for i in order:
        core.accept(answer(requests[i]))
        released += core.poll(0)
    assert [f.utterance for f in released] == [r.utterance for r in requests]


def test_two_microphones_are_merged_by_media_time_however_they_arrive():
    a = list(chunks("mic-0", speech((False, 5), (True, 20), (False, 40))))
    b = list(chunks("mic-1", speech((False, 12), (True, 20), (False, 33))))
    ends = [end("mic-0"), end("mic-1")]
    together = run(perception("mic-0", "mic-1"), [*merged(a, b), *ends])[1]
    one_late = run(perception("mic-0", "mic-1"), [*b, *a, *ends])[1]
    assert [f.source for f in together] == ["mic-0", "mic-1"]
    assert [f.utterance for f in one_late] == [f.utterance for f in together]


def test_a_stalled_microphone_does_not_hold_back_the_others():
    core = perception("mic-0", "mic-1")
    core.feed(next(chunks("mic-1", speech((False, 1)))))
    requests, released = run(core, chunks("mic-0", TALK))
    assert requests
    assert not released
    late_ns = samples_to_ns(CHUNK_SAMPLES) + STALLED_NS
    assert [f.utterance for f in core.poll(late_ns)] == [r.utterance for r in requests]


def test_at_speed_the_jitter_of_the_machine_is_no_stall():
    """At 40 times real time, 100 ms of the machine are 4 s of the session, and the order must not depend on them."""
    speed, jitter_ns = 40.0, 4_000_000_000
    core = Perception([Microphone(s) for s in ("mic-0", "mic-1")], LoudnessDetector, CONFIG, 5, 0, speed)
    early, late = (
        list(chunks(s, speech((False, 5 + d), (True, 20), (False, 40)))) for s, d in (("mic-0", 0), ("mic-1", 9))
    )
    now_ns = late[-1].t_end_ns + jitter_ns  # the later speaker has been heard to the end, the earlier one not yet
    assert run(core, late, now_ns)[1] == []
    assert [f.source for f in run(core, [*early, end("mic-0"), end("mic-1")], now_ns)[1]] == ["mic-0", "mic-1"]


def test_a_hole_ends_the_utterance_and_time_goes_on_behind_it():
    first = speech((False, 5), (True, 20))
    second = speech((True, 20), (False, 20))
    later_ns = samples_to_ns(len(first)) + 700_000_000
    core = perception("mic-0")
    requests, _ = run(core, [*chunks("mic-0", first), *chunks("mic-0", second, later_ns)])
    assert [r.closed_by for r in requests] == ["flush", "silence"]
    assert requests[1].t_start_ns == later_ns
    np.testing.assert_array_equal(requests[1].speech.pcm[: 20 * CHUNK_SAMPLES], second[: 20 * CHUNK_SAMPLES])


def test_a_gap_ends_the_utterance():
    core = perception("mic-0")
    run(core, chunks("mic-0", speech((False, 5), (True, 20))))
    gap = Gap(source="mic-0", t_start_ns=0, t_end_ns=0, lost=3, cause="device")
    assert len(core.feed(gap)) == 1
    assert core.feed(gap) == []


def test_the_end_of_a_source_finishes_what_was_being_said():
    core = perception("mic-0")
    requests, released = run(core, [*chunks("mic-0", speech((False, 5), (True, 20))), end("mic-0")])
    assert len(requests) == len(released) == 1
    assert core.ended


def test_pictures_of_the_utterance_are_sampled_and_none_is_needed():
    core = perception("mic-0", max_frames=4)
    frames = [
        VideoFrame(source="camera-0", t_ns=i * 100_000_000, width_px=1, height_px=1, jpeg=bytes([i])) for i in range(30)
    ]
    for frame in frames:
        core.feed(frame)
    request = run(core, chunks("mic-0", speech((False, 10), (True, 30), (False, 20))))[0][0]
    assert len(request.frames) == 4
    assert all(request.t_start_ns <= f.t_ns <= request.t_end_ns for f in request.frames)
    alone = run(perception("mic-0"), chunks("mic-0", speech((False, 10), (True, 30), (False, 20))))[0][0]
    assert alone.frames == ()


def test_memory_of_pictures_is_bounded():
    core = perception("mic-0")
    for i in range(10_000):
        core.feed(VideoFrame(source="camera-0", t_ns=i * 100_000_000, width_px=1, height_px=1, jpeg=b""))
    assert len(core._frames) <= 10 * (CONFIG.max_utterance_s + 5.0) + 1


def test_a_name_comes_from_the_microphone_before_the_transcript():
    core = Perception([Microphone("mic-0", "Agent"), Microphone("mic-1")], LoudnessDetector, CONFIG, 5, 0)
    requests = [r for s in ("mic-0", "mic-1") for m in [*chunks(s, TALK), end(s)] for r in core.feed(m)]
    for request in requests:
        core.accept(answer(request, speaker="Caller"))
    names = {f.source: f.speaker_name for f in core.poll(0)}
    assert names == {"mic-0": "Agent", "mic-1": "Caller"}
