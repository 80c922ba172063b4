"""The bench of the recogniser counts words as people do, and hears a recording cut and whole."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from erc_live.live.bench import asr
from erc_live.live.bench.asr import Clip, bench_asr, compare, find_clips, render
from erc_live.live.config import Config
from erc_live.live.engines.transcribers import Speech, Transcript
from erc_live.live.errors import ConfigError, EngineError
from erc_live.streams.media import encode_flac

pytest.importorskip("jiwer")
words = st.lists(st.sampled_from(["one", "two", "three", "don't"]), min_size=1, max_size=12)


@dataclass
class Parrot:
    """Says the same of everything."""

    text: str
    name: str = "parrot"
    quick: bool = True
    heard: list[Speech] = field(default_factory=list)

    def transcribe(self, utterance: Speech) -> Transcript:
        self.heard.append(utterance)
        return Transcript(self.text)


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    path.write_bytes(encode_flac(np.zeros(int(seconds * 16_000), np.int16)))
    return path


@pytest.mark.parametrize(
    ("said", "heard", "counts"),
    [
        ("Well, DON'T -- stop!", "well dont stop", (3, 0, 0, 0)),
        ("a well-known man\u2014yes", "A well known man, yes.", (5, 0, 0, 0)),
        ("one two three", "one too", (3, 1, 1, 0)),
        ("one", "", (1, 0, 1, 0)),
        ("one", "one and one", (1, 0, 0, 2)),
    ],
)
def test_case_and_punctuation_do_not_count(said: str, heard: str, counts: tuple[int, ...]) -> None:
    errors = compare(said, heard)
    assert (errors.words, errors.wrong, errors.missing, errors.extra) == counts


@given(words, words)
def test_two_recordings_together_are_their_sum(one: list[str], other: list[str]) -> None:
    first, second = compare(" ".join(one), "one two"), compare(" ".join(other), "two")
    both = first + second
    assert both.words == len(one) + len(other)
    assert both.rate * both.words == pytest.approx(first.rate * first.words + second.rate * second.words)


def test_recordings_are_found_with_the_words_beside_them(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Hello there.")
    (tmp_path / "c.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ada>Well,\n\n00:02.000 --> 00:04.000\nno.\n")
    sounds = [write_sound(tmp_path / f"{name}.flac") for name in "abc"]
    expected = [Clip(sounds[1], "Hello there."), Clip(sounds[2], "Well, no.")]
    assert find_clips([tmp_path]) == expected
    assert find_clips([sounds[1]]) == expected[:1]
    with pytest.raises(ConfigError, match=r"a\.flac: its words are missing; put them beside it as a\.txt"):
        find_clips([sounds[0]])
    (tmp_path / "a.txt").write_text("--")
    with pytest.raises(ConfigError, match=r"a\.txt: no word in it"):
        find_clips([sounds[0]])
    with pytest.raises(ConfigError, match="no recording with its words"):
        find_clips([])


def test_a_recording_is_heard_in_utterances_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = write_sound(tmp_path / "a.flac", 2.0)
    parrot = Parrot("one two")
    parts = [Speech(np.zeros(8_000, np.int16), "mic-0", start, start + 0.5) for start in (0.0, 1.0)]
    monkeypatch.setattr(asr, "_utterances", lambda pcm, config: parts)
    report = bench_asr([Clip(sound, "One two, one two.")] * 2, Config(), parrot, lambda name: None)
    assert [len(speech.pcm) for speech in parrot.heard] == [8_000, 8_000, 32_000] * 2
    clip = report.clips[0]
    assert (clip.utterances, clip.cut.rate, clip.whole.rate, clip.heard) == (2, 0.0, 0.5, "one two one two")
    plain = json.loads(json.dumps(report.plain()))
    assert plain["engine"] == "parrot"
    assert plain["all"]["wer_whole"] == 0.5
    assert plain["all"]["rtf"] >= 0
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(render(report))
    lines = capture.get().splitlines()
    assert lines[-1].split()[:5] == ["all", "4", "8", "4", "0.000"]
    assert max(map(len, lines)) <= 80


def test_the_demo_is_two_voices_that_say_different_things() -> None:
    ada, ben = asr.demo_clips()
    assert (ada.path.name, ben.path.name) == ("ada.flac", "ben.flac")
    assert "wonderful news" in ada.said
    assert "wonderful news" not in ben.said


def test_without_jiwer_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jiwer", None)
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[bench\]'"):
        compare("one", "one")


@pytest.mark.slow
def test_real_speech_is_cut_into_utterances_and_half_of_its_words_are_right(shared_data: Path) -> None:
    pytest.importorskip("pocketsphinx")
    from erc_live.live.engines.transcribers import PocketSphinx

    clips = find_clips([shared_data / "recordings" / "jfk.flac"])
    (clip,) = bench_asr(clips, Config(), PocketSphinx("en"), lambda name: None).clips
    assert clip.utterances >= 3
    assert clip.cut.words == clip.whole.words == 22
    assert clip.whole.rate < 0.5
