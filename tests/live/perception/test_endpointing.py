from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from fakes import LoudnessDetector, answer, chunks, merged, speech
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import CONFIG, TALK, asked, endpointer, settings_

from erc_live.live.perception.endpointing import STALLED_NS, Endpointer, Settings
from erc_live.live.requests import RequestKind
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, Gap, SourceEnd, VideoFrame, samples_to_ns


def end(source):
    return SourceEnd(source=source, t_ns=0, reason="end of file")


def run(core, messages, now_ns=0):
    """Feed all, answer what is closed at once; return those requests, and what is released of them."""
    requests, released = [], []
    for message in messages:
        for request in closed(core, message):
            requests.append(request)
            core.accept(answer(request))
        released += core.poll(now_ns)
    return requests, [analysis.request for analysis in released]


def closed(core, message):
    return [request for request in core.feed(message) if request.kind == RequestKind.FINAL]


def test_every_utterance_is_requested_and_released_once():
    core = endpointer("mic-0")
    requests, released = run(core, [*chunks("mic-0", TALK), end("mic-0")])
    assert len(requests) == 3
    assert [f.utterance for f in released] == [r.utterance for r in requests]
    assert core.ended


def test_the_samples_of_a_request_are_those_of_its_times():
    requests, _ = run(endpointer("mic-0"), chunks("mic-0", TALK))
    for request in requests:
        first = request.t_start_ns // samples_to_ns(1)
        last = request.t_end_ns // samples_to_ns(1)
        np.testing.assert_array_equal(request.speech.pcm, TALK[first:last])


@settings(max_examples=30, deadline=None)
@given(st.integers(100, 20_000), st.integers(0, 10**12))
def test_chunk_size_and_start_change_nothing(size, start_ns):
    core = Endpointer({"mic-0": None}, LoudnessDetector, settings_(), start_ns=start_ns)
    requests, _ = run(core, [*chunks("mic-0", TALK, start_ns, size), end("mic-0")])
    expected, _ = run(endpointer("mic-0"), [*chunks("mic-0", TALK), end("mic-0")])
    assert [r.utterance for r in requests] == [r.utterance for r in expected]
    assert [r.t_closed_ns - start_ns for r in requests] == [r.t_closed_ns for r in expected]
    assert all((a.speech.pcm == b.speech.pcm).all() for a, b in zip(requests, expected, strict=True))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_answers_in_any_order_are_released_in_the_order_of_closing(order):
    core = endpointer("mic-0")
    requests = [r for m in chunks("mic-0", TALK) for r in closed(core, m)]
    released = []
    for i in order:
        core.accept(answer(requests[i]))
        released += [analysis.request for analysis in core.poll(0)]
    assert [f.utterance for f in released] == [r.utterance for r in requests]


def test_two_microphones_are_merged_by_media_time_however_they_arrive():
    a = list(chunks("mic-0", speech((False, 5), (True, 20), (False, 40))))
    b = list(chunks("mic-1", speech((False, 12), (True, 20), (False, 33))))
    ends = [end("mic-0"), end("mic-1")]
    together = run(endpointer("mic-0", "mic-1"), [*merged(a, b), *ends])[1]
    one_late = run(endpointer("mic-0", "mic-1"), [*b, *a, *ends])[1]
    assert [f.source for f in together] == ["mic-0", "mic-1"]
    assert [f.utterance for f in one_late] == [f.utterance for f in together]


def test_a_stalled_microphone_does_not_hold_back_the_others():
    core = Endpointer(dict.fromkeys(("mic-0", "mic-1")), LoudnessDetector, settings_(), 0, STALLED_NS)
    core.feed(next(chunks("mic-1", speech((False, 1)))))
    requests, released = run(core, chunks("mic-0", TALK))
    assert requests
    assert not released
    late_ns = samples_to_ns(CHUNK_SAMPLES) + STALLED_NS
    assert [analysis.request.utterance for analysis in core.poll(late_ns)] == [r.utterance for r in requests]


