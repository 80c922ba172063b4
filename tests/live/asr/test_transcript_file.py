"""Cues of a finished transcript: read from three formats, handed to the stretch of speech that they belong to, once."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.asr import transcript_file
from erc_live.live.asr.transcript_file import Cue, CueSheet, overlap_s, read_cues
from erc_live.streams.errors import MediaError

VTT = """WEBVTT

NOTE made by hand

1
00:00:01.000 --> 00:00:02.500
<v Ada &amp; co>Where were
you?</v>

00:00:03.000 --> 00:00:04.000
<i>Out</i> &amp; about.
"""
SRT = "1\n00:00:01,000 --> 00:00:02,500\nWhere were\nyou?\n\n2\n00:00:03,000 --> 00:00:04,000\nOut & about.\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_webvtt_gives_times_words_and_voices(tmp_path: Path) -> None:
    assert read_cues(write(tmp_path / "a.vtt", VTT)) == (
        Cue(1.0, 2.5, "Where were you?", speaker="Ada & co"),
        Cue(3.0, 4.0, "Out & about."),
    )


def test_subrip_gives_times_and_words(tmp_path: Path) -> None:
    assert read_cues(write(tmp_path / "a.SRT", SRT)) == (
        Cue(1.0, 2.5, "Where were you?"),
        Cue(3.0, 4.0, "Out & about."),
    )


def test_json_lines_give_everything(tmp_path: Path) -> None:
    lines = [
        {"start_s": 0, "end_s": 1.5, "text": "Hello  there."},
        {"start_s": 2, "end_s": 3, "text": "Hi.", "speaker": "Ben", "source": "mic-1"},
    ]
    path = write(tmp_path / "a.jsonl", "\n\n".join(json.dumps(line) for line in lines))
    assert read_cues(path) == (Cue(0.0, 1.5, "Hello there."), Cue(2.0, 3.0, "Hi.", "Ben", "mic-1"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"start_s": 0, "end_s": 1, "text": "a"', "line 2"),
        ('{"start_s": 0, "end_s": 1}', r"line 2: .*`text`"),
        ('{"start_s": 0, "end_s": 1, "text": "a", "speeker": "Ada"}', "line 2: .*speeker"),
        ('{"start_s": "0", "end_s": 1, "text": "a"}', r"line 2: .*start_s"),
        ('{"start_s": 2, "end_s": 1, "text": "a"}', "line 2: .*must come after"),
        ('{"start_s": -1, "end_s": 1, "text": "a"}', "line 2: .*both from 0"),
    ],
)
def test_a_wrong_json_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"start_s": 0, "end_s": 1, "text": "fine"}\n' + line)
    with pytest.raises(MediaError, match=complaint):
        read_cues(path)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", b"hello", "a transcript is a .vtt, .srt, .jsonl file"),
        ("a.vtt", b"no header", "not a VTT transcript"),
        ("a.srt", b"no cues", "not a SRT transcript"),
        ("a.vtt", b"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n\xff\xfe\n", "cannot be read"),
        ("a.jsonl", b"\xff\xfa", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=complaint) as caught:
        read_cues(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"gone\.vtt cannot be read"):
        read_cues(tmp_path / "gone.vtt")


def texts(cues: list[Cue]) -> list[str]:
    return [cue.text for cue in cues]


def test_half_of_the_shorter_decides() -> None:
    cues = (Cue(0.0, 2.0, "long"), Cue(2.0, 2.4, "short"))
    assert texts(CueSheet(cues).take(0.9, 5.0, "mic", None)) == ["long", "short"]
    assert texts(CueSheet(cues).take(1.1, 2.19, "mic", None)) == ["long"]  # the span is the shorter, and mostly in it
    assert texts(CueSheet(cues).take(2.3, 9.0, "mic", None)) == []


def test_people_with_a_source_of_their_own_speak_there_only() -> None:
    cues = (Cue(0, 1, "mine", "Ada"), Cue(0, 1, "yours", "Ben"), Cue(0, 1, "anybody's"))
    sheet = CueSheet(cues)
    assert texts(sheet.take(0, 1, "left", "Ada")) == ["mine", "anybody's"]
    assert texts(sheet.take(0, 1, "right", "Ben")) == ["yours"]
    assert texts(CueSheet(cues).take(0, 1, "room", None)) == ["mine", "yours", "anybody's"]
    assert texts(CueSheet(cues).take(0, 1, "room", "Somebody else")) == ["mine", "yours", "anybody's"]


def test_a_cue_with_a_source_belongs_to_it() -> None:
    sheet = CueSheet((Cue(0, 1, "left", source="mic-0"), Cue(0, 1, "right", source="mic-1")))
    assert texts(sheet.take(0, 1, "mic-1", None)) == ["right"]
    assert texts(sheet.take(0, 1, "mic-0", None)) == ["left"]


def test_the_last_call_of_a_span_counts() -> None:
    sheet = CueSheet((Cue(0, 1, "one"), Cue(1, 2, "two"), Cue(2, 3, "three")))
    assert texts(sheet.take(0, 3, "mic", None)) == ["one", "two", "three"]
    assert texts(sheet.take(0, 2, "mic", None)) == ["one", "two"]
    assert texts(sheet.take(2, 3, "mic", None)) == ["three"]  # was given back
    assert texts(sheet.take(0, 3, "elsewhere", None)) == []


times = st.floats(0, 100, allow_nan=False)
spans = st.tuples(times, times).map(sorted)


@given(cues=st.lists(spans, max_size=12), takes=st.lists(spans, max_size=12, unique_by=lambda span: span[0]))
def test_no_cue_is_spoken_twice_and_each_belongs_where_it_is_spoken(
    cues: list[list[float]], takes: list[list[float]]
) -> None:
    given_cues = tuple(Cue(start, end, str(index)) for index, (start, end) in enumerate(cues))
    sheet = CueSheet(given_cues)
    spoken = []
    for start, end in sorted(takes):
        taken = sheet.take(start, end, "mic", None)
        spoken += taken
        assert taken == sorted(taken, key=lambda cue: cue.start_s)
        assert all(2 * overlap_s(cue, start, end) >= min(cue.end_s - cue.start_s, end - start) for cue in taken)
    assert len(spoken) == len(set(spoken))
    assert set(spoken) <= set(given_cues)


@given(data=st.data(), cues=st.lists(spans, max_size=12), edges=st.lists(times, min_size=2, max_size=12, unique=True))
def test_whatever_is_asked_early_the_final_answers_are_the_same(
    data: st.DataObject, cues: list[list[float]], edges: list[float]
) -> None:
    given_cues = tuple(Cue(start, end, str(index)) for index, (start, end) in enumerate(cues))
    alone, hurried = CueSheet(given_cues), CueSheet(given_cues)
    for start, end in itertools.pairwise(sorted(edges)):
        for until in data.draw(st.lists(st.floats(start, end), max_size=3)):  # drafts and early calls of the running
            ask = data.draw(st.sampled_from([hurried.look, hurried.take]))  # utterance, perhaps a part of it
            ask(data.draw(st.floats(start, until)), until, "mic", None)
        assert hurried.take(start, end, "mic", None) == alone.take(start, end, "mic", None)


@given(cues=st.lists(spans, max_size=12), finals=st.lists(spans, max_size=6), drafts=st.lists(spans, max_size=6))
def test_drafts_take_nothing_from_any_source(
    cues: list[list[float]], finals: list[list[float]], drafts: list[list[float]]
) -> None:
    given_cues = tuple(Cue(start, end, str(index)) for index, (start, end) in enumerate(cues))
    alone, hurried = CueSheet(given_cues), CueSheet(given_cues)
    for index, (start, end) in enumerate(finals):
        for draft in drafts:
            hurried.look(*draft, "another", None)
        assert hurried.take(start, end, f"mic-{index % 2}", None) == alone.take(start, end, f"mic-{index % 2}", None)


@given(st.lists(st.integers(0, 500), min_size=2, max_size=40, unique=True))
def test_a_detector_that_agrees_with_the_transcript_gets_every_cue(edges: list[int]) -> None:
    marks = sorted(edges)
    cues = tuple(Cue(a / 10, b / 10, str(a)) for a, b in zip(marks[::2], marks[1::2], strict=False))
    sheet = CueSheet(cues)
    assert [sheet.take(cue.start_s, cue.end_s, "mic", None) for cue in cues] == [[cue] for cue in cues]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 2, 7, 30]), st.sampled_from([None, "mic-0", "x"]))),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8), st.sampled_from(["mic-0", "mic-1"]), st.booleans())),
)
def test_cues_are_those_that_a_look_at_each_one_gives(given_cues, asked) -> None:
    cues = tuple(Cue(s, s + length, str(n), source=source) for n, (s, length, source) in enumerate(given_cues))
    sheet, ordered = CueSheet(cues), sorted(cues, key=lambda cue: cue.start_s)
    spoken: dict[Cue, tuple[str, int]] = {}
    for start_s, length_s, source, final in asked:
        free = [
            cue
            for cue in ordered
            if (cue not in spoken or (spoken[cue][0] == source and spoken[cue][1] >= start_s))
            and 2 * overlap_s(cue, start_s, start_s + length_s) >= min(length_s, cue.end_s - cue.start_s)
            and cue.source in (None, source)
        ]
        if not final:
            assert sheet.look(start_s, start_s + length_s, source, None) == [
                cue for cue in free if cue.end_s <= start_s + length_s
            ]
            continue
        assert sheet.take(start_s, start_s + length_s, source, None) == free
        spoken = {cue: span for cue, span in spoken.items() if span[0] != source or span[1] < start_s}
        spoken |= dict.fromkeys(free, (source, start_s))


def test_of_many_cues_only_those_near_by_are_looked_at(monkeypatch) -> None:
    looked, belong = [0], transcript_file._belong_together

    def counted(*arguments) -> bool:
        looked[0] += 1
        return belong(*arguments)

    monkeypatch.setattr(transcript_file, "_belong_together", counted)
    film = Cue(0.0, 100_000.0, "(music)")  # one that reaches over all the others
    sheet = CueSheet((film, *(Cue(n * 2.0, n * 2.0 + 1.5, f"word {n}") for n in range(50_000))))
    for n in range(0, 50_000, 100):
        assert f"word {n}" in [cue.text for cue in sheet.take(n * 2.0, n * 2.0 + 1.5, "mic-0", None)]
    assert looked[0] <= 500 * 4
