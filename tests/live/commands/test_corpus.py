"""`erc-live corpus`: what it prints and writes, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from erc_live.live.commands.corpus import corpus_app
from erc_live.live.errors import exit_code
from erc_live.models.corpora import read

MELD = """Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID
Hi.,Joey,neutral,0,0
Oh!,Ross,joy,0,1
No.,Ross,anger,1,0
"""


def run(*arguments: object) -> tuple[int, str]:
    """-> exit code, standard output; an error's own code as the command line gives it."""
    result = CliRunner().invoke(corpus_app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return exit_code(result.exception), str(result.exception)
    return result.exit_code, result.stdout


@pytest.fixture
def meld(tmp_path: Path) -> Path:
    folder = tmp_path / "meld"
    folder.mkdir()
    for split in ("train", "dev"):
        (folder / f"{split}.csv").write_text(MELD if split == "train" else MELD.replace("Hi.", "Ho."))
    return folder


def talks(path: Path, *said: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"dialogue": "d", "utterances": [{"speaker": "A", **one} for one in said]}) + "\n")
    return path


def test_stats_as_a_table(meld: Path) -> None:
    code, text = run("stats", meld)
    assert code == 0
    rows = {line[:40].strip(): line[40:].split() for line in text.splitlines()}
    assert rows["dialogues"] == ["2", "2"]
    assert "MELD" in text
    assert "warning: no training examples of fear" in text
    assert "warning: dialogues of dev that are word for word in train, too: 1" in text


def test_stats_for_programs(meld: Path) -> None:
    code, text = run("stats", meld, "--json")
    found = json.loads(text)
    assert code == 0
    assert found["corpus"] == "MELD"
    assert list(found["splits"]) == ["train", "dev"]
    assert found["splits"]["dev"]["labels"]["joy"] == 1
    assert len(found["warnings"]) == 5


def test_convert_and_read_again(meld: Path, tmp_path: Path) -> None:
    code, text = run("convert", meld, tmp_path / "out", "--map", "anger=angry", "--map", "joy=", "--map", "fear=")
    assert (code, "train 2, dev 2" in text) == (0, True)
    for split in ("train", "dev"):
        mine = read(meld, split).relabelled({"anger": "angry", "joy": None, "fear": None})
        converted = read(tmp_path / "out", split)
        assert converted.dialogues == mine.dialogues
        assert converted.labels == mine.labels
    run("convert", meld, tmp_path / "again", "--map", "anger=angry", "--map", "joy=", "--map", "fear=")
    for path in sorted((tmp_path / "out").iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_convert_one_split(meld: Path, tmp_path: Path) -> None:
    assert run("convert", meld, tmp_path / "out", "--split", "valid")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev.jsonl", "labels.txt"]


def test_convert_one_file(tmp_path: Path) -> None:
    path = talks(tmp_path / "talk.jsonl", {"text": "Hi."})
    code, text = run("convert", path, tmp_path / "out")
    assert (code, "say with one --split" in text) == (2, True)
    assert run("convert", path, tmp_path / "out", "--split", "test")[0] == 0
    assert read(tmp_path / "out", "test").dialogues == read(path, "test").dialogues
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["test.jsonl"]  # no labels, no labels.txt


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--map", "bliss=joy"], 2, "no label 'bliss', only neutral, surprise"),
        (["--map", "joy"], 2, "write FROM=TO"),
        (["--map", "joy=a", "--map", "joy=b"], 2, "once for each label"),
        (["--split", "test"], 4, "no test split in it, only train and dev"),
        (["--split", "all"], 4, "'all' is no split"),
    ],
)
def test_convert_refuses(meld: Path, tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    ended, text = run("convert", meld, tmp_path / "out", *arguments)
    assert (ended, says in text) == (code, True), text
    assert not (tmp_path / "out").exists()


def test_convert_never_overwrites(meld: Path) -> None:
    code, text = run("convert", meld, meld)
    assert (code, "is there already" in text) == (4, True)


def test_schema() -> None:
    code, text = run("schema")
    assert code == 0
    Draft202012Validator.check_schema(json.loads(text))


def test_check(tmp_path: Path) -> None:
    path = talks(tmp_path / "talk.jsonl", {"text": "Hi."})
    assert run("check", path) == (0, f"{path}: right\n")
    talks(path, {"text": "Hi.", "audio": "gone.wav"})
    assert run("check", path) == (4, f"{path}: 1 problem, told above")
    result = CliRunner().invoke(corpus_app, ["check", str(path)])
    assert result.stdout == f"{tmp_path / 'gone.wav'}: no such file, but test names it\n"


@pytest.mark.parametrize("command", ["stats", "convert", "schema", "check"])
def test_help(command: str) -> None:
    code, text = run(command, "--help")
    assert code == 0
    assert "Usage:" in text
