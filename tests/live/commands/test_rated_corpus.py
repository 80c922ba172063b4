"""A corpus in the neutral format whose ratings follow the words: `train` learns valence from it, and `evaluate` and
`predict` say what was learnt.
"""

import json
import random
import re
from pathlib import Path

import pytest
from commands import run
from tiny_bert import make_tiny_bert

from erc_live.live.commands.evaluate import evaluate
from erc_live.live.commands.predict import predict
from erc_live.live.commands.train import train
from erc_live.models import checkpoint

STRENGTH = {"awful": -0.8, "no": -0.3, "well": 0.0, "is": 0.3, "great": 0.8}  # within a label, ratings differ by words


def utterance(draw: random.Random) -> dict[str, object]:
    word = draw.choice(list(STRENGTH))
    rated = {"valence": STRENGTH[word]} if draw.random() < 0.9 else {}
    label = "anger" if STRENGTH[word] < 0.1 else "joy"
    return {"speaker": draw.choice("AB"), "text": f"{draw.choice('abc')} {word}", "label": label, **rated}


@pytest.fixture
def rated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "rated"
    folder.mkdir()
    for split, size in (("train", 50), ("dev", 20)):
        draw = random.Random(split)
        talks = [{"dialogue": str(n), "utterances": [utterance(draw) for _ in range(5)]} for n in range(size)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    return folder


def test_valence_is_learnt_and_told(rated: Path, tmp_path: Path) -> None:
    weights, out = tmp_path / "run", tmp_path / "out.jsonl"
    sizes = ("width=16", "heads=2", "layers=1", "window=2", "dropout=0.0", "text_alone=0.0")
    options = [part for size in sizes for part in ("--size", size)]
    common = ("--corpus", rated, "--encoder", make_tiny_bert(tmp_path / "bert"), "--rate", 0.01, *options)
    code, said = run(train, *common, "--epochs", 8, "--out", weights)
    assert code == 0, said
    assert "valence CCC 0." in said
    assert checkpoint.load(str(weights)).card.config["valence"]

    code, said = run(evaluate, "--corpus", rated, "--weights", weights, "--json")
    assert code == 0, said
    (name, score), *rest = json.loads(said)["dimensions"].items()
    assert (name, rest, score["learnt"]) == ("valence", [], True)
    assert score["interval"][0] <= score["ccc"] <= score["interval"][1]
    assert score["ccc"] > 0.85
    assert "rated, learnt)" in run(evaluate, "--corpus", rated, "--weights", weights)[1]
    code, pooled = run(evaluate, weights, "--corpus", rated, "--json")
    assert code == 0, pooled
    (found,) = json.loads(pooled)["runs"]
    assert (found["dimensions"].keys(), found["dimensions"]["valence"]["learnt"]) == ({"valence"}, True)
    ccc = found["dimensions"]["valence"]["ccc"]
    assert ccc["mean"] == pytest.approx(score["ccc"])
    assert [ccc["low"], ccc["high"]] == pytest.approx(score["interval"])
    itself = run(evaluate, weights, "--corpus", rated, "--against", weights)[1]
    assert re.search(r"^valence CCC \(\d+ rated, +0\.\d{3} .* none$", itself, re.MULTILINE), itself

    code, said = run(predict, rated / "dev.jsonl", "--out", out, "--weights", weights)
    assert code == 0, said
    said_of = [turn for line in out.read_text().splitlines() for turn in json.loads(line)["utterances"]]
    misses = [abs(turn["estimate"]["valence"] - turn["valence"]) for turn in said_of if "valence" in turn]
    assert sum(misses) / len(misses) < 0.25
    probs = said_of[0]["estimate"]["probs"]
    places = {"joy": 0.48, "anger": 0.59}  # of arousal, which nobody rated
    assert said_of[0]["estimate"]["arousal"] == pytest.approx(
        sum(p * places[name] for name, p in probs.items()), abs=1e-4
    )


def test_few_ratings_are_told(rated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("erc_live.live.commands.train.err.print", lambda line, **_: told.append(line))
    lines = (rated / "train.jsonl").read_text().splitlines()
    (rated / "train.jsonl").write_text("\n".join(lines[:20]) + "\n")
    common = ("--corpus", rated, "--encoder", make_tiny_bert(tmp_path / "bert"), "--out", tmp_path / "run")
    assert run(train, *common, "--epochs", 1, "--size", "width=8", "--size", "heads=2")[0] == 0
    assert any("200 are needed to learn it" in line for line in told)
    assert not checkpoint.load(str(tmp_path / "run")).card.config["valence"]
    code, said = run(train, *common, "--force", "--size", "arousal=true")
    assert (code, "no rating of arousal" in said) == (4, True)
