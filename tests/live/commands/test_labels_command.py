"""`erc-live labels`: from sentences to weights that everything takes, what they are worth, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import corpus, run

from erc_live.live.commands.evaluate import evaluate
from erc_live.live.commands.labels import measure, new
from erc_live.live.commands.places import own_weights
from erc_live.live.commands.predict import predict
from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models import checkpoint
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import Recogniser, UtteranceFeatures

LINES = "# mine\ncalm\tit is great\ncalm\toh yes\n\ntense\tawful\ntense\tit is awful here\n"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def encoder(tiny_world: dict[str, str]) -> Path:
    return Path(tiny_world["tracker.weights"]) / "text"


def sentences(tmp_path: Path, text: str = LINES) -> Path:
    path = tmp_path / "examples.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_sentences_become_weights(tmp_path: Path, encoder: Path) -> None:
    code, text = run(new, "mine", "--from", sentences(tmp_path), "--encoder", encoder)
    assert code == 0, text
    assert "calm (2), tense (2); estimated expressed emotion, from words alone and not measured" in text
    loaded = checkpoint.load(str(own_weights("mine")))
    assert loaded.card.labels == ("calm", "tense")
    assert loaded.card.training["anchors"] == {"calm": 2, "tense": 2}
    assert "nothing was trained" in loaded.card.training["made_of"]
    assert loaded.card.scores == {}
    code, line = run(new, "mine", "--from", sentences(tmp_path), "--encoder", encoder)
    assert (code, "--force to replace them" in line) == (2, True)
    assert run(new, "mine", "--from", sentences(tmp_path), "--encoder", encoder, "--force")[0] == 0


def heard(encoders: dict[str, str]) -> UtteranceFeatures:
    """What perception says of an utterance with words and a voice."""
    stamps = ("t_start_ns", "t_end_ns", "t_closed_ns", "t_text_ns", "t_features_ns")
    random = np.random.default_rng(0)
    return UtteranceFeatures(
        dialogue="main",
        utterance="mic-0:0",
        source="mic-0",
        speaker_name=None,
        text="well",
        engine=Recogniser(name="fake"),
        face_coverage=None,
        final=True,
        revision=0,
        words=(),
        text_confidence=None,
        skipped=False,
        closed_by="silence",
        vectors={"text": random.random(16).astype(np.float32), "audio": random.random(15).astype(np.float32)},
        encoders=encoders,
        **{stamp: number for number, stamp in enumerate(stamps)},
    )


def test_they_label_a_file_and_a_session(tmp_path: Path, encoder: Path) -> None:
    run(new, "mine", "--from", sentences(tmp_path), "--encoder", encoder)
    weights = own_weights("mine")
    source = corpus(tmp_path / "talks", ("calm", "tense")) / "dev.jsonl"
    code, text = run(predict, source, "-o", tmp_path / "out.jsonl", "--weights", weights)
    assert code == 0, text
    found = [
        turn for row in (tmp_path / "out.jsonl").read_text().splitlines() for turn in json.loads(row)["utterances"]
    ]
    assert {tuple(turn["estimate"]["probs"]) for turn in found} == {("calm", "tense")}
    assert {turn["estimate"]["label"] for turn in found if turn["text"].startswith("awful")} == {"tense"}
    code, text = run(evaluate, "--corpus", tmp_path / "talks", "--weights", weights, "--json")
    assert json.loads(text)["modalities"] == ["text"]
    loaded = checkpoint.load(str(weights))
    event = Tracker(loaded, SessionStart("s", 0, 0), ManualClock()).observe(
        heard({**loaded.card.encoders, "audio": "x"})
    )
    assert event.modalities == ("text",)
    assert set(event.probs) == {"calm", "tense"}
    assert event.valence is None  # nobody said where these labels lie


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("calm it is great\ntense\tawful\n", "line 1: write a label, one tab and a sentence, not 'calm it is great'"),
        ("calm\tit is great\n\t\n#\ntense\t\n", "line 4: write a label"),
        ("calm\tit is\tgreat\n", "line 1: write a label"),
        ("calm\tit is great\ncalm\toh yes\n", "1 labels: give sentences of at least two"),
        ("", "0 labels"),
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_refused_in_a_line(tmp_path: Path, encoder: Path, text: str, says: str) -> None:
    code, line = run(new, "mine", "--from", sentences(tmp_path, text), "--encoder", encoder)
    assert (code, "\n" in line) == (4, False)
    assert re.search(re.escape(says), line), line
    assert not own_weights("mine").exists()


def test_a_missing_file_and_a_strange_name_are_refused(tmp_path: Path, encoder: Path) -> None:
    code, line = run(new, "mine", "--from", tmp_path / "absent.txt", "--encoder", encoder)
    assert (code, "absent.txt cannot be read (No such file" in line) == (4, True)
    code, line = run(new, "../mine", "--from", sentences(tmp_path), "--encoder", encoder)
    assert (code, "cannot be the name of a folder" in line) == (2, True)


def test_what_sentences_are_worth_is_measured_beside_the_trained(tmp_path: Path, tiny_world: dict[str, str]) -> None:
    data = corpus(tmp_path / "talks", ("neutral", "joy", "anger"))
    command = (
        measure,
        "--corpus",
        data,
        "--weights",
        tiny_world["tracker.weights"],
        "--anchors",
        "1,4",
        "--draws",
        "3",
    )
    code, text = run(*command, "--json")
    assert code == 0, text
    found = json.loads(text)
    assert set(found["by_size"]) == {"1", "4"}
    for row in found["by_size"].values():
        assert row["weighted_f1"]["low"] <= row["weighted_f1"]["mean"] <= row["weighted_f1"]["high"]
    assert found["by_size"]["1"]["certain"]["mean"] == 0.0  # nothing was left to choose a threshold on
    alone = json.loads(
        run(evaluate, "--corpus", data, "--weights", tiny_world["tracker.weights"], "--hide", "audio", "--json")[1]
    )
    assert found["trained"]["weighted_f1"] == pytest.approx(alone["weighted_f1"])
    assert 0 < found["majority"]["weighted_f1"] < 0.5
    table = run(*command)[1]
    assert max(map(len, table.splitlines()[:5])) <= 80
    assert [row.split()[0] for row in table.splitlines()[:5]] == ["sentences", "1", "4", "majority", "trained"]
    code, line = run(measure, "--corpus", data, "--anchors", "many")
    assert (code, "give numbers of sentences" in line) == (2, True)


def test_what_sentences_are_worth_is_not_measured_on_themselves(tmp_path: Path, tiny_world: dict[str, str]) -> None:
    data, weights = corpus(tmp_path / "talks", ("neutral", "joy", "anger")), tiny_world["tracker.weights"]
    code, line = run(measure, "--corpus", data / "dev.jsonl", "--weights", weights)
    assert (code, "would be scored by sentences of its own" in line, "\n" in line) == (4, True, False)
    strange = corpus(tmp_path / "strange", ("bliss", "joy"))
    code, line = run(measure, "--corpus", strange, "--weights", weights)
    assert (code, "label bliss is not known to the weights" in line, "\n" in line) == (4, True, False)
    code, text = run(measure, "--corpus", data, "--weights", weights, "--anchors", "1,900", "--draws", "2", "--json")
    assert code == 0, text
    assert "NaN" not in text
    json.loads(text)
