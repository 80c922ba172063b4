"""The words of a recording are found where people keep them, and a text that is wrong is refused with its line."""

from pathlib import Path

import numpy as np
import pytest

from erc_live.live.bench.references import Clip, Reference, find_clips, read_stm
from erc_live.live.errors import ConfigError
from erc_live.streams.media import encode_flac

VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ada>Well,\n\n00:02.000 --> 00:04.000\nno.\n"


def sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_flac(np.zeros(16_000, np.int16)))
    return path


def test_words_lie_beside_the_sound(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Hello there.\nYou!")
    (tmp_path / "c.vtt").write_text(VTT)
    a, b, c = (sound(tmp_path / f"{name}.flac") for name in "abc")
    expected = [Clip(b, Reference(("Hello there. You!",))), Clip(c, Reference(("Well,", "no.")))]
    assert find_clips([tmp_path]) == expected
    assert find_clips([b]) == expected[:1]
    with pytest.raises(ConfigError, match=r"a\.flac: its words are missing; put them beside it as a\.txt"):
        find_clips([a])
    with pytest.raises(ConfigError, match="no recording with its words"):
        find_clips([])


def test_a_tree_of_librispeech_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    folder = tmp_path / "dev-clean" / "84" / "121123"
    clips = [sound(folder / f"84-121123-000{number}.flac") for number in (0, 1)]
    (folder / "84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS\n")
    expected = [Clip(clips[0], Reference(("GO DO YOU HEAR",))), Clip(clips[1], Reference(("BUT IN LESS",)))]
    assert find_clips([tmp_path]) == expected


def test_an_stm_is_about_many_recordings(tmp_path: Path) -> None:
    stm = tmp_path / "all.stm"
    stm.write_text(
        ";; a comment\n"
        "one 1 inter_segment_gap 0 2.5 <o,,unknown> IGNORE_TIME_SEGMENT_IN_SCORING\n"
        "one 1 ben 6.0 8.0 <o,f0,male> {yes / yeah} i {uh / @} said so\n"
        "one 1 ada 3.0 5.0 <o,f0,female> is it\n"
        "two A x 0.00 1.00 hello {@ / um}\n"
        "three 1 x 0 9 <NA>\n"
    )
    expected = {
        "one": Reference(("is it", "yes i uh said so"), ((0.0, 2.5),)),
        "two": Reference(("hello",)),
        "three": Reference(),
    }
    assert read_stm(stm) == expected
    one = sound(tmp_path / "one.flac")
    assert find_clips([tmp_path]) == [Clip(one, expected["one"])]
    elsewhere = sound(tmp_path / "sounds" / "two.flac")
    assert find_clips([elsewhere], texts=[stm]) == [Clip(elsewhere, expected["two"])]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("one 1 ada 3.0", "is: file channel speaker start end <labels> words"),
        ("one 1 ada three 5.0 <o> hello", "start and end must be numbers, not 'three' and '5.0'"),
        ("one 1 ada 5.0 3.0 <o> hello", "a segment from 5.0 to 3.0 s"),
        ("one 1 ada nan 3.0 <o> hello", "a segment from nan to 3.0 s"),
    ],
)
def test_a_wrong_line_of_an_stm_is_named(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "a.stm").write_text(f";; fine\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_stm(tmp_path / "a.stm")
    assert f"a.stm:2: {reason}" in str(caught.value).replace("a line of an STM ", "")


def test_texts_that_lie_elsewhere_are_given(tmp_path: Path) -> None:
    talk, other = sound(tmp_path / "sounds" / "talk.flac"), sound(tmp_path / "sounds" / "other.flac")
    (tmp_path / "words").mkdir()
    words = tmp_path / "words" / "talk.txt"
    words.write_text("one two")
    expected = Reference(("one two",))
    assert find_clips([talk.parent], texts=[words.parent]) == [Clip(talk, expected)]
    assert find_clips([other], texts=[words]) == [Clip(other, expected)]  # both alone: whatever their names
    with pytest.raises(ConfigError, match=r"other\.flac: its words are missing"):
        find_clips([talk, other], texts=[words])
    with pytest.raises(ConfigError, match=r"--reference .*talk\.flac: a text is one of"):
        find_clips([talk], texts=[talk])
    with pytest.raises(ConfigError, match=r"--reference .*sounds: no text in it"):
        find_clips([talk], texts=[talk.parent])


def test_a_text_without_a_word_says_that_nobody_speaks(tmp_path: Path) -> None:
    hum, hiss = sound(tmp_path / "hum.flac"), sound(tmp_path / "noises" / "hiss.flac")
    (tmp_path / "hum.txt").write_text(" --\n")
    assert find_clips([hum], nonspeech=[hiss.parent]) == [Clip(hum, Reference()), Clip(hiss, Reference())]
    assert find_clips([], nonspeech=[hiss]) == [Clip(hiss, Reference())]


def test_a_text_that_is_none_is_refused(tmp_path: Path) -> None:
    talk = sound(tmp_path / "talk.flac")
    (tmp_path / "talk.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"talk\.txt: not readable as text"):
        find_clips([talk])
