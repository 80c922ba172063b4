"""Captions as people's tools write them: every word once, at its own time; what cannot be, named with its line."""

import codecs
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.asr.captions import Cue, read_captions
from erc_live.live.asr.transcribers import Speech, TranscriptFile
from erc_live.live.asr.transcript_file import read_cues
from erc_live.streams.errors import MediaError

NAME = Path("some.vtt")
ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:01.100 --> 00:00:03.400 align:start position:0%
\x20
I missed<00:00:01.900><c> the last train</c>

00:00:03.400 --> 00:00:03.410 align:start position:0%
I missed the last train
\x20

00:00:04.600 --> 00:00:07.300 align:start position:0%
I missed the last train
you should<00:00:05.500><c> have left</c>
"""


def vtt(text: str) -> tuple[Cue, ...]:
    return read_captions("WEBVTT\n\n" + text, NAME, subrip=False)


def srt(text: str) -> tuple[Cue, ...]:
    return read_captions(text, NAME, subrip=True)


def plain(cues: tuple[Cue, ...]) -> list[tuple[float, float, str]]:
    return [(cue.start_s, cue.end_s, cue.text) for cue in cues]


def test_rolling_captions_give_each_word_once_at_its_own_time() -> None:
    cues = read_captions(ROLLING, NAME, subrip=False)
    assert plain(cues) == [(1.1, 3.4, "I missed the last train"), (4.6, 7.3, "you should have left")]
    words = [word for cue in cues for word in cue.words]
    starts = {word.text: word.start_s for word in words}
    assert (starts["I"], starts["the"], starts["you"], starts["have"]) == (1.1, 1.9, 4.6, 5.5)
    assert all(a.start_s < a.end_s <= b.start_s for a, b in pairwise(words))
    assert words[-1].end_s == 7.3


def test_words_with_times_reach_the_utterance_and_stay_inside_it(tmp_path: Path) -> None:
    (tmp_path / "a.vtt").write_text(ROLLING, encoding="utf-8")
    heard = TranscriptFile(tmp_path / "a.vtt").transcribe(Speech(None, "mic-0", 1.0, 3.0))
    assert heard.text == "I missed the last train"
    assert [word.text for word in heard.words] == heard.text.split()
    assert heard.words[2].start_s == pytest.approx(0.9)
    assert heard.words[-1].end_s == pytest.approx(2.0), "of what is heard, no more"


def test_rolling_without_any_stamps() -> None:
    text = """1
00:00:01,000 --> 00:00:03,000
I missed the last train

2
00:00:03,000 --> 00:00:03,000
I missed the last train

3
00:00:03,100 --> 00:00:05,000
I missed the last train
you should have left

4
00:00:05,000 --> 00:00:07,000
you should have left
I know
"""
    assert [cue.text for cue in srt(text)] == ["I missed the last train", "you should have left", "I know"]


def test_captions_that_grow_word_by_word() -> None:
    said = ["now", "nobody", "can", "drive", "me", "home"]
    text = "".join(f"00:{n:02}.000 --> 00:{n + 1:02}.000\n{' '.join(said[: n + 1])}\n\n" for n in range(len(said)))
    assert plain(vtt(text)) == [(n, n + 1, word) for n, word in enumerate(said)]


@pytest.mark.parametrize(
    "said",
    [
        ["No.", "No."],
        ["No.", "No. Never."],
        ["I know", "I know what you mean", "Good"],
        ["a b", "b c", "x", "y", "z w"],
    ],
)
def test_who_repeats_a_word_is_heard_twice(said: list[str]) -> None:
    text = "".join(f"00:{n:02}.000 --> 00:{n + 1:02}.000\n{line}\n\n" for n, line in enumerate(said))
    assert [cue.text for cue in vtt(text)] == said


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=5, unique=True), min_size=3, max_size=8))
def test_whatever_rolls_by_is_read_as_it_was_said(lines: list[list[str]]) -> None:
    """Two lines stand there at once, the upper one from before; each word of the lower one has a time."""
    lines = [[f"{word}{number}" for word in line] for number, line in enumerate(lines)]
    text = ""
    for number, line in enumerate(lines):
        stamped = "".join(
            word if not n else f"<00:00:{number:02}.{100 * n}><c> {word}</c>" for n, word in enumerate(line)
        )
        upper = " ".join(lines[number - 1]) if number else " "
        text += f"00:{number:02}.000 --> 00:{number:02}.990\n{upper}\n{stamped}\n\n"
    found = [word for cue in vtt(text) for word in cue.words]
    assert [word.text for word in found] == [word for line in lines for word in line]
    assert [word.start_s for word in found] == [
        round(n + 0.1 * m, 3) for n, line in enumerate(lines) for m in range(len(line))
    ]


ONE = "1\n00:00:01,000 --> 00:00:02,500\nÇa va, Zoë?\n"


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + ONE.encode(),
        codecs.BOM_UTF16_LE + ONE.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + ONE.encode("utf-16-be"),
        ONE.encode("cp1252"),
        ONE.replace("\n", "\r\n").encode(),
        ONE.replace("\n", "\r").encode(),
        b"\n\n" + ONE.encode(),
        ONE.removeprefix("1\n").encode(),
        ONE.replace(",", ".").encode(),
        ONE.replace("02,500", "02,500 X1:40 X2:600").encode(),
    ],
)
def test_subrip_in_any_dress(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.srt").write_bytes(data)
    (cue,) = read_cues(tmp_path / "a.srt")
    assert (cue.start_s, cue.end_s) == (1.0, 2.5)
    assert cue.text in ("Ça va, Zoë?", "Ça va. Zoë?")


@pytest.mark.parametrize("suffix", ["vtt", "jsonl", "srt"])
def test_a_mark_of_the_byte_order_is_no_letter(tmp_path: Path, suffix: str) -> None:
    texts = {
        "vtt": "WEBVTT\n\n00:01.100 --> 00:03.400\nI missed the last train.\n",
        "jsonl": '{"start_s":1.1,"end_s":3.4,"text":"I missed the last train."}\n',
        "srt": "1\n00:00:01,100 --> 00:00:03,400\nI missed the last train.\n",
    }
    for code in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / f"a.{suffix}").write_bytes(texts[suffix].encode(code))
        assert plain(read_cues(tmp_path / f"a.{suffix}")) == [(1.1, 3.4, "I missed the last train.")]


def test_what_is_no_speech_in_a_webvtt_file_is_passed_over() -> None:
    text = """WEBVTT - made by hand
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

