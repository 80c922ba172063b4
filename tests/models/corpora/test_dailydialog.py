"""DailyDialog from made-up files in the layouts that people have."""

import json
from pathlib import Path

import pytest

from erc_live.models.corpora import read, splits
from erc_live.models.corpora.dailydialog import mend
from erc_live.models.errors import CorpusError


def lines(path: Path, *entries: object) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_json_lines(tmp_path: Path) -> None:
    said = {"utterances": ["Hi , Ann .", "Oh !", "Well ."], "emotions": ["joy", "surprise", "neutral"]}
    lines(tmp_path / "train.jsonl", said, {"utterances": ["No ."], "emotions": [5]})
    lines(tmp_path / "validation.jsonl", said)
    assert splits(tmp_path) == ("train", "dev")
    split = read(tmp_path, "train")
    assert split.corpus == "DailyDialog"
    first, second = split.dialogues
    assert [(one.speaker, one.text, one.label) for one in first.utterances] == [
        ("A", "Hi, Ann.", "joy"),
        ("B", "Oh!", "surprise"),
        ("A", "Well.", "neutral"),
    ]
    assert [one.label for one in second.utterances] == ["sadness"]
    assert (first.name, second.name, read(tmp_path, "valid").dialogues[0].name) == ("train_1", "train_2", "dev_1")


def test_the_release_divided(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        folder = tmp_path / split
        folder.mkdir()
        (folder / f"dialogues_{split}.txt").write_text(f"In {split} . __eou__ Yes . __eou__\n")
        (folder / f"dialogues_emotion_{split}.txt").write_text("0 4 \n")
    (tmp_path / "dialogues_text.txt").write_text("Other . __eou__\n")  # the whole, which the parts come before
    (tmp_path / "dialogues_emotion.txt").write_text("0\n")
    assert splits(tmp_path) == ("train", "dev", "test")
    (dialogue,) = read(tmp_path, "dev").dialogues
    assert [(one.text, one.label) for one in dialogue.utterances] == [("In validation.", "neutral"), ("Yes.", "joy")]


def test_the_release_undivided(tmp_path: Path) -> None:
    (tmp_path / "dialogues_text.txt").write_text("".join(f"Talk {n} . __eou__ Yes __eou__\n" for n in range(40)))
    (tmp_path / "dialogues_emotion.txt").write_text("1 6\n" * 40)
    parts = {split: {one.name for one in read(tmp_path, split).dialogues} for split in splits(tmp_path)}
    assert {split: len(names) for split, names in parts.items()} == {"train": 32, "dev": 4, "test": 4}
    assert len(set.union(*parts.values())) == 40


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Say , Jim , how about it ?", "Say, Jim, how about it?"),
        ("I ’ m fine , don ’ t you ’ Ve it ?", "I’m fine, don’t you’Ve it?"),
        ("It ' s 57 dollars .", "It's 57 dollars."),
        ("Right.But what ( now ) ?", "Right. But what (now)?"),
        ("3.5 percent of $ 20 .", "3.5 percent of $20."),
        ("the parents ' house", "the parents ' house"),
        ("Let me think ... fine .", "Let me think... fine."),
    ],
)
def test_spaces_are_mended(written: str, meant: str) -> None:
    assert mend(written) == meant
    assert mend(meant) == meant


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"utterances": ["Hi"], "emotions": ["joy", "joy"]}, "line 2: utterances: 1, labels: 2; each needs one"),
        ({"utterances": ["Hi"], "emotions": ["glee"]}, "line 2: label 'glee' is none of neutral"),
        ({"utterances": ["Hi"], "emotions": [7]}, "line 2: label '7' is none of neutral"),
        ({"utterances": [], "emotions": []}, "line 2: utterances: 0, labels: 0; each needs one"),
        ({"utterances": 3, "emotions": []}, "line 2: write"),
        ([], "line 2: write"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path: Path, second: object, says: str) -> None:
    path = lines(tmp_path / "dev.jsonl", {"utterances": ["Hi"], "emotions": ["joy"]}, second)
    with pytest.raises(CorpusError, match=r"^[^\n]+$") as error:
        read(tmp_path, "dev")
    assert f"{path}: {says}" in str(error.value)


def test_texts_without_their_labels(tmp_path: Path) -> None:
    (tmp_path / "dialogues_text.txt").write_text("A __eou__\nB __eou__\n")
    (tmp_path / "dialogues_emotion.txt").write_text("0\n")
    with pytest.raises(CorpusError, match="2 lines for the 3 of"):
        read(tmp_path, "train")
