"""RAVDESS from made-up files: with an index, and by the names of the official files."""

from pathlib import Path

import pytest

from erc_live.models.corpora import read, splits
from erc_live.models.corpora.ravdess import RavdessClip, clips
from erc_live.models.errors import CorpusError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_official_names(tmp_path: Path) -> None:
    calm = touch(tmp_path / "Actor_12" / "03-01-02-01-02-01-12.wav")
    fear = touch(tmp_path / "audio_speech" / "Actor_01" / "03-01-06-02-02-01-01.wav")
    touch(tmp_path / "copy" / "Actor_01" / "03-01-06-02-02-01-01.wav")
    touch(tmp_path / "Actor_12" / "03-02-06-01-02-01-12.wav")  # sung
    touch(tmp_path / "Actor_12" / "01-01-06-01-02-01-12.mp4")  # filmed
    touch(tmp_path / "Actor_18" / "03-01-03-01-02-01-18.wav")
    assert clips(tmp_path, "train") == [
        RavdessClip(calm, "neutral", "normal", 12, "female"),
        RavdessClip(fear, "fear", "strong", 1, "male"),
    ]
    assert splits(tmp_path) == ("train", "dev")
    (one,) = clips(tmp_path, "valid")
    assert (one.label, one.actor) == ("joy", 18)


def test_an_index(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(
        "path,emotion,intensity,statement,actor,actor_sex,seconds\n"
        "Actor_21/x.opus,surprised,strong,1,21,male,3.3\nActor_24/y.opus,calm,normal,1,24,female,3.3\n"
    )
    assert clips(tmp_path, "test") == [
        RavdessClip(tmp_path / "Actor_21" / "x.opus", "surprise", "strong", 21, "male"),
        RavdessClip(tmp_path / "Actor_24" / "y.opus", "neutral", "normal", 24, "female"),
    ]
    with pytest.raises(CorpusError, match="no clips of RAVDESS by actors 17 to 20"):
        clips(tmp_path, "dev")


def test_clips_are_dialogues_of_one_utterance_without_words(tmp_path: Path) -> None:
    path = touch(tmp_path / "Actor_22" / "03-01-05-01-02-01-22.wav")
    split = read(tmp_path, "test")
    (dialogue,) = split.dialogues
    (said,) = dialogue.utterances
    assert (split.corpus, dialogue.name) == ("RAVDESS", path.stem)
    assert (said.speaker, said.text, said.label, said.audio) == ("actor 22", "", "anger", path)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.opus,bored,normal,1,1,male", "line 2: emotion 'bored' is none of neutral, calm"),
        ("a.opus,calm,normal,1,Bob,male", "line 2: actor is 'Bob'"),
        ("a.opus", "line 2: fewer values"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path: Path, row: str, says: str) -> None:
    (tmp_path / "index.csv").write_text(f"path,emotion,intensity,statement,actor,actor_sex\n{row}\n")
    with pytest.raises(CorpusError, match=says):
        clips(tmp_path, "train")


def test_actors_added_beside_an_index(tmp_path: Path) -> None:
    listed = touch(tmp_path / "Actor_20" / "03-01-03-01-02-01-20.opus")
    added = touch(tmp_path / "Actor_22" / "03-01-03-01-02-01-22.wav")
    (tmp_path / "index.csv").write_text(
        "path,emotion,intensity,statement,actor,actor_sex,seconds\n"
        "Actor_20/03-01-03-01-02-01-20.opus,happy,normal,1,20,female,3.3\n"
    )
    assert [clip.path for clip in clips(tmp_path, "dev")] == [listed]
    assert [(clip.path, clip.label) for clip in clips(tmp_path, "test")] == [(added, "joy")]