STYLE
::cue { color: red }

REGION
id:left

NOTE one
line --> of it

first
01:00.000 --> 01:02.000 line:0
<v.loud Ada>Hi <b>there</b></v>

NOTE the end
"""
    assert read_captions(text, NAME, subrip=False) == (Cue(60.0, 62.0, "Hi there", speaker="Ada"),)


def test_several_people_in_one_cue_are_each_heard() -> None:
    cues = vtt("00:01.000 --> 00:02.000\n<v Ada>Where?</v>\n<v Ben>There.</v>\n")
    assert cues == (Cue(1.0, 2.0, "Where?", speaker="Ada"), Cue(1.0, 2.0, "There.", speaker="Ben"))


def test_overlapping_cues_both_stay() -> None:
    assert [c.text for c in vtt("00:01.000 --> 00:03.000\none\n\n00:02.000 --> 00:04.000\ntwo\n")] == ["one", "two"]


def test_tags_of_other_tools_are_no_words_and_signs_are() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<font color='red'>2 < 3 &amp; <i>so</i> on</font>\n"
    assert srt(text)[0].text == "2 < 3 & so on"


def test_lines_that_stand_apart_belong_to_what_is_above_them() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\none\n\ntwo\n\n2\n00:00:03,000 --> 00:00:04,000\nthree\n4\n"
    assert [cue.text for cue in srt(text)] == ["one two", "three 4"]


def test_cues_without_an_empty_line_between_them() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:03,000 --> 00:00:04,000\ntwo\n"
    assert [cue.text for cue in srt(text)] == ["one", "two"]


@pytest.mark.parametrize("unseen", ["", " ", "\u200b", "\u200b\ufeff\u2060", "<i></i>", "&nbsp;", "\u00ad\u2800"])
def test_what_cannot_be_seen_is_no_word(unseen: str) -> None:
    assert [c.text for c in vtt(f"00:01.000 --> 00:02.000\n{unseen}\n\n00:03.000 --> 00:04.000\nwell\n")] == ["well"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("00:03.000 --> 00:04.000\nfine\n\n00:02.000 --> 00:01.000\nbackwards\n", "line 6: .*backwards"),
        ("00:01.000 --> 00:01.000\nat once\n", "line 3: the cue ends at 1.000 s and begins at 1.000 s"),
        ("00:01.000 -> 00:02.000\narrow\n\n00:03.000 --> 00:04.000\nfine\n", "line 3: not the times of a cue"),
        ("00:61.000 --> 01:02.000\nseconds\n", "line 3: not the times of a cue"),
        ("soon --> later\nwords\n", "line 3: not the times of a cue"),
        ("", "no cue in it"),
    ],
)
def test_a_cue_that_cannot_be_is_named(text: str, complaint: str) -> None:
    with pytest.raises(MediaError, match=complaint) as caught:
        vtt(text)
    assert str(NAME) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("times", ["00:00:01,000 --> 00:00:02,000", "1:01.00 --> 1:02.5", "00:01 --> 00:02"])
def test_times_are_read_however_many_digits_they_have(times: str) -> None:
    (cue,) = vtt(f"{times}\nwell\n")
    assert 1.0 <= cue.start_s < cue.end_s <= 62.5


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "line", ["1:1" + " " * 20_000, "1:" * 20_000, "<v " * 20_000, "<a" * 20_000, "{\\" * 20_000, "9" * 20_000]
)
def test_a_line_that_nobody_would_write_costs_no_time(line: str) -> None:
    text = f"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nwell\n{line}\n"
    assert len(read_captions(text, Path("x.vtt"), subrip=False)) == 1


def test_times_with_digits_without_end_are_named() -> None:
    with pytest.raises(MediaError, match="line 3: not the times of a cue"):
        read_captions(f"WEBVTT\n\n{'9' * 5000}:00:01.000 --> 00:00:02.000\nwell\n", Path("x.vtt"), subrip=False)
