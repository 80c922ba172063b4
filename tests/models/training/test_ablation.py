"""The table of networks on a small language: it is all there, it goes on where it ended, and what it says is true."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_bert import make_tiny_bert
from worlds import dataset

from erc_live.models.networks import NETWORKS
from erc_live.models.training import ablation, ablation_tables
from erc_live.models.training.ablation import Bench, Cell, Outcome, plan, run_cell
from erc_live.models.training.augment import Disturbance
from erc_live.models.training.graph_config import TrainConfig
from erc_live.models.training.metrics import Answers, weighted_f1

STILL = Disturbance(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SIZES = {"width": 16, "layers": 1, "heads": 2, "window": 3, "dropout": 0.0}
BASE = TrainConfig(sizes=SIZES, seeds=(0, 1), epochs=2, batch_utterances=24, rate=1e-2, disturbance=STILL)


def test_the_plan_has_every_network_form_and_subset_and_every_block() -> None:
    cells = plan(("text", "audio"), BASE, quick=False)
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    plain = [cell for cell in cells if not cell.block]
    assert {(cell.config.network, cell.causal, cell.config.modalities) for cell in plain} == {
        (network, causal, heard)
        for network in NETWORKS
        for causal in (True, False)
        for heard in (("text", "audio"), ("text",), ("audio",))
    }
    blocks = [cell for cell in cells if cell.block]
    assert len(blocks) == len(ablation.BLOCKS) + 1
    for cell in blocks:
        assert cell.config.network == "dialogue_graph"
        assert cell.causal
        assert cell.config.modalities == ("text", "audio")
    changed = {cell.block: cell.config.sizes for cell in blocks}
    assert changed["window 0 (no context)"] == {**SIZES, "causal": True, "window": 0}
    assert [cell for cell in blocks if not cell.speakers] == [blocks[-1]]


@pytest.mark.parametrize("quick", [True, False])
def test_every_cell_can_be_built(quick: bool) -> None:
    inputs = {"classes": 7, "text_dim": 16, "audio_dim": 15, "visual_dim": 8}
    for cell in plan(("text", "audio"), replace(BASE, sizes={}), quick):
        if len(cell.config.modalities) < 2:
            continue  # as large as the others
        network = NETWORKS[cell.config.network]
        with torch.device("meta"):  # shapes alone
            model = network.model(network.config(**{**inputs, **cell.config.sizes}))
        assert sum(parameter.numel() for parameter in model.parameters()) < 13e6, cell.name


pytestmark = pytest.mark.xdist_group("ablation")  # what its fixtures train is trained once


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("experiment")
    return Bench(dataset(16, 8), make_tiny_bert(folder / "bert"), folder / "table", folder / "cache", "erc-live")


WANTED = ("dialogue_graph causal ta", "dialogue_graph two-sided ta", "dialogue_graph causal ta window 0 (no context)",
          "dialogue_graph causal ta speakers not told apart")  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(bench: Bench) -> list[Outcome]:
    cells = {cell.name: cell for cell in plan(("text", "audio"), BASE, quick=False)}
    return [run_cell(bench, cells[name]) for name in WANTED]


def test_a_cell_leaves_the_best_run_and_the_answers_of_all_seeds(bench: Bench, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        folder = bench.folder_of(outcome.cell)
        card = json.loads((folder / "card.json").read_text())
        scores = [answers.weighted_f1() for answers in outcome.answers]
        assert card["training"]["seeds"]["weighted_f1"]["by_seed"] == pytest.approx({"0": scores[0], "1": scores[1]})
        assert not list(folder.glob("seed-*"))
    logits = [outcome.answers[0].logits for outcome in outcomes]
    assert all(not torch.allclose(other, logits[0], atol=1e-3) for other in logits[1:])


def test_only_the_twin_looks_ahead(outcomes: list[Outcome]) -> None:
    assert list(outcomes[1].ahead) == ["0", "1", "2", "full"]
    assert outcomes[1].ahead["full"] == [answers.weighted_f1() for answers in outcomes[1].answers]
    assert not outcomes[0].ahead


def test_a_finished_cell_is_not_trained_again(
    bench: Bench, outcomes: list[Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "train_graph", lambda *_: pytest.fail("trained again"))
    for outcome in outcomes:
        again = run_cell(bench, outcome.cell)
        assert again.ahead == outcome.ahead
        for first, second in zip(outcome.answers, again.answers, strict=True):
            assert torch.equal(first.logits, second.logits)
            assert torch.equal(first.labels, second.labels)


def test_whatever_changes_a_figure_changes_the_folder(bench: Bench, outcomes: list[Outcome]) -> None:
    cell = outcomes[0].cell
    others = [
        bench.folder_of(replace(cell, config=replace(cell.config, epochs=9))),
        bench.folder_of(replace(cell, speakers=False)),
        replace(bench, dataset=dataset(17, 8)).folder_of(cell),
    ]
    assert len({bench.folder_of(cell), *others}) == 4


def test_the_table_says_what_was_found(outcomes: list[Outcome]) -> None:
    found = ablation_tables.table(["# On a small language"], outcomes, {"vuemo causal ta": "the loss became nan"})
    whole = json.loads(json.dumps(ablation_tables.as_json(found), allow_nan=False))
    assert [cell["name"] for cell in whole["cells"]] == list(WANTED)
    by_seed = whole["cells"][0]["weighted_f1"]
    assert by_seed["by_seed"] == [answers.weighted_f1() for answers in outcomes[0].answers]
    assert by_seed["mean"] == pytest.approx(sum(by_seed["by_seed"]) / 2)
    (gap,) = whole["comparisons"]["causality"]
    assert (gap["name"], gap["reference"]) == (WANTED[1], WANTED[0])
    means = {cell["name"]: cell["weighted_f1"]["mean"] for cell in whole["cells"]}
    assert gap["difference"]["weighted_f1"] == pytest.approx(means[WANTED[1]] - means[WANTED[0]])
    assert [one["name"] for one in whole["comparisons"]["blocks"]] == list(WANTED[2:])
    text = ablation_tables.as_markdown(found)
    assert f"| dialogue_graph | causal | 0.00 M | {means[WANTED[0]]:.3f} ± {by_seed['sd']:.3f} |" in text
    assert "- vuemo causal ta: not trained: the loss became nan" in text
    assert "| window 0 (no context) |" in text
    assert "Looking ahead" in text


def test_holm_by_hand() -> None:
    assert ablation_tables.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert ablation_tables.holm([0.6, 0.9]) == [1.0, 1.0]
    assert ablation_tables.holm([]) == []


def test_speakers_can_be_taken_away() -> None:
    cell = Cell(replace(BASE, sizes={"causal": True}), speakers=False)
    dev = Bench(dataset(3, 2), Path(), Path(), Path()).dev(cell)
    assert all((example.utterances.speakers == 0).all() for example in dev)


def test_answers_know_their_score() -> None:
    answers = Answers(torch.eye(2), torch.tensor([0, 1]), torch.zeros(2, dtype=torch.int64), (2,))
    assert answers.weighted_f1() == weighted_f1(torch.eye(2, dtype=torch.int64)) == 1.0
