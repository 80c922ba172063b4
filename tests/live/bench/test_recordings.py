"""Recordings with their references: RTTM read strictly, loudness where there is one file per person, and mixing."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.bench.recordings import Recording, SpeakerSegment, find, joined, read_rttm, sounding
from erc_live.live.errors import ConfigError
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import SAMPLE_RATE_HZ

LINE = "SPEAKER talk 1 0.500 1.250 <NA> <NA> Ann <NA> <NA>\n"
stretches = st.lists(
    st.tuples(st.integers(0, 100), st.integers(1, 20)).map(lambda s: (s[0] / 10, (s[0] + s[1]) / 10)), max_size=12
)


def talk(*loud_s, length_s=4.0, amplitude=8_000, noise=3):
    """Noise, and a tone from and to the given seconds."""
    t = np.arange(int(length_s * SAMPLE_RATE_HZ))
    pcm = np.random.default_rng(0).normal(0, noise, len(t))
    for start_s, end_s in loud_s:
        inside = (t >= start_s * SAMPLE_RATE_HZ) & (t < end_s * SAMPLE_RATE_HZ)
        pcm += np.where(inside, amplitude * np.sin(t * 0.1), 0)
    return np.round(pcm).astype(np.int16)


def sound(path, *loud_s, **more):
    path.write_bytes(encode_flac(talk(*loud_s, **more)))
    return path


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def rounded(segments):
    return [(round(s.start_s, 2), round(s.end_s, 2)) for s in segments]


def test_segments_are_read_in_the_order_of_time_and_other_lines_are_passed_over(tmp_path):
    other = ";; a comment\n\nSPKR-INFO talk 1 <NA> <NA> <NA> unknown Ann <NA> <NA>\n"
    early = "SPEAKER talk 1 0.1 0.2 <NA> <NA> Bén <NA>\nSPEAKER more 1 0 1 <NA> <NA> Ann\n"
    found = read_rttm(write(tmp_path / "x.rttm", other + LINE + early))
    assert found["talk"] == (SpeakerSegment(0.1, pytest.approx(0.3), "Bén"), SpeakerSegment(0.5, 1.75, "Ann"))
    assert list(found) == ["talk", "more"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LINE + "SPEKER talk 1 0 1 <NA> <NA> Ann\n", r"x\.rttm:2: 'SPEKER' is no type"),
        (LINE + "SPEAKER talk 1 0 1 <NA>\n", r"x\.rttm:2: .* 8 to 10 fields"),
        ("SPEAKER talk 1 zero 1 <NA> <NA> Ann\n", r"x\.rttm:1: .* numbers, not 'zero'"),
        ("SPEAKER talk 1 0 nan <NA> <NA> Ann\n", r"x\.rttm:1: "),
        ("SPEAKER talk 1 -1 2 <NA> <NA> Ann\n", r"x\.rttm:1: "),
        ("SPEAKER talk 1 1 0 <NA> <NA> Ann\n", r"x\.rttm:1: "),
        ("SPEAKER\n", r"x\.rttm:1: .* fields"),
        ("\n", "no SPEAKER line"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as raised:
        read_rttm(write(tmp_path / "x.rttm", text))
    assert "\n" not in str(raised.value)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "x.rttm").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "x.rttm", tmp_path / "none.rttm", tmp_path):
        with pytest.raises(ConfigError, match="not readable as RTTM"):
            read_rttm(path)


def test_a_folder_with_rttm_holds_one_recording_per_file_that_it_knows(tmp_path):
    talk_file = sound(tmp_path / "talk.flac", (0.5, 1.75))
    sound(tmp_path / "unknown.flac", (1, 2))
    write(tmp_path / "all.rttm", LINE)
    (recording,) = find([tmp_path])
    assert recording == Recording("talk", (talk_file,), (SpeakerSegment(0.5, 1.75, "Ann"),))
    (track,) = recording.tracks()
    assert (track.name, track.duration_s, track.segments) == ("talk", 4.0, recording.segments)


def test_a_folder_without_rttm_is_one_file_per_person(tmp_path):
    files = (sound(tmp_path / "ann.flac", (0.5, 1.5)), sound(tmp_path / "ben.flac", (2, 3), length_s=5.0))
    (recording,) = find([tmp_path])
    assert recording == Recording(tmp_path.name, files, None)
    assert [(t.name, rounded(t.segments)) for t in recording.tracks()] == [("ann", [(0.5, 1.5)]), ("ben", [(2, 3)])]
    mixed = recording.mixed()
    assert [(s.speaker, s.start_s) for s in mixed.segments] == [("ann", 0.5), ("ben", 2.0)]
    assert mixed.duration_s == 5.0
    assert find(list(files)) == [recording]


def test_mixing_clips_and_does_not_wrap_around(tmp_path):
    for name in ("ann", "ben"):
        sound(tmp_path / f"{name}.flac", (0, 4), amplitude=30_000)
    (recording,) = find([tmp_path])
    one, both = recording.tracks()[0].pcm.astype(int), recording.mixed().pcm.astype(int)
    assert np.array_equal(both, np.clip(2 * one, -32_768, 32_767))


def test_what_has_no_reference_is_refused(tmp_path):
    file = sound(tmp_path / "other.flac", (0, 1))
    rttm = write(tmp_path / "x.rttm", LINE)
    empty = tmp_path / "empty"
    empty.mkdir()
    for paths, said in [
        ([file], "nothing about other"),
        ([tmp_path], "called so"),
        ([empty], "no sound"),
        ([], "no rec"),
    ]:
        with pytest.raises(ConfigError, match=said):
            find(paths, rttm)
    with pytest.raises(ConfigError, match="two are called other"):
        find([file, sound(empty / "other.flac", (0, 1))])


@pytest.mark.parametrize("amplitude", [200, 2_000, 30_000])
def test_loudness_finds_who_speaks_at_any_level(amplitude):
    pcm = talk((0.5, 1.5), (2.5, 3.0), amplitude=amplitude)
    found = sounding(pcm + np.int16(500), [SpeakerSegment(0.0, 4.0, "Ann")])  # an offset is no sound
    assert rounded(found) == [(0.5, 1.5), (2.5, 3.0)]
    assert {s.speaker for s in found} == {"Ann"}


def test_gaps_within_words_are_bridged_and_clicks_dropped():
    pcm = talk((0.5, 1.0), (1.15, 1.5), (2.0, 2.05), (2.6, 3.0))
    assert rounded(sounding(pcm, [SpeakerSegment(0.0, 4.0, "Ann")])) == [(0.5, 1.5), (2.6, 3.0)]


def test_nobody_is_heard_in_noise_in_silence_and_beyond_the_end():
    everything = [SpeakerSegment(0.0, 4.0, "Ann"), SpeakerSegment(9.0, 12.0, "Ben")]
    for pcm in (talk(), talk(noise=3_000), np.zeros(64_000, np.int16), np.zeros(0, np.int16)):
        assert sounding(pcm, everything) == ()


def test_an_annotated_segment_loses_its_pause_and_nothing_is_added_to_it():
    pcm = talk((0.5, 1.0), (2.0, 3.5))
    assert rounded(sounding(pcm, [SpeakerSegment(0.4, 3.0, "Ann")])) == [(0.5, 1.0), (2.0, 3.0)]


@given(stretches, st.sampled_from([0.0, 0.3, 0.5]))
def test_joined_covers_the_same_and_leaves_only_long_gaps(given_, gap):
    found = joined(given_, gap)
    assert all(later[0] - earlier[1] >= gap - 1e-6 and later[0] > earlier[1] for earlier, later in pairwise(found))
    assert all(any(a <= start and end <= b for a, b in found) for start, end in given_)
    assert {edge for stretch in found for edge in stretch} <= {edge for stretch in given_ for edge in stretch}


def test_the_shared_recordings_can_be_read(shared_data: Path):
    meetings, (call,) = find([shared_data / "recordings" / "ami"]), find([shared_data / "recordings" / "call"])
    assert len(meetings) == 10
    assert sum(len(m.segments or ()) for m in meetings) == 77
    shares = [sum(s.end_s - s.start_s for s in t.segments) / t.duration_s for t in call.tracks()]
    assert all(0.25 < share < 0.45 for share in shares)
