"""A corpus read aloud and recognised: what is kept, what a run that died costs, and what is refused.

The voices are made up: a letter is a sample, so the recogniser can read what was spoken, and loses case and marks.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import run

from erc_live.live.asr import transcribers
from erc_live.live.commands.corpus_recognition import recognise_corpus
from erc_live.live.demo import espeak_ng, flite
from erc_live.live.errors import EngineError
from erc_live.live.extraction import reading_voices
from erc_live.live.extraction.reading_voices import ReadingVoice, cast
from erc_live.live.requests import Speech, Transcript
from erc_live.models.corpora import read
from erc_live.models.corpora.dialogue import Utterance
from erc_live.streams.messages import SAMPLE_RATE_HZ

SAID = (("Ann", "Oh, no!", "sadness"), ("Ben", "Why? Well...", "neutral"), ("Ann", "...", "anger"))
HEARD = ("oh no", "why well", "")


class Letters:
    """A recogniser of the made-up voices. It dies of a text with `deadly` in it."""

    name = "letters"
    quick = False
    deadly = "\n"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def transcribe(self, utterance: Speech) -> Transcript:
        text = "".join(map(chr, utterance.pcm[utterance.pcm != 0]))
        if self.deadly in text:
            raise KeyboardInterrupt
        self.texts.append(text)
        return Transcript("".join(letter for letter in text.lower() if letter.isalnum() or letter == " "))


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    made_up = {"made up": lambda text, pitch, pace: np.array([*map(ord, text)], np.int16)}
    recogniser = Letters()
    monkeypatch.setattr(reading_voices, "VOICES", made_up)
    monkeypatch.setattr(reading_voices, "SOUNDS", {"clean": 1.0})
    monkeypatch.setattr(transcribers, "open_transcriber", lambda *_: recogniser)
    return recogniser


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six dialogues of three utterances; only the first utterances differ."""
    turns = [{"speaker": who, "text": text, "label": label} for who, text, label in SAID]
    lines = [
        json.dumps({"dialogue": f"d{n}", "utterances": [{**turns[0], "text": f"Oh, no {n}!"}, *turns[1:]]})
        for n in range(6)
    ]
    (tmp_path / "dev.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def hear(corpus: Path, out: Path, *more: object) -> tuple[int, str]:
    return run(recognise_corpus, corpus, out, "--split", "dev", "--recogniser", "none", *more)


def test_text_is_what_was_recognised_and_spoken_what_was_said(corpus: Path, letters: Letters) -> None:
    code, line = hear(corpus, corpus / "out")
    assert code == 0
    heard = read(corpus / "out", "dev")
    assert heard.labels == read(corpus, "dev").labels
    assert heard.dialogues[4].utterances == tuple(
        Utterance(who, f"{text} 4".strip() if not place else text, label, spoken="Oh, no 4!" if not place else said)
        for place, ((who, said, label), text) in enumerate(zip(SAID, HEARD, strict=True))
    )
    assert "..." not in letters.texts  # there is nothing to be heard
    assert "18 lines in 6 dialogues, word error rate 0.0%" in line
    assert "no words of 6 lines (33.3%)" in line


def test_a_run_that_died_goes_on_where_it_was(corpus: Path, letters: Letters) -> None:
    hear(corpus, corpus / "unbroken")
    whole = letters.texts
    letters.texts = []
    letters.deadly = "no 3"
    hear(corpus, corpus / "out")
    assert not (corpus / "out" / "dev.jsonl").exists()  # nothing that looks whole
    journal = corpus / "out" / "dev.journal"
    with journal.open("a") as file:
        file.write('{"dialogue": "d3", "utter')  # as a process leaves it that is killed while it writes
    letters.deadly = Letters.deadly
    assert hear(corpus, corpus / "out")[0] == 0
    assert letters.texts == whole  # no line was recognised twice
    for name in ("dev.jsonl", "dev.journal"):
        assert (corpus / "out" / name).read_bytes() == (corpus / "unbroken" / name).read_bytes()


def test_more_lines_go_on_with_those_that_are_there(corpus: Path, letters: Letters) -> None:
    assert hear(corpus, corpus / "out", "--lines", 4)[0] == 0
    few = read(corpus / "out", "dev").dialogues
    assert len(few) == 2  # whole dialogues
    asked = len(letters.texts)
    assert hear(corpus, corpus / "out", "--lines", 7)[0] == 0
    more = read(corpus / "out", "dev").dialogues
    assert len(more) == 3
    assert {*few} < {*more}
    assert len(letters.texts) == asked + 2
    assert [dialogue.name for dialogue in more] == sorted(dialogue.name for dialogue in more)


def test_another_seed_takes_other_dialogues(corpus: Path, letters: Letters) -> None:
    chosen = set()
    for seed in range(8):
        hear(corpus, corpus / f"out{seed}", "--lines", 1, "--seed", seed)
        chosen |= {dialogue.name for dialogue in read(corpus / f"out{seed}", "dev").dialogues}
    assert len(chosen) > 2


def test_a_journal_of_other_settings_is_refused(corpus: Path, letters: Letters) -> None:
    hear(corpus, corpus / "out")
    code, line = hear(corpus, corpus / "out", "--seed", 1)
    assert code == 4
    assert "was begun with the seed 0, and this is 1: give 0 again" in line
    letters.name = "other letters"
    assert "the recogniser letters, and this is other letters" in hear(corpus, corpus / "out")[1]


def test_a_corpus_that_changed_is_refused(corpus: Path, letters: Letters) -> None:
    hear(corpus, corpus / "out")
    source = corpus / "dev.jsonl"
    source.write_text(source.read_text().replace("Oh, no 2!", "Oh, yes!"))
    code, line = hear(corpus, corpus / "out")
    assert code == 4
    assert "dialogue 'd2', utterance 1 was 'Oh, no 2!'" in line


@pytest.mark.parametrize("damage", ['{"dialogue": "d0"}\n', "no JSON\n", "\xff\n"])
def test_a_damaged_journal_is_refused(damage: str, corpus: Path, letters: Letters) -> None:
    hear(corpus, corpus / "out", "--lines", 1)
    with (corpus / "out" / "dev.journal").open("a", encoding="latin-1") as file:
        file.write(damage)
    code, line = hear(corpus, corpus / "out")
    assert code == 4
    assert "dev.journal: line 5" in line


def test_no_other_corpus_is_written_over(corpus: Path, letters: Letters) -> None:
    before = (corpus / "dev.jsonl").read_bytes()
    code, line = hear(corpus, corpus)
    assert code == 4
    assert "is there already" in line
    assert (corpus / "dev.jsonl").read_bytes() == before
    (corpus / "out").mkdir()
    (corpus / "out" / "labels.txt").write_text("joy\n")
    assert "names other labels" in hear(corpus, corpus / "out")[1]
    assert not letters.texts  # known before anything is read


def test_what_was_recognised_is_read_from_its_spoken_words(corpus: Path, letters: Letters) -> None:
    hear(corpus, corpus / "out")
    letters.texts = []
    assert hear(corpus / "out", corpus / "again")[0] == 0
    assert letters.texts[:2] == ["Oh, no 0!", "Why? Well..."]


def test_without_words_there_is_nothing_to_read(tmp_path: Path, letters: Letters) -> None:
    (tmp_path / "dev.jsonl").write_text('{"dialogue": "d", "utterances": [{"speaker": "A"}]}\n')
    code, line = hear(tmp_path, tmp_path / "out")
    assert code == 4
    assert "nothing was transcribed" in line


@pytest.mark.parametrize("module", ["jiwer", "whisper_normalizer.english"])
def test_what_counts_errors_is_asked_for_first(
    module: str, corpus: Path, letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    code, line = hear(corpus, corpus / "out")
    assert code == 5
    assert "pip install 'erc-live[bench]'" in line
    assert not letters.texts


@pytest.mark.parametrize("speak", [flite.synthesise, espeak_ng.synthesise])
def test_a_missing_program_is_named(speak: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert callable(speak)
    with pytest.raises(EngineError, match=r"is not on the PATH.*apt install (flite|espeak-ng)"):
        speak("Hello.", "slt", 100, 1.0)


def test_without_the_programs_nothing_is_begun(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    code, line = hear(corpus, corpus / "out")
    assert code == 5
    assert "is not on the PATH" in line
    assert not (corpus / "out").exists()


def test_a_speaker_has_one_voice_in_a_dialogue_and_a_dialogue_one_place() -> None:
    assert cast(0, "d", "Ann") == cast(0, "d", "Ann")
    assert cast(0, "d", "Ann").sound == cast(0, "d", "Ben").sound
    voices = [cast(0, f"d{n}", "Ann") for n in range(400)]
    assert {voice.voice for voice in voices} == {*reading_voices.VOICES}
    for sound, share in reading_voices.SOUNDS.items():
        assert sum(voice.sound == sound for voice in voices) / 400 == pytest.approx(share, abs=0.08)
    assert len({voice.pitch for voice in voices}) == 400
    assert cast(1, "d", "Ann") != cast(0, "d", "Ann")


def test_typographic_marks_are_spoken_as_plain_ones(letters: Letters) -> None:
    pcm = ReadingVoice("made up", 1.0, 1.0, "clean").read("I’m—“naïve”…")
    assert "".join(map(chr, pcm[pcm != 0])) == 'I\'m, "naive"...'


@pytest.fixture
def programs() -> None:
    missing = [name for name in ("flite", "espeak-ng") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs the program {' and '.join(missing)}")


def test_every_voice_speaks_at_our_rate_and_alike(programs: None) -> None:
    for name, speak in reading_voices.VOICES.items():
        pcm = speak("Good morning, everybody.", 1.0, 1.0)
        assert pcm.dtype == np.int16
        assert 0.8 < len(pcm) / SAMPLE_RATE_HZ < 3.5, name
        assert (pcm == speak("Good morning, everybody.", 1.0, 1.0)).all()
        assert len(speak("Good morning, everybody.", 1.0, 1.3)) > 1.1 * len(pcm), name


def test_an_unknown_voice_of_espeak_ng_is_named(programs: None) -> None:
    with pytest.raises(EngineError, match="voice nobody"):
        espeak_ng.synthesise("Hello.", "nobody")


@pytest.mark.real
def test_real_voices_are_understood(tmp_path: Path, programs: None, tiny_en: Path) -> None:
    said = ("I have no idea where the keys are.", "...", "It was raining, so we stayed inside and played cards.")
    turns = [{"speaker": f"S{place % 2}", "text": text, "label": "neutral"} for place, text in enumerate(said)]
    (tmp_path / "test.jsonl").write_text(json.dumps({"dialogue": "d2", "utterances": turns}) + "\n")
    code, line = run(recognise_corpus, tmp_path, tmp_path / "out", "--split", "test", "--recogniser", tiny_en)
    assert code == 0
    (dialogue,) = read(tmp_path / "out", "test").dialogues
    assert [utterance.spoken for utterance in dialogue.utterances] == [*said]
    assert dialogue.utterances[1].text == ""
    words = {*" ".join(utterance.text for utterance in dialogue.utterances).lower().split()}
    assert len(words & {"keys", "raining,", "stayed", "inside", "played", "idea", "where"}) >= 4, line