def test_a_recording_does_not_stall():
    """Its reader may be seconds of the session behind, and the order must not depend on them."""
    jitter_ns = 4_000_000_000
    core = Endpointer(dict.fromkeys(("mic-0", "mic-1")), LoudnessDetector, settings_(), 0)
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
    core = endpointer("mic-0")
    requests, _ = run(core, [*chunks("mic-0", first), *chunks("mic-0", second, later_ns)])
    assert [r.closed_by for r in requests] == ["flush", "silence"]
    assert requests[1].t_start_ns == later_ns
    np.testing.assert_array_equal(requests[1].speech.pcm[: 20 * CHUNK_SAMPLES], second[: 20 * CHUNK_SAMPLES])


def test_a_gap_ends_the_utterance():
    core = endpointer("mic-0")
    run(core, chunks("mic-0", speech((False, 5), (True, 20))))
    gap = Gap(source="mic-0", t_start_ns=0, t_end_ns=0, lost=3, cause="device")
    assert len(closed(core, gap)) == 1
    assert core.feed(gap) == []


def test_the_end_of_a_source_finishes_what_was_being_said():
    core = endpointer("mic-0")
    requests, released = run(core, [*chunks("mic-0", speech((False, 5), (True, 20))), end("mic-0")])
    assert len(requests) == len(released) == 1
    assert core.ended


def test_pictures_of_the_utterance_are_sampled_and_none_is_needed():
    core = endpointer("mic-0", max_frames=4)
    frames = [
        VideoFrame(source="camera-0", t_ns=i * 100_000_000, width_px=1, height_px=1, jpeg=bytes([i])) for i in range(30)
    ]
    for frame in frames:
        core.feed(frame)
    request = run(core, chunks("mic-0", speech((False, 10), (True, 30), (False, 20))))[0][0]
    assert 1 < len(request.frames) <= 4
    assert all(request.t_start_ns <= f.t_ns <= request.t_end_ns for f in request.frames)
    alone = run(endpointer("mic-0"), chunks("mic-0", speech((False, 10), (True, 30), (False, 20))))[0][0]
    assert alone.frames == ()


def test_memory_of_pictures_is_bounded():
    core = endpointer("mic-0")
    for i in range(10_000):
        core.feed(VideoFrame(source="camera-0", t_ns=i * 100_000_000, width_px=1, height_px=1, jpeg=b""))
    assert len(core._frames) <= 10 * (CONFIG.max_utterance_s + 5.0) + 1


def test_a_name_comes_from_the_microphone():
    core = Endpointer({"mic-0": "Agent", "mic-1": None}, LoudnessDetector, settings_(), 0)
    requests = [r for s in ("mic-0", "mic-1") for m in [*chunks(s, TALK), end(s)] for r in closed(core, m)]
    names = {request.source: request.speech.speaker_name for request in requests}
    assert names == {"mic-0": "Agent", "mic-1": None}


def spans(requests, kind):
    return [(r.utterance, r.t_start_ns, r.t_end_ns, r.revision) for r in requests if r.kind == kind]


def test_silence_that_lasts_was_guessed_and_silence_that_does_not_was_guessed_wrong():
    pcm = speech((False, 5), (True, 20), (False, 4), (True, 10), (False, 20))
    requests = asked(endpointer("mic-0"), chunks("mic-0", pcm))
    early, final = spans(requests, RequestKind.SPECULATIVE), spans(requests, "final")
    assert [r.kind for r in requests if r.kind != RequestKind.PARTIAL] == [
        RequestKind.SPECULATIVE,
        RequestKind.SPECULATIVE,
        "final",
    ]
    assert early[1] == final[0]
    assert early[0][:2] == final[0][:2]
    assert early[0][2] < final[0][2]


