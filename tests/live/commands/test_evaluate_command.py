"""`erc-live evaluate`: scores in full, side by side, as JSON and drawn; what it refuses, and how it says so."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from commands import corpus, run
from tiny_world import answering

from erc_live.live.commands.evaluate import evaluate
from erc_live.models import card as cards
from erc_live.models import checkpoint
from erc_live.models.networks.dialogue_graph import DialogueGraphConfig

LABELS = ("neutral", "joy", "anger")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "evaluate-cache"))


@pytest.fixture
def weights(tiny_world: dict[str, str]) -> Path:
    return Path(tiny_world["tracker.weights"])


@pytest.fixture
def twin(weights: Path, tmp_path: Path) -> Path:
    """The two-sided twin of the tiny weights, with the curve of its training."""
    folder = tmp_path / "twin"
    shutil.copytree(weights, folder)
    card = cards.read(str(weights)).card
    torch.manual_seed(1)
    model = answering(DialogueGraphConfig(**{**card.config, "causal": False}))
    curve = {"loss": [1.2, 0.9], "dev_weighted_f1": [0.3, 0.4]}
    training = {"seed": 3, "curve": curve}
    scores = {"dev": {"temperature": 1.5}}
    checkpoint.save(
        folder, model, replace(card, config={**card.config, "causal": False}, training=training, scores=scores)
    )
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return corpus(tmp_path / "talks", (*LABELS, None))


def test_one_run_is_one_object(data: Path, weights: Path) -> None:
    code, text = run(evaluate, "--corpus", data, "--weights", weights, "--json")
    assert code == 0, text
    found = json.loads(text)
    assert (found["corpus"], found["split"], found["network"]) == ("talks", "dev", "dialogue_graph")
    assert (found["modalities"], found["look_ahead"]) == (["text", "audio"], 0)
    labelled = sum(row.count('"label": "') for row in (data / "dev.jsonl").read_text().splitlines())
    assert found["utterances"] == labelled
    assert sum(map(sum, found["confusion"])) == labelled
    assert list(found["classes"]) == list(LABELS)
    assert 0 <= found["weighted_f1"] <= 1
    assert found["abstention"]["threshold"] == 0.4
    assert found["unscaled"] is None  # the card does not tell a temperature


def test_a_modality_can_be_left_out_in_two_ways(data: Path, weights: Path) -> None:
    hidden, chosen, both = (
        json.loads(run(evaluate, "--corpus", data, "--weights", weights, "--json", *options)[1])
        for options in (("--hide", "audio"), ("--modalities", "tv"), ())
    )
    assert hidden == chosen
    assert hidden["modalities"] == ["text"]
    assert hidden["calibration"] != both["calibration"]


def test_the_terminal_shows_all_of_it_in_80_columns(data: Path, twin: Path) -> None:
    code, text = run(evaluate, "--corpus", data, "--weights", twin)
    assert code == 0, text
    assert max(map(len, text.splitlines())) <= 80
    for part in ("W-F1", "label \\ answer", "first 5 utterances", "two speakers", "before scaling", "certain"):
        assert part in text
    assert "temperature 1.500, fitted on this very split" in text
    assert "fitted on" not in run(evaluate, "--corpus", data, "--weights", twin, "--split", "train")[1]


def test_subsets_side_by_side(data: Path, weights: Path) -> None:
    command = (evaluate, "--corpus", data, "--weights", weights, "--by-modality")
    found = json.loads(run(*command, "--json")[1])
    assert [one["modalities"] for one in found["runs"]] == [["text", "audio"], ["text"], ["audio"]]
    assert [set(one) for one in found["differences"]] == [{"weighted_f1", "low", "high", "p"}] * 2
    gain = found["runs"][1]["weighted_f1"] - found["runs"][0]["weighted_f1"]
    assert found["differences"][0]["weighted_f1"] == pytest.approx(gain)
    assert "paired bootstrap" in run(*command)[1]


def test_weights_are_compared_with_the_first(data: Path, weights: Path, twin: Path) -> None:
    found = json.loads(run(evaluate, "--corpus", data, "--weights", weights, "--weights", twin, "--json")[1])
    assert [one["weights"] for one in found["runs"]] == [str(weights), str(twin)]
    assert [one["look_ahead"] for one in found["runs"]] == [0, "full"]
    assert len(found["differences"]) == 1


@pytest.fixture
def seeds(weights: Path, tmp_path: Path) -> Path:
    """A run of three seeds."""
    card = cards.read(str(weights)).card
    for seed in range(3):
        folder = tmp_path / "run" / f"seed-{seed}"
        shutil.copytree(weights, folder)
        torch.manual_seed(seed)
        checkpoint.save(folder, answering(DialogueGraphConfig(**card.config)), card)
    return tmp_path / "run"


def test_the_seeds_of_a_run_are_pooled(data: Path, seeds: Path) -> None:
    code, text = run(evaluate, seeds, "--corpus", data, "--json")
    assert code == 0, text
    (found,) = json.loads(text)["runs"]
    alone = [
        json.loads(run(evaluate, "--corpus", data, "--weights", seeds / f"seed-{seed}", "--json")[1])
        for seed in range(3)
    ]
    for name in ("weighted_f1", "macro_f1"):
        assert found["overall"][name]["by_seed"] == pytest.approx([one[name] for one in alone])
        assert found["overall"][name]["low"] <= found["overall"][name]["mean"] <= found["overall"][name]["high"]
    assert found["f1"]["joy"]["by_seed"] == pytest.approx([one["classes"]["joy"]["f1"] for one in alone])
    assert sum(found["utterances_by_speaker"].values()) == alone[0]["utterances"]


def test_runs_are_compared_and_what_chance_explains_is_none(data: Path, seeds: Path, weights: Path) -> None:
    code, text = run(evaluate, seeds, "--corpus", data, "--against", seeds, "--json")
    assert code == 0, text
    itself = json.loads(text)["runs"][0]["overall"]["weighted_f1"]["against"]
    assert itself == {"difference": 0.0, "low": 0.0, "high": 0.0, "none": True}
    code, text = run(evaluate, seeds, "--corpus", data, "--against", weights)
    assert code == 0, text
    assert max(map(len, text.splitlines())) <= 80
    assert "3 seeds" in text
    assert re.search(r"^W-F1 .* [+-]0\.\d{3} \[[+-]0\.\d{3}, [+-]0\.\d{3}\]", text, re.MULTILINE)  # on one line
    assert "none" in text
    by_modality = ("--by-modality", "--json")
    found = json.loads(run(evaluate, seeds, "--corpus", data, "--against", weights, *by_modality)[1])["runs"]
    assert [one["modalities"] for one in found] == [["text", "audio"], ["text"], ["audio"]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--against", "x"), "--against x: name the run"),
        (("x", "--weights", "default"), "give the run x or --weights"),
    ],
)
def test_what_a_run_is_not_asked_together_with(data: Path, options: tuple[str, ...], says: str) -> None:
    code, line = run(evaluate, *options, "--corpus", data)
    assert (code, says in line, "\n" in line) == (2, True, False), line


def test_the_look_ahead_curve_of_a_two_sided_network(data: Path, twin: Path) -> None:
    steps = ("0", "1", "2", "full")
    options = [part for step in steps for part in ("--look-ahead", step)]
    found = json.loads(run(evaluate, "--corpus", data, "--weights", twin, *options, "--json")[1])
    assert [one["look_ahead"] for one in found["runs"]] == [0, 1, 2, "full"]
    assert len({one["calibration"]["nll"] for one in found["runs"]}) == 4


@pytest.mark.parametrize("options", [("--look-ahead", "1"), ("--look-ahead", "full")])
def test_a_causal_network_cannot_look_ahead(data: Path, weights: Path, options: tuple[str, str]) -> None:
    code, line = run(evaluate, "--corpus", data, "--weights", weights, *options)
    assert code == 2
    assert "causal dialogue_graph and cannot use what follows" in line
    assert "\n" not in line
    assert run(evaluate, "--corpus", data, "--weights", weights, "--look-ahead", "0")[0] == 0


@pytest.mark.parametrize(
    ("labels", "options", "code", "says"),
    [
        (("neutral", "glee"), (), 4, "label glee is not known .* `erc-live corpus convert --map glee=neutral`"),
        ((None,), (), 4, "no utterance has a label to score; `erc-live predict`"),
        (LABELS, ("--split", "test"), 4, "no test split"),
        (LABELS, ("--hide", "smell"), 2, "--hide smell: there are text, audio, visual"),
        (LABELS, ("--modalities", "tx"), 2, "letters t"),
        (LABELS, ("--modalities", "v"), 2, "talks has only text, audio"),
        (LABELS, ("--look-ahead", "some"), 2, "give a number of utterances, or full"),
        (LABELS, ("--plot", "scores.jpeg"), 2, "ends in .svg, .png, .pdf, or a folder"),
    ],
)  # fmt: skip
def test_what_is_refused_is_one_line(
    tmp_path: Path, weights: Path, labels: tuple[str | None, ...], options: tuple[str, ...], code: int, says: str
) -> None:
    data = corpus(tmp_path / "talks", labels)
    found, line = run(evaluate, "--corpus", data, "--weights", weights, *options)
    assert (found, "\n" in line) == (code, False), line
    assert re.search(says, line), line


def test_models_with_other_labels_are_not_compared(data: Path, weights: Path, twin: Path) -> None:
    card = json.loads((twin / "card.json").read_text())
    (twin / "card.json").write_text(json.dumps({**card, "labels": ["joy", "neutral", "anger"]}))
    code, line = run(evaluate, "--corpus", data, "--weights", weights, "--weights", twin)
    assert code == 2
    assert "same labels in the same order" in line
    assert f"{twin} joy, neutral, anger" in line


def test_it_is_drawn_into_a_folder_or_a_file_and_twice_the_same(
    data: Path, weights: Path, twin: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "plots"
    run(evaluate, "--corpus", data, "--weights", weights, "--weights", twin, "--plot", folder)
    drawn = sorted(path.name for path in folder.iterdir())
    assert drawn == [
        "calibration.svg", "classes.svg", "confusion_1.svg", "confusion_2.svg", "risk_coverage.svg", "training.svg",
    ]  # fmt: skip
    assert all(ElementTree.parse(folder / name).getroot().tag.endswith("svg") for name in drawn)
    for name in ("one.png", "two.png"):
        code, text = run(evaluate, "--corpus", data, "--weights", weights, "--plot", tmp_path / name)
        assert code == 0, text
        assert "drawn:" in text
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_valence_and_arousal_are_scored_where_raters_placed_them(data: Path, weights: Path) -> None:
    lines = [json.loads(line) for line in (data / "dev.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["utterances"][0] |= {"valence": number / 10, "arousal": -number / 10}
    (data / "dev.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, text = run(evaluate, "--corpus", data, "--weights", weights, "--json")
    assert code == 0, text
    found = json.loads(text)["dimensions"]
    assert found["valence"]["utterances"] == found["arousal"]["utterances"] == len(lines)
    assert all(abs(score["ccc"]) <= 1 and 0 <= score["mae"] <= 2 for score in found.values())
    other = json.loads(
        run(evaluate, "--corpus", data, "--weights", weights, "--json", "--set", "tracker.coordinates={joy=[-1,1]}")[1]
    )
    assert other["dimensions"]["valence"]["mae"] != found["valence"]["mae"]
    code, text = run(evaluate, "--corpus", data, "--weights", weights)
    assert "valence: CCC" in text
