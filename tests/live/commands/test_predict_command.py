"""`erc-live predict`: from a file to a file, with any labels or none, and what it refuses."""

import json
from pathlib import Path

import pytest
from commands import corpus, run

from erc_live.live.commands.predict import predict


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "predict-cache"))


@pytest.mark.parametrize("labels", [(None,), ("neutral", "a label of nobody")])
def test_a_file_is_labelled(tiny_world: dict[str, str], tmp_path: Path, labels: tuple[str | None, ...]) -> None:
    source = corpus(tmp_path / "talks", labels) / "dev.jsonl"
    target = tmp_path / "out.jsonl"
    weights = tiny_world["tracker.weights"]
    code, text = run(predict, source, "-o", target, "--weights", weights)
    assert code == 0, text
    given, made = ([json.loads(line) for line in path.read_text().splitlines()] for path in (source, target))
    assert [line["dialogue"] for line in made] == [line["dialogue"] for line in given]
    for before, after in zip(given, made, strict=True):
        for said, labelled in zip(before["utterances"], after["utterances"], strict=True):
            estimate = labelled.pop("estimate")
            assert set(estimate["probs"]) == {"neutral", "joy", "anger"}
            assert {name: labelled[name] for name in ("speaker", "text", "label")} == {
                name: said[name] for name in ("speaker", "text", "label")
            }
    code, line = run(predict, source, "-o", target, "--weights", weights)
    assert code == 4
    assert "is there already" in line
    assert run(predict, source, "-o", target, "--weights", weights, "--force")[0] == 0


def test_a_folder_is_no_file(tiny_world: dict[str, str], tmp_path: Path) -> None:
    data = corpus(tmp_path / "talks", (None,))
    code, line = run(predict, data, "-o", tmp_path / "out.jsonl", "--weights", tiny_world["tracker.weights"])
    assert code == 4
    assert "is a folder: give one of its files, such as" in line