def test_a_guess_has_the_samples_and_the_name_of_the_utterance():
    requests = asked(endpointer("mic-0"), chunks("mic-0", TALK))
    guesses = {r.utterance: r for r in requests if r.kind == RequestKind.SPECULATIVE}
    for request in (r for r in requests if r.kind == RequestKind.FINAL):
        np.testing.assert_array_equal(guesses[request.utterance].speech.pcm, request.speech.pcm)
        assert guesses[request.utterance].t_closed_ns < request.t_closed_ns


def test_running_speech_is_drafted_again_and_again_and_the_last_word_has_the_highest_revision():
    requests = asked(endpointer("mic-0"), chunks("mic-0", speech((False, 5), (True, 60), (False, 20))))
    drafts, final = spans(requests, RequestKind.PARTIAL), spans(requests, "final")[0]
    assert [revision for *_, revision in drafts] == [0, 1, 2]
    assert final[3] == 3
    assert {(utterance, start) for utterance, start, *_ in drafts} == {final[:2]}
    lengths_s = [(end - start) / 1e9 for _, start, end, _ in drafts]
    assert lengths_s == [pytest.approx(0.5 * n, abs=0.04) for n in (1, 2, 3)]
    assert all(r.speech.partial for r in requests if r.kind == RequestKind.PARTIAL)


def test_a_draft_is_released_at_once_and_only_while_the_utterance_goes_on():
    core = endpointer("mic-0")
    requests = asked(core, chunks("mic-0", speech((False, 5), (True, 20))))
    (draft,) = [r for r in requests if r.kind == RequestKind.PARTIAL]
    core.accept(answer(draft))
    assert [analysis.request for analysis in core.poll(0)] == [draft]
    rest = asked(core, chunks("mic-0", speech((False, 20)), requests[-1].t_closed_ns + 10**9))
    assert [r.kind for r in rest] == ["final"]
    core.accept(answer(draft))
    assert core.poll(0) == []


class TurnDetector:
    """Says that a turn is complete after a second of sound; remembers what it was asked about."""

    def __init__(self):
        self.asked = []

    def __call__(self, pcm):
        self.asked.append(pcm)
        return float(len(pcm) > SAMPLE_RATE_HZ)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8), st.integers(100, 20_000))
def test_the_turn_detector_is_asked_the_same_whatever_the_size_of_chunks(stretches, size):
    """In a pause, about all sound of the microphone up to it; and what it says decides when an utterance closes."""
    config = replace(CONFIG, end_silence_s=0.32)
    pcm, runs = speech((False, 1), *stretches, (True, 8), (False, 20)), []
    for pieces in (chunks("mic-0", pcm), chunks("mic-0", pcm, 0, size)):
        detector = TurnDetector()
        core = Endpointer({"mic-0": None}, LoudnessDetector, Settings(config, 5), 0, turns=detector)
        finals = [r for r in asked(core, [*pieces, end("mic-0")]) if r.kind == "final"]
        runs.append(([(r.t_start_ns, r.t_closed_ns) for r in finals], detector.asked))
    assert runs[0][0] == runs[1][0]
    assert all(np.array_equal(*both) for both in zip(runs[0][1], runs[1][1], strict=True))
    assert runs[0][1] or all(final.closed_by == "limit" for final in finals)  # cut, and nothing but quiet after it


def test_drafts_and_guesses_can_be_turned_off():
    core = Endpointer(
        {"mic-0": None}, LoudnessDetector, settings_(timing={"speculative_s": 0.0, "partial_every_s": 0.0}), start_ns=0
    )
    assert {r.kind for r in asked(core, chunks("mic-0", TALK))} == {"final"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8), st.integers(100, 20_000))
def test_what_is_asked_does_not_depend_on_the_size_of_chunks(stretches, size):
    pcm = speech((False, 1), *stretches)
    plain = asked(endpointer("mic-0"), [*chunks("mic-0", pcm), end("mic-0")])
    sliced = asked(endpointer("mic-0"), [*chunks("mic-0", pcm, 0, size), end("mic-0")])
    for kind in ("final", RequestKind.SPECULATIVE, RequestKind.PARTIAL):
        assert spans(sliced, kind) == spans(plain, kind)
