"""GoEmotions from made-up files: reduced as people share it, and as it is published."""

import json
from pathlib import Path

import pytest

from erc_live.models.corpora import read
from erc_live.models.errors import CorpusError


def test_only_comments_with_one_label(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("anger\njoy")
    (tmp_path / "train.tsv").write_text('So "good\t1\tx1\nboth\t0,1\tx2\n\u2028no \t0\tx3\n')
    split = read(tmp_path, "train")
    assert (split.corpus, split.labels) == ("GoEmotions", ("anger", "joy"))
    assert [(one.name, one.utterances[0].text, one.utterances[0].label) for one in split.dialogues] == [
        ("x1", 'So "good', "joy"),
        ("x3", "no", "anger"),
    ]
    assert {len(one.utterances) for one in split.dialogues} == {1}


@pytest.mark.parametrize("reduced", [True, False])
def test_the_release(tmp_path: Path, reduced: bool) -> None:
    (tmp_path / "emotions.txt").write_text("anger\nannoyance\npride\nneutral\n")
    (tmp_path / "dev.tsv").write_text("a\t0,1\tx1\nb\t1\tx2\nc\t1,2\tx3\nd\t3\tx4\n")
    if reduced:
        (tmp_path / "ekman_mapping.json").write_text(json.dumps({"anger": ["anger", "annoyance"], "joy": ["pride"]}))
    split = read(tmp_path, "dev")
    found = {one.name: one.utterances[0].label for one in split.dialogues}
    if reduced:
        assert found == {"x1": "anger", "x2": "anger", "x4": "neutral"}  # x1: two names of one thing
        assert split.labels == ("anger", "joy", "neutral")
    else:
        assert found == {"x2": "annoyance", "x4": "neutral"}


@pytest.mark.parametrize("line", ["text", "text\t2\tx", "text\tjoy\tx", "text\t\tx", "a\tb\t1\tx"])
def test_one_line_for_what_is_wrong(tmp_path: Path, line: str) -> None:
    (tmp_path / "labels.txt").write_text("anger joy")
    (tmp_path / "dev.tsv").write_text(f"fine\t0\tx0\n{line}\n")
    with pytest.raises(CorpusError, match=r"dev.tsv: line 2: write text, label numbers below 2 and an id"):
        read(tmp_path, "dev")


def test_nothing_names_the_labels(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("fine\t0\tx0\n")
    with pytest.raises(CorpusError, match=r"no labels.txt"):
        read(tmp_path, "dev")
    (tmp_path / "emotions.txt").write_text("anger joy")
    (tmp_path / "ekman_mapping.json").write_text("[]")
    with pytest.raises(CorpusError, match="the names of the labels cannot be read"):
        read(tmp_path, "dev")
