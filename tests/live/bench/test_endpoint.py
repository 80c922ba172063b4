"""What counts as an end, a false cut-off and a missed end, on utterances made by hand; and the command on the demo."""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import erc_live.live.demo.make as demo
from erc_live.live.bench.endpoint import Tally, TurnReference, bench_endpoint, count, met
from erc_live.live.bench.endpoint_report import plot, render
from erc_live.live.bench.recordings import MicrophoneTrack, SpeakerSegment, find
from erc_live.live.commands import bench as bench_commands
from erc_live.live.errors import ConfigError
from erc_live.live.perception.turn_detection import SmartTurn
from erc_live.streams.messages import SAMPLE_RATE_HZ, UtteranceSpan
from erc_live.streams.segmenter import SegmenterConfig

# Two turns in 10 s; the second is held for 1.5 s after it was interrupted.
TURNS = TurnReference(turns=((1.0, 3.0), (5.0, 6.0)), held=((1.0, 3.0), (5.0, 7.5)), duration_s=10.0, pause_s=0.5)


def utterance(start_s, end_s, closed_s, by="silence"):
    start, end, closed = (round(s * SAMPLE_RATE_HZ) for s in (start_s, end_s, closed_s))
    return UtteranceSpan(start=start, end=end, closed=closed, closed_by=by)


def tally(*spans, reference=TURNS):
    found = Tally()
    count(found, spans, reference)
    return found


def test_the_delay_is_from_the_end_of_the_turn_to_the_closing():
    found = tally(utterance(0.9, 3.1, 3.5), utterance(4.9, 5.9, 6.3))
    assert found.delays == pytest.approx([0.5, 0.3])
    assert (found.closed, found.false, found.missed, found.unheard) == (2, 0, 0, 0)


def test_closing_while_the_turn_goes_on_is_a_false_cut_off_and_the_end_is_met_by_the_next_utterance():
    found = tally(utterance(0.9, 1.8, 2.2), utterance(2.1, 3.0, 3.4), utterance(4.9, 6.0, 6.4))
    assert (found.false, found.closed) == (1, 3)
    assert found.delays == pytest.approx([0.4, 0.4])


def test_a_closing_that_is_early_by_less_than_the_collar_is_an_end():
    found = tally(utterance(0.9, 2.5, 2.8), utterance(4.9, 6.0, 6.4))
    assert found.delays == pytest.approx([-0.2, 0.4])
    assert found.false == 0


def test_an_utterance_that_goes_on_into_the_next_turn_misses_the_end():
    found = tally(utterance(0.9, 6.0, 6.4))
    assert (found.missed, found.delays) == (1, [pytest.approx(0.4)])


def test_a_closing_after_the_next_turn_has_begun_but_without_it_is_only_late():
    assert tally(utterance(0.9, 3.2, 5.1)).delays == [pytest.approx(2.1)]


def test_what_was_not_heard_is_no_delay():
    assert tally().unheard == 2
    cut = tally(utterance(0.9, 1.5, 1.9), utterance(4.9, 6.0, 6.4))
    assert (cut.unheard, cut.false, len(cut.delays)) == (1, 1, 1)


def test_a_cut_at_the_limit_is_counted_apart_and_may_meet_an_end():
    found = tally(utterance(0.9, 2.0, 2.2, "limit"), utterance(2.0, 3.0, 3.4), utterance(4.9, 6.0, 6.4, "limit"))
    assert (found.splits, found.closed, found.false, len(found.delays)) == (2, 1, 0, 2)


def test_the_end_of_the_recording_tells_nothing():
    found = tally(utterance(0.9, 3.0, 3.4), utterance(4.9, 6.0, 10.0, "flush"))
    assert (len(found.delays), found.missed, found.unheard, found.closed) == (1, 0, 0, 1)
    short = TurnReference(turns=((1.0, 3.0),), held=((1.0, 3.0),), duration_s=3.2, pause_s=0.5)
    assert tally(reference=short).unheard == 0


def test_an_utterance_of_no_speech_is_no_false_cut_off():
    found = tally(utterance(3.5, 4.2, 4.6))
    assert (found.from_nothing, found.closed) == (1, 0)


def test_a_pause_in_which_a_turn_is_held_is_counted_apart():
    found = tally(utterance(4.9, 6.0, 6.4))
    assert (found.false, found.held) == (0, 1)


