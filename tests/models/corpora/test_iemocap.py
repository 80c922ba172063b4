"""IEMOCAP from made-up files in the layout of the official release."""

from pathlib import Path

import pytest

from erc_live.models.corpora import read, splits
from erc_live.models.corpora.dialogue import Utterance
from erc_live.models.errors import CorpusError

TRANSCRIPT = """{0}_M000 [008.5000-009.2500]: Why? [LAUGHTER]
{0}_F000 [006.2901-008.2357]: Excuse me.
M: something that has no name
{0}_MXX0 [010.0000-010.2000]: [BREATHING]
{0}_F001 [011.0000-012.0000]: Never mind.
{0}_M001 [013.0000-014.0000]: Stop.
"""
RATINGS = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\t{0}_F000\texc\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[8.5000 - 9.2500]\t{0}_M000\tfru\t[1.5000, 4.0000, 2.5000]
[11.0000 - 12.0000]\t{0}_F001\txxx\t[2.5000, 2.5000, 2.5000]
[13.0000 - 14.0000]\t{0}_M001\tang\t[2.5000, 2.5000, 2.5000]
"""


def session(base: Path, number: int, *names: str) -> None:
    dialog = base / f"Session{number}" / "dialog"
    for folder, text in {"transcriptions": TRANSCRIPT, "EmoEvaluation": RATINGS}.items():
        (dialog / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (dialog / folder / f"{name}.txt").write_text(text.format(name))
            (dialog / folder / f"._{name}.txt").write_bytes(b"\xff\x00")  # the release has such


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def only(folder: Path) -> tuple[Utterance, ...]:
    (dialogue,) = read(folder, "test").dialogues
    assert dialogue.name == "Ses05F_impro01"
    return dialogue.utterances


@pytest.mark.parametrize("inner", ["", "IEMOCAP_full_release"])
def test_a_dialogue_in_the_order_of_time(tmp_path: Path, inner: str) -> None:
    session(tmp_path / inner, 5, "Ses05F_impro01")
    said = only(tmp_path)
    assert [one.text for one in said] == ["Excuse me.", "Why?", "", "Never mind.", "Stop."]
    assert [one.speaker for one in said] == ["Ses05_F", "Ses05_M", "Ses05_M", "Ses05_F", "Ses05_M"]
    assert [one.gender for one in said] == ["female", "male", "male", "female", "male"]
    assert [one.label for one in said] == ["excited", "frustrated", None, None, "angry"]
    assert (said[0].start_s, said[0].end_s) == (6.2901, 8.2357)
    assert [(one.valence, one.arousal) for one in said[:3]] == [(-0.25, -0.25), (-0.75, 0.5), (None, None)]
    assert read(tmp_path, "test").labels == ("happy", "sad", "neutral", "angry", "excited", "frustrated")


def test_four_labels(tmp_path: Path) -> None:
    session(tmp_path / "iemocap", 5, "Ses05F_impro01")
    four = tmp_path / "iemocap:4way"
    assert [one.label for one in only(four)] == ["happy", None, None, None, "angry"]
    assert read(four, "test").labels == ("happy", "sad", "neutral", "angry")
    assert read(four, "test").corpus == "IEMOCAP 4-way"


def test_media(tmp_path: Path) -> None:
    name = "Ses05F_impro01"
    session(tmp_path, 5, name)
    talk = touch(tmp_path / "Session5" / "dialog" / "wav" / f"{name}.wav")
    film = touch(tmp_path / "Session5" / "dialog" / "avi" / "DivX" / f"{name}.avi")
    (dialogue,) = read(tmp_path, "test").dialogues
    first, second, *_ = dialogue.utterances
    assert (first.audio, second.audio) == (talk, talk)
    assert (first.video, second.video) == (film, film)
    assert dialogue.span(second, talk) == (8.5, 9.25)
    assert dialogue.span(first, film) == (6.2901, 8.2357)

    sentence = touch(tmp_path / "Session5" / "sentences" / "wav" / name / f"{name}_F000.wav")
    (dialogue,) = read(tmp_path, "test").dialogues
    first, second, *_ = dialogue.utterances
    assert (first.audio, second.audio) == (sentence, None)
    assert dialogue.span(first, sentence) == (0.0, None)


def test_splits_are_fixed(tmp_path: Path) -> None:
    everyone = [f"Ses0{number}{letter}_impro0{turn}" for number in range(1, 5) for letter in "FM" for turn in range(3)]
    for name in everyone:
        session(tmp_path, int(name[4]), name)
    assert splits(tmp_path) == ("train", "dev")
    session(tmp_path, 5, "Ses05F_impro01", "Ses05M_impro01")
    assert splits(tmp_path) == ("train", "dev", "test")
    train, dev, test = ({one.name for one in read(tmp_path, name).dialogues} for name in ("train", "dev", "test"))
    assert test == {"Ses05F_impro01", "Ses05M_impro01"}
    assert train | dev == set(everyone)
    assert not train & dev
    occasions = {
        (one.name[:5], one.occasion) for name in ("train", "dev", "test") for one in read(tmp_path, name).dialogues
    }
    assert occasions == {(f"Ses0{number}", f"Session{number}") for number in range(1, 6)}  # of the same two people
    # A sixth of 24, written down so that nobody's dev split ever moves.
    assert dev == {"Ses01F_impro01", "Ses03F_impro01", "Ses03M_impro01", "Ses04M_impro00"}


def test_missing_ratings(tmp_path: Path) -> None:
    session(tmp_path, 5, "Ses05F_impro01")
    ratings = tmp_path / "Session5" / "dialog" / "EmoEvaluation" / "Ses05F_impro01.txt"
    ratings.unlink()
    with pytest.raises(CorpusError) as error:
        read(tmp_path, "test")
    assert str(error.value) == f"{ratings} is missing: the labels of Ses05F_impro01 are in it"


def test_a_transcript_of_something_else(tmp_path: Path) -> None:
    session(tmp_path, 5, "Ses05F_impro01")
    (tmp_path / "Session5" / "dialog" / "transcriptions" / "Ses05F_impro01.txt").write_text("Hello.")
    with pytest.raises(CorpusError, match="no utterances in it, such as"):
        read(tmp_path, "test")
