"""The three formats, read from small files, and one line for every way in which they can be wrong."""

import json
from math import isnan
from pathlib import Path

import pytest

from erc_live.models.errors import CorpusError
from erc_live.models.training.corpora import LABELS, PROSODY, read_split

MELD = """Sr No.,Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID
3,"Well, here.",Joey,neutral,10,0
2,You\u0092re here? ,Ross,joy,2,5
1,Oh.,Rachel,sadness,2,1
4,Yes,Rachel,surprise,2,7
"""
ROW = "dia2_utt5.wav,1.5,60,8,,60,280,,6.5\n"


def meld(folder: Path, prosody: str | None = ROW) -> Path:
    (folder / "dev.csv").write_text(MELD, encoding="utf-8")
    if prosody is not None:
        (folder / "prosody_dev.csv").write_text(f"filename,{','.join(PROSODY)}\n{prosody}", encoding="utf-8")
    return folder


def test_meld(tmp_path: Path) -> None:
    first, second = read_split(meld(tmp_path), "dev")
    assert [first.name, second.name] == ["2", "10"]  # in the order of numbers, not of text
    assert [line.text for line in first.lines] == ["Oh.", "You\u2019re here?", "Yes"]
    assert [line.speaker for line in first.lines] == [0, 1, 0]
    assert [line.emotion for line in first.lines] == ["sadness", "joy", "surprise"]
    assert first.lines[0].prosody is None
    measured = first.lines[1].prosody
    assert measured is not None
    assert [i for i, value in enumerate(measured) if isnan(value)] == [3, 6]
    assert measured[:3] == (1.5, 60.0, 8.0)
    assert second.lines[0].text == "Well, here."


def test_meld_without_prosody(tmp_path: Path) -> None:
    assert all(line.prosody is None for talk in read_split(meld(tmp_path, None), "dev") for line in talk.lines)


def test_goemotions_keeps_single_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("anger\njoy")
    (tmp_path / "train.tsv").write_text('So "good\t1\tx1\nboth\t0,1\tx2\nno\t0\tx3\n')
    talks = read_split(tmp_path, "train")
    assert [(t.name, t.lines[0].text, t.lines[0].emotion) for t in talks] == [
        ("x1", 'So "good', "joy"),
        ("x3", "no", "anger"),
    ]


def test_neutral_format(tmp_path: Path) -> None:
    utterances = [
        {"speaker": "B", "text": "Hi", "emotion": "joy", "prosody": [1, None, 3, 4, 5, 6, 7, 8]},
        {"speaker": "A", "text": "What?", "emotion": None},
        {"speaker": "B", "text": "Hi!"},
    ]
    (tmp_path / "test.jsonl").write_text(json.dumps({"dialogue": "d", "utterances": utterances}) + "\n")
    (talk,) = read_split(tmp_path, "test")
    assert [line.speaker for line in talk.lines] == [0, 1, 0]
    assert [line.emotion for line in talk.lines] == ["joy", None, None]
    assert talk.lines[0].prosody is not None
    assert isnan(talk.lines[0].prosody[1])
    assert talk.lines[1].prosody is None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("dev.csv", "Utterance,Speaker\nHi,A\n", "Dialogue_ID"),
        ("dev.csv", MELD.replace("joy", "bliss"), "emotion 'bliss' is none of neutral"),
        ("dev.csv", MELD.splitlines()[0], "no utterances"),
        ("dev.jsonl", "{", "not in its format"),
        ("dev.jsonl", '{"dialogue": 1, "utterances": [{"speaker": "A"}]}', "text"),
        ("dev.jsonl", '{"dialogue": 1, "utterances": [{"speaker": "A", "text": "x", "prosody": [1]}]}', "1 prosody"),
        ("dev.jsonl", '{"dialogue": 1, "utterances": []}', "1 has no utterances"),
        ("dev.jsonl", "[]", "not in its format"),
        ("train.csv", MELD, "no dev.csv, dev.tsv or dev.jsonl in"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=r"^[^\n]+$") as error:
        read_split(tmp_path, "dev")
    assert says in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_the_real_corpora(shared_data: Path) -> None:
    talks = read_split(shared_data / "meld", "train")
    assert len(talks) == 1038
    lines = [line for talk in talks for line in talk.lines]
    assert len(lines) == 9989
    assert sum(line.prosody is None for line in lines) == 1
    assert {line.emotion for line in lines} == set(LABELS)
    assert max(line.speaker for line in lines) == 8
    assert sum(len(talk.lines) for talk in read_split(shared_data / "meld", "dev")) == 1109
    assert len(read_split(shared_data / "goemotions", "train")) == 39_555
