"""`erc-live predict`: from a file to a file, with any labels or none, and what it refuses."""

import json
from pathlib import Path

import pytest
from commands import corpus, run

from erc_live.live.commands.evaluate import evaluate
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


def test_faces_are_looked_at_as_when_the_weights_were_trained(
    tiny_world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused in the words of a session, and before anything is measured."""
    settings = tmp_path / "erc-live" / "config.toml"
    settings.parent.mkdir()
    settings.write_text('[visual]\nfaces = "all"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    data, weights = tmp_path / "films", tiny_world["tracker.weights"]
    data.mkdir()
    (data / "film.mp4").write_bytes(b"never opened")
    said = {"speaker": "A", "text": "well", "label": "joy", "video": "film.mp4", "start_s": 0.0, "end_s": 1.0}
    (data / "dev.jsonl").write_text(json.dumps({"dialogue": "d", "utterances": [said]}) + "\n")
    for command in (
        (predict, data / "dev.jsonl", "-o", tmp_path / "out.jsonl", "--weights", weights),
        (evaluate, weights, "--corpus", data),
    ):
        code, line = run(*command)
        assert code == 5
        assert "the model expects visual vectors of encoder" in line
        assert "of all faces: load the encoder that belongs to this model" in line


def test_a_folder_is_no_file(tiny_world: dict[str, str], tmp_path: Path) -> None:
    data = corpus(tmp_path / "talks", (None,))
    code, line = run(predict, data, "-o", tmp_path / "out.jsonl", "--weights", tiny_world["tracker.weights"])
    assert code == 4
    assert "is a folder: give one of its files, such as" in line
