"""The contracts of the segmenter: what a span may be, that no speech is lost, and how long a pause is enough."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.streams.messages import CHUNK_S, CHUNK_SAMPLES, UtteranceSpan
from erc_live.streams.segmenter import _NEXT, Segmenter, SegmenterConfig, _Event, _State

W = CHUNK_SAMPLES
SMALL = SegmenterConfig(
    onset=0.5,
    offset=0.35,
    pre_roll_s=2 * CHUNK_S,
    min_speech_s=3 * CHUNK_S,
    end_silence_min_s=4 * CHUNK_S,
    end_silence_s=4 * CHUNK_S,
    max_utterance_s=15 * CHUNK_S,
)

ROOMY = replace(SMALL, max_utterance_s=60 * CHUNK_S)

probability = st.one_of(st.sampled_from([0.0, 0.2, 0.35, 0.4, 0.5, 0.9, 1.0]), st.floats(0, 1))
# Runs of one kind make long speech and long silence likely.
run = st.tuples(probability, st.integers(1, 20)).map(lambda run: [run[0]] * run[1])
probabilities = st.lists(run, max_size=25).map(lambda runs: [p for run in runs for p in run])


@st.composite
def configs(draw):
    offset = draw(st.floats(0, 0.9))
    onset = draw(st.floats(max(offset, 0.01), 1))
    pre_roll, min_speech, floor, more = (draw(st.integers(low, 8)) for low in (0, 1, 1, 0))
    longest = pre_roll + min_speech + floor + more + draw(st.integers(1, 30))
    times = (n * CHUNK_S for n in (pre_roll, min_speech, floor, floor + more, longest))
    return SegmenterConfig(onset, offset, *times)


def segment(config: SegmenterConfig, windows: list[float]) -> list[UtteranceSpan]:
    segmenter = Segmenter(config)
    spans = [segmenter.feed(p) for p in windows] + [segmenter.flush()]
    return [span for span in spans if span is not None]


@given(configs(), probabilities)
def test_spans_are_ordered_disjoint_bounded_and_inside_the_input(config, windows):
    end = 0
    for span in segment(config, windows):
        assert end <= span.start < span.end <= span.closed <= len(windows) * W
        assert span.end - span.start <= config.max_utterance_s * 16_000 + 1e-6
        assert all(value % W == 0 for value in (span.start, span.end, span.closed))
        end = span.end


@given(configs(), probabilities)
def test_no_speech_that_lasted_long_enough_is_lost(config, windows):
    inside = {i for span in segment(config, windows) for i in range(span.start // W, span.end // W)}
    loud: list[int] = []
    for i, p in enumerate([*windows, 0.0]):
        if p >= config.onset and i < len(windows):
            loud.append(i)
        else:
            if len(loud) * W >= config.min_samples:
                assert inside.issuperset(loud)
            loud = []


@given(configs(), probabilities)
def test_every_span_begins_with_at_most_the_pre_roll_and_ends_with_speech(config, windows):
    previous = None
    for span in segment(config, windows):
        inside = windows[span.start // W : span.end // W]
        continues = previous is not None and previous.closed_by == "limit" and previous.end == span.start
        if not continues:
            assert max(inside[: config.pre_roll_samples // W + 1]) >= config.onset
        if span.closed_by != "limit":
            assert inside[-1] >= config.offset
        previous = span


@given(configs(), probabilities)
def test_the_quiet_that_ends_is_between_floor_and_ceiling(config, windows):
    floor, ceiling = config.silence_min_samples // W, config.silence_samples // W
    for span in segment(config, windows):
        if span.closed_by == "silence":
            quiet = [1 - p / config.onset for p in windows[span.end // W : span.closed // W]]
            assert sum(quiet) >= floor - 1e-9
            assert sum(quiet[:-1]) < ceiling


@given(configs(), probabilities)
def test_no_speech_is_in_two_utterances_and_nothing_loud_is_passed_over(config, windows):
    spans = segment(config, windows)
    inside = [i for span in spans for i in range(span.start // W, span.end // W)]
    assert len(inside) == len(set(inside))
    for before, after in pairwise(spans):
        if before.closed_by == "limit":  # what follows a cut is the next utterance, or silence to its end
            between = windows[before.end // W : after.start // W]
            assert before.end == after.start or max(between) < config.onset or len(between) > config.min_samples // W


@given(configs(), probabilities)
def test_what_is_running_becomes_the_span_if_nothing_more_is_said(config, windows):
    segmenter = Segmenter(config)
    for p in windows:
        segmenter.feed(p)
        running = segmenter.running
        assert segmenter.speaking or running is None
        if running is not None:
            assert running.start < running.end == segmenter.position - running.quiet
    running, span = segmenter.running, segmenter.flush()
    assert (running is None) == (span is None)
    if running and span:
        assert (running.start, running.end) == (span.start, span.end)


@given(configs(), probabilities, st.data())
def test_the_same_input_gives_the_same_spans_however_it_is_fed(config, windows, data):
    whole = segment(config, windows)
    segmenter, spans, i = Segmenter(config), [], 0
    while i < len(windows):
        part = windows[i : i + data.draw(st.integers(1, 50))]
        spans += [span for p in part if (span := segmenter.feed(p))]
        i += len(part)
        assert segmenter.position == i * W
    spans += [span for span in (segmenter.flush(),) if span]
    assert spans == whole
    assert segmenter.flush() is None
    assert not segmenter.speaking


@given(configs(), probabilities, st.integers(0, 1000))
def test_a_reset_moves_everything_to_the_new_position_and_forgets(config, windows, offset):
    segmenter = Segmenter(config)
    for p in [1.0] * 40:
        segmenter.feed(p)
    segmenter.reset(offset * W)
    assert not segmenter.speaking
    spans = [segmenter.feed(p) for p in windows] + [segmenter.flush()]
    moved = [(s.start - offset * W, s.end - offset * W, s.closed - offset * W) for s in spans if s]
    assert moved == [(s.start, s.end, s.closed) for s in segment(config, windows)]


def test_one_utterance_in_silence():
    assert segment(SMALL, [0.0] * 5 + [1.0] * 6 + [0.0] * 10) == [
        UtteranceSpan(start=3 * W, end=11 * W, closed=15 * W, closed_by="silence")
    ]


def test_middle_keeps_speech_but_does_not_begin_it_nor_end_a_pause():
    assert segment(SMALL, [0.4] * 20) == []
    assert [s.end // W for s in segment(SMALL, [1.0, 1.0, 0.4, 0.4, 0.4, 0.0, 0.0])] == [5]
    closed = [s.closed // W for s in segment(ROOMY, [1.0] * 3 + [0.0] * 2 + [0.4] * 12)]
    assert closed == [15]  # two windows surely quiet, and ten that count a fifth each


def test_a_click_is_dropped_and_two_words_with_a_short_dip_are_one_utterance():
    assert segment(SMALL, [1.0, 1.0] + [0.0] * 10) == []
    assert [(s.start, s.end // W) for s in segment(SMALL, [1.0, 0.0, 0.0, 1.0] + [0.0] * 9)] == [(0, 4)]


def test_the_pre_roll_does_not_reach_into_the_utterance_before():
    config = replace(SMALL, pre_roll_s=6 * CHUNK_S, min_speech_s=CHUNK_S)
    first, second = segment(config, [1.0] * 4 + [0.0] * 5 + [1.0] * 4 + [0.0] * 5)
    assert (first.end, second.start) == (4 * W, 4 * W)


def test_a_long_utterance_ends_in_the_first_pause_that_is_enough_for_its_length_without_loss():
    windows = [0.9] * 45
    windows[15:18] = [0.0] * 3  # too early
    windows[21] = 0.1  # too short for a pause there
    windows[25:28] = [0.0] * 3
    spans = segment(replace(SMALL, max_utterance_s=30 * CHUNK_S), windows)
    assert (spans[0].start, spans[0].end, spans[0].closed_by) == (0, 25 * W, "limit")
    assert spans[0].closed <= 28 * W
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert spans[-1].end == 45 * W
    assert spans[-1].closed_by == "flush"


def test_a_long_utterance_without_a_pause_is_cut_where_speech_is_least_likely_in_its_last_second():
    windows = [0.9] * 180
    windows[60] = 0.3  # too long ago
    windows[85:88] = [0.5] * 3
    spans = segment(replace(SMALL, max_utterance_s=90 * CHUNK_S), windows)
    assert (spans[0].end // W, spans[0].closed // W, spans[0].closed_by) == (87, 90, "limit")
    assert all(a.end == b.start for a, b in pairwise(spans))


def test_after_a_cut_silence_is_no_utterance():
    spans = segment(SMALL, [0.9] * 14 + [0.0] * 3 + [0.1] * 20)
    assert [(s.start, s.end // W, s.closed_by) for s in spans] == [(0, 14, "limit")]


@given(configs(), probabilities)
def test_what_was_cut_at_the_limit_ended_no_longer_ago_than_a_pause_or_a_second(config, windows):
    for span in segment(config, windows):
        if span.closed_by == "limit":
            slowest = 1 - config.offset / config.onset  # what a quiet window counts at least
            assert span.closed - span.end <= max(16_000, config.silence_samples / (slowest + 1e-9))


JUDGED = SegmenterConfig(end_silence_min_s=6 * CHUNK_S, end_silence_s=16 * CHUNK_S)


def pause(config: SegmenterConfig, complete: float | None) -> int:
    """Windows of quiet that end an utterance of which this is judged in its pause; None: nothing is."""
    segmenter, judged = Segmenter(config), 0
    for p in [1.0] * 10:
        assert not segmenter.feed(p)
    for quiet in range(1, 100):
        if span := segmenter.feed(0.0):
            assert span.closed - span.end == quiet * W
            assert judged <= 1
            return quiet
        if segmenter.in_question and complete is not None:
            segmenter.judge(complete)
            judged += 1
    raise AssertionError("never closed")


def test_what_sounds_finished_ends_at_the_shortest_pause_and_what_does_not_at_the_longest():
    assert [pause(JUDGED, complete) for complete in (1.0, 0.2, 0.19, 0.0)] == [6, 6, 16, 16]
    assert pause(JUDGED, None) == 11


def test_where_all_pauses_are_one_nobody_is_asked():
    fixed = replace(JUDGED, end_silence_s=JUDGED.end_silence_min_s)
    segmenter = Segmenter(fixed)
    for p in [1.0] * 10 + [0.0] * 5:
        segmenter.feed(p)
        assert not segmenter.in_question


def test_a_judgement_holds_for_its_pause_only():
    segmenter = Segmenter(JUDGED)
    asked = []
    for i, p in enumerate([1.0] * 10 + [0.0] * 9 + [1.0] * 4 + [0.0] * 9):
        segmenter.feed(p)
        if segmenter.in_question:
            asked.append(i)
            segmenter.judge(0.0)
    assert asked == [14, 27]


@given(configs(), probabilities, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_whatever_is_judged_the_quiet_that_ends_is_between_shortest_and_longest(config, windows, answers):
    segmenter, spans, asked = Segmenter(config), [], 0
    for p in windows:
        spans.append(segmenter.feed(p))
        if segmenter.in_question:
            segmenter.judge(answers[asked % len(answers)])
            assert not segmenter.in_question
            asked += 1
    for span in filter(None, spans):
        if span.closed_by == "silence":
            quiet = [1 - p / config.onset for p in windows[span.end // W : span.closed // W]]
            assert sum(quiet) >= config.silence_min_samples // W - 1e-6
            assert sum(quiet[:-1]) < config.silence_samples // W


def test_silence_in_doubt_counts_less():
    assert [s.closed // W for s in segment(ROOMY, [1.0] * 6 + [0.25] * 20)] == [14]


def test_speaking_is_true_from_enough_speech_to_the_end_of_the_pause():
    segmenter = Segmenter(SMALL)
    heard = []
    for p in [1.0] * 4 + [0.0] * 6:
        segmenter.feed(p)
        heard.append(segmenter.speaking)
    assert heard == [False, False] + [True] * 5 + [False] * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("onset", 0.0),
        ("onset", float("nan")),
        ("offset", 0.4),
        ("offset", -0.1),
        ("pre_roll_s", -1.0),
        ("min_speech_s", float("nan")),
        ("end_silence_s", float("inf")),
        ("end_silence_min_s", 0.6),
        ("max_utterance_s", 0.8),
    ],
)
def test_a_wrong_config_is_refused_by_the_name_of_the_field(field, value):
    with pytest.raises(ValueError, match=f"^{field} must"):
        SegmenterConfig(**{field: value})


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Segmenter(SMALL).feed(p)


def test_every_state_answers_every_window_and_a_flush():
    for state in _State:
        assert set(_NEXT[state]) >= {_Event.LOUD, _Event.MIDDLE, _Event.QUIET, _Event.FLUSH}
