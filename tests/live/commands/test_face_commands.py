"""`erc-live encoder ... face` on a small folder laid out as FER+ is here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from erc_live.live.commands.encoder import encoder_app
from erc_live.live.errors import ConfigError
from erc_live.models.encoders.face import FACE_LABELS, FaceEncoder
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training.face_task import FaceTask, FaceTraining


def write(path: Path, n: int, seed: int) -> None:
    """Faces with a bright row for their label, nine votes for it, one for neutral; the last is no face."""
    pixels = np.random.default_rng(seed).integers(60, 120, (n, 48, 48), np.uint8)
    votes = np.zeros((n, 10), np.uint8)
    for place in range(n):
        pixels[place, 5 * (place % 8) : 5 * (place % 8) + 5] = 240
        votes[place, place % 8] = 9
        votes[place, 0] += 1
    votes[-1] = [0] * 9 + [10]
    np.savez(path, pixels=pixels, votes=votes)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for seed, (name, n) in enumerate({"train": 33, "valid": 17, "test": 25}.items()):
        write(folder / f"{name}.npz", n, seed)
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    config = FaceTraining(batch=16)
    network = {"widths": (8, 16), "depths": (1, 1)}
    monkeypatch.setattr(FaceTraining, "__init__", _init(config, network))


def _init(config: FaceTraining, network: dict[str, tuple[int, ...]]) -> Any:
    values = vars(config) | {"network": network}

    def init(self: FaceTraining, **given: object) -> None:
        vars(self).update(values | given)

    return init


def run(*arguments: object) -> str:
    done = CliRunner().invoke(encoder_app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def scored(*arguments: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("evaluate", "face", "--json", *arguments))
    return answer


@pytest.mark.usefixtures("small")
def test_training_writes_weights_that_can_be_measured(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("train", "face", "--corpus", corpus, "--out", out, "--epochs", 1, "--seed", 3)
    card = json.loads((out / "card.json").read_text())
    assert card["training"]["seed"] == 3
    assert "research only" in card["training"]["licence"]
    answer = scored("--corpus", corpus, "--weights", out)
    assert answer["weights"] == FaceEncoder.load(out).fingerprint
    assert {name: answer[name] for name in card["scores"]["dev"]} == card["scores"]["dev"]


@pytest.mark.usefixtures("small")
def test_ctrl_c_ends_training_and_the_same_command_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", "face", "--corpus", str(corpus), "--out", str(tmp_path / "run"), "--epochs", "2"]
    with monkeypatch.context() as patched:
        patched.setattr(FaceTask, "score", interrupted)
        done = CliRunner().invoke(encoder_app, command)
    assert (done.exit_code, "the same command goes on" in " ".join(done.stderr.split())) == (130, True)
    run(*command)
    assert (tmp_path / "run" / "card.json").is_file()


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_held_out_faces_are_scored(corpus: Path) -> None:
    answer = scored("--corpus", corpus, "--split", "test")
    assert answer["faces"] == 24
    assert set(answer["recall"]) == set(FACE_LABELS)
    assert sum(map(sum, answer["confusion"])) == 24


def test_degradations_are_named_and_done(corpus: Path) -> None:
    answer = scored("--corpus", corpus, "--degrade", "small", "--degrade", "dark")
    assert answer["degrade"] == ["small", "dark"]
    with pytest.raises(ConfigError, match="blur, dark, small, tiny"):
        run("evaluate", "face", "--corpus", corpus, "--degrade", "rain")


def test_a_table_for_people(corpus: Path) -> None:
    shown = run("evaluate", "face", "--corpus", corpus)
    assert "16 faces: accuracy" in shown
    assert all(label in shown for label in FACE_LABELS)
    assert max(map(len, shown.splitlines()[:9])) <= 80


def test_a_corpus_or_weights_that_are_not_there(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no dev\.npz"):
        run("evaluate", "face", "--corpus", tmp_path)
    with pytest.raises(CorpusError, match="no split"):
        run("evaluate", "face", "--corpus", corpus, "--split", "all")
    with pytest.raises(WeightsError, match=r"card\.json"):
        run("evaluate", "face", "--corpus", corpus, "--weights", tmp_path)
    (corpus / "train.npz").unlink()
    with pytest.raises(CorpusError, match=r"no train\.npz"):
        run("train", "face", "--corpus", corpus, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
