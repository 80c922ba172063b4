"""A checkpoint comes back as it was saved, and nothing that differs from its card is loaded."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from erc_live.models import card, checkpoint
from erc_live.models.card import CARD, PRETRAINED, WEIGHTS, Card, Confidence
from erc_live.models.errors import WeightsError
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig

OWN = "text/model.safetensors"
SMALL = {"classes": 2, "text_dim": 4, "width": 8, "heads": 2, "window": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text").mkdir()
    save_file({"x": torch.zeros(2)}, tmp_path / OWN)
    encoders = {"text": "abc", "visual": "def"}
    described = Card(
        "dialogue_graph", SMALL, ("calm", "not calm"), encoders, {"dev": {}}, {"command": "erc-live train"}, 0.3
    )
    checkpoint.save(tmp_path, DialogueGraph(DialogueGraphConfig(**SMALL)), described)
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    content = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**content, **changes}))


def test_round_trip(folder: Path) -> None:
    first, again = checkpoint.load(str(folder)), checkpoint.load(str(folder))
    assert first.card.labels == ("calm", "not calm")
    assert first.card.encoders == {"text": "abc", "visual": "def"}
    assert first.card.abstain_below == 0.3
    assert first.text_folder == folder / "text"
    assert re.fullmatch("[0-9a-f]{12}", first.fingerprint)
    assert not first.model.training
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_how_sure_an_answer_is_depends_on_what_it_rests_on(folder: Path) -> None:
    loaded = checkpoint.load(str(folder))
    voice = Confidence(1.5, 0.6)
    checkpoint.save(folder, loaded.model, replace(loaded.card, by_modalities={"a": voice}))
    card = checkpoint.load(str(folder)).card
    assert card.confidence(("audio",)) == voice
    assert card.confidence({"text": 1, "audio": 2}) == Confidence(1.0, card.abstain_below)


def test_a_card_of_before_that_is_read(folder: Path) -> None:
    content = json.loads((folder / CARD).read_text())
    del content["by_modalities"]
    (folder / CARD).write_text(json.dumps(content))
    card = checkpoint.load(str(folder)).card
    assert card.confidence(("audio",)) == Confidence(1.0, card.abstain_below)


@pytest.mark.parametrize("name", [WEIGHTS, OWN])
def test_a_changed_or_missing_file_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name} is not the file that card.json describes"):
        checkpoint.load(str(folder))
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name):
        checkpoint.load(str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {**SMALL, "width": 16}},
        {"config": {**SMALL, "layers": 3}},
        {"config": {**SMALL, "heads": 3}},
        {"config": {**SMALL, "depth": 3}},
        {"labels": ["calm"]},
    ],
)
def test_weights_that_do_not_fit_the_card_are_refused(folder: Path, changes: dict[str, object]) -> None:
    edit(folder, **changes)
    with pytest.raises(WeightsError, match=r"^[^\n]*does not fit the network in card.json[^\n]*$"):
        checkpoint.load(str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "erc.model/9"},
        {"sha256": {}},
        {"extra": 1},
        {"labels": []},
        {"labels": ["calm", "calm"]},
        {"encoders": {"smell": "abc"}},
        {"encoders": "abc"},
        {"abstain_below": 1.5},
        {"abstain_below": "often"},
        {"by_modalities": {"a": {"temperature": 0.0}}},
        {"by_modalities": {"a": {"abstain_below": 2.0}}},
        {"by_modalities": {"a": {"warmth": 1.0}}},
        {"by_modalities": ["a"]},
    ],
)
def test_a_foreign_card_is_refused(folder: Path, changes: dict[str, object]) -> None:
    edit(folder, **changes)
    with pytest.raises(WeightsError, match="no model card of this version"):
        checkpoint.load(str(folder))


def test_an_unknown_network_is_refused_and_the_known_ones_are_named(folder: Path) -> None:
    edit(folder, network="x")
    with pytest.raises(WeightsError, match="'x'; there are dialogue_graph"):
        checkpoint.load(str(folder))


def test_a_damaged_card_and_an_absent_folder_are_refused(folder: Path) -> None:
    (folder / CARD).write_text("{")
    with pytest.raises(WeightsError, match="no model card"):
        checkpoint.load(str(folder))
    with pytest.raises(WeightsError, match=r"no card.json in nowhere: give the name"):
        checkpoint.load("nowhere")


def test_vectors_of_another_encoder_are_refused(folder: Path) -> None:
    loaded = checkpoint.load(str(folder))
    loaded.check_encoders({"text": "abc", "audio": "not used by this model"})
    loaded.check_encoders({"text": "abc", "visual": "def"})
    with pytest.raises(WeightsError, match="expects text vectors of encoder abc, these are of abd"):
        loaded.check_encoders({"text": "abd"})
    with pytest.raises(WeightsError, match="expects visual vectors of encoder def, these are of abc"):
        loaded.check_encoders({"text": "abc", "visual": "abc"})


def test_encoders_that_a_model_does_not_bring_are_the_shipped_ones(folder: Path) -> None:
    described = card.read(str(folder))
    assert described.encoder_folder("text") == folder / "text"
    assert described.encoder_folder("voice") == PRETRAINED / "voice"
    assert described.encoder_folder("face") == PRETRAINED / "face"


def test_a_card_of_an_older_version_says_so(folder: Path) -> None:
    edit(folder, format="erc.model/1", encoder="abc")
    with pytest.raises(WeightsError, match=r"^[^\n]*of an older version of erc-live: train the model again[^\n]*$"):
        checkpoint.load(str(folder))


def test_the_shipped_weights_are_whole() -> None:
    shipped = checkpoint.load("default")
    assert shipped.card.labels == ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
    assert shipped.card.scores["dev"]["utterances"] == 1109
    assert shipped.card.training["command"].startswith("erc-live train")
    files = [path for path in PRETRAINED.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert sum(path.stat().st_size for path in files) < 115e6  # three fifths of it are the encoder of `large`
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}


def test_a_card_knows_what_taught_its_weights() -> None:
    chosen_on_dev = Card("x", {}, ("a",), {}, {"dev": {}}, {"corpora": ["MELD"]})
    assert [chosen_on_dev.learnt("MELD", split) for split in ("train", "dev", "test")] == [True, False, False]
    assert not chosen_on_dev.learnt("IEMOCAP", "train")
    in_folds = replace(chosen_on_dev, scores={"folds": {}})
    assert [in_folds.learnt("MELD", split) for split in ("train", "dev", "test")] == [True, True, False]