@pytest.mark.parametrize(
    ("segments", "others", "held"),
    [
        ([(0.5, 1.5, "Ann"), (2.5, 3.5, "Ann")], [], [(0.5, 3.5)]),
        ([(0.5, 1.5, "Ann"), (2.5, 3.5, "Ben")], [], [(0.5, 1.5), (2.5, 3.5)]),
        ([(0.5, 1.5, "Ann"), (2.5, 3.5, "Ann")], [(1.8, 2.2, "Ben")], [(0.5, 1.5), (2.5, 3.5)]),
        ([(0.5, 1.5, "Ann"), (3.6, 4.5, "Ann")], [], [(0.5, 1.5), (3.6, 4.5)]),
    ],
)
def test_a_turn_is_held_by_one_person_for_a_while_if_nobody_else_speaks(segments, others, held):
    """Somebody who goes on; somebody else; somebody at another microphone meanwhile; and too late."""
    tone = (8_000 * np.sin(np.arange(5 * SAMPLE_RATE_HZ) * 0.1)).astype(np.int16)
    at_s = np.arange(len(tone)) / SAMPLE_RATE_HZ
    own = [SpeakerSegment(*segment) for segment in segments]
    pcm = np.where(np.any([(s.start_s <= at_s) & (at_s < s.end_s) for s in own], axis=0), tone, 0).astype(np.int16)
    other = MicrophoneTrack("o", tone, tuple(SpeakerSegment(*segment) for segment in others))
    reference = TurnReference.of(MicrophoneTrack("t", pcm, tuple(own)), 0.5, [other])
    assert reference.held == tuple(pytest.approx(turn, abs=0.02) for turn in held)


def test_the_reference_is_what_can_be_heard_of_all_speakers_together():
    t = np.arange(6 * SAMPLE_RATE_HZ)
    loud = ((t > 16_000) & (t <= 32_000)) | ((t > 36_800) & (t <= 48_000)) | ((t > 64_000) & (t <= 80_000))
    pcm = np.where(loud, 8_000 * np.sin(t * 0.1), 0).astype(np.int16)
    track = MicrophoneTrack("t", pcm, (SpeakerSegment(0.5, 2.5, "Ann"), SpeakerSegment(2.1, 5.5, "Ben")))
    heard = TurnReference.of(track, 0.5)
    assert heard.turns == (pytest.approx((1.0, 3.0), abs=0.02), pytest.approx((4.0, 5.0), abs=0.02))
    assert heard.held == (pytest.approx((1.0, 5.0), abs=0.02),)  # Ben speaks on both sides of the gap


def always_finished(pcm):
    assert pcm.dtype == np.int16
    return 1.0


@pytest.fixture(scope="module")
def report():
    folder = Path(demo.__file__).parent
    return bench_endpoint(
        find([folder / "ada.flac", folder / "ben.flac"]), SegmenterConfig(), always_finished, [0.6, 0.3, 0.3]
    )


def test_waiting_longer_takes_longer(report):
    assert [row.setting for row in report.rows] == ["0.3 s", "0.6 s", "pauses", ">= 0.3 s", "detector"]
    short, long, pauses, later, detector = report.rows
    assert 0.25 < (long.p50_ms - short.p50_ms) / 1000 < 0.35
    assert 0 < detector.p50_ms < short.p50_ms < long.p50_ms < 1000
    assert detector.p50_ms < pauses.p50_ms < long.p50_ms
    assert later.p50_ms == short.p50_ms
    assert detector.silence_s is None
    assert detector.ends > 10
    assert report.turns_asked > 10
    for row in report.rows:
        assert row.false == row.unheard == row.from_nothing == 0
        assert row.false_interval == (0, 0)
        assert row.held_share >= row.false_share
    assert report.core_share < 0.05


def test_the_table_fits_80_columns_and_the_rest_is_json(report, tmp_path):
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(render(report))
    shown = capture.get()
    assert "detector" in shown
    assert "unheard" in shown
    plain = json.loads(json.dumps(report.plain()))
    assert {target["name"] for target in plain["targets"]} >= {"delay p50, ms", "false cut-offs, %"}
    plot(tmp_path / "curve.svg", report)
    assert (tmp_path / "curve.svg").read_text(encoding="utf-8").startswith("<?xml")
    with pytest.raises(ConfigError, match="--plot"):
        plot(tmp_path / "curve.odd", report)


def test_settings_out_of_range_are_refused():
    for silences, pause, said in [
        ([-1.0], 0.5, "--silence -1"),
        ([20.0], 0.5, "--silence 20"),
        ([0.5], 0.0, "--pause"),
    ]:
        with pytest.raises(ConfigError, match=said):
            bench_endpoint([], SegmenterConfig(), None, silences, pause)


def test_the_command_shows_and_prints(capsys, monkeypatch, tmp_path):
    folder = Path(demo.__file__).parent
    bench_commands.bench_endpoint(
        [folder / "ada.flac"], silence=[0.4], sets=["perception.turn_detector=none"], as_json=True
    )
    plain = json.loads(capsys.readouterr().out)
    assert [row["setting"] for row in plain["rows"]] == ["0.4 s", "pauses"]
    assert plain["turn_ms"] is None
    with pytest.raises(ConfigError, match="no sound file"):
        bench_commands.bench_endpoint([tmp_path])


@pytest.mark.real
def test_the_call_meets_its_targets(shared_data, smart_turn):
    call = bench_endpoint(find([shared_data / "recordings" / "call"]), SegmenterConfig(), SmartTurn(smart_turn), [0.5])
    assert call.used.setting == "detector"
    assert all(met(value, limit) for name, value, limit in call.targets() if "core" not in name)
    assert call.used.p50_ms < call.rows[1].p50_ms < call.rows[0].p50_ms
