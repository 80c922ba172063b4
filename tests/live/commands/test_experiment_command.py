"""`erc-live experiment table`: one Markdown and one JSON file, again from where it stopped."""

import json
from pathlib import Path

import pytest
from commands import corpus, run
from tiny_bert import make_tiny_bert

from erc_live.live.commands.experiment import JSON, MARKDOWN, experiment_table
from erc_live.models.errors import WeightsError
from erc_live.models.training import ablation


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "experiment-cache"))


def test_a_quick_table_and_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpus(tmp_path / "talks", ("up", "down", None), prosody=False)
    encoder = make_tiny_bert(tmp_path / "bert")
    only = (
        "--corpus", data, "--out", tmp_path / "table", "--encoder", encoder, "--quick", "--network", "dialogue_graph"
    )  # fmt: skip

    monkeypatch.setattr(ablation, "BLOCKS", {name: ablation.BLOCKS[name] for name in ("window 1", "3 layers")})
    run_cell = ablation.run_cell

    def stop_at_the_twin(bench, cell, watch):
        if not cell.causal:
            raise KeyboardInterrupt
        return run_cell(bench, cell, watch)

    def fail_at_three_layers(bench, cell, watch):
        if cell.block == "3 layers":
            raise WeightsError("the loss became nan in epoch 1: lower the rate")
        return run_cell(bench, cell, watch)

    with monkeypatch.context() as patched:
        patched.setattr(ablation, "run_cell", stop_at_the_twin)
        assert run(experiment_table, *only) == (130, "")
    assert [cell["name"] for cell in cells(tmp_path)] == ["dialogue_graph causal t"]

    with monkeypatch.context() as patched:
        patched.setattr(ablation, "run_cell", fail_at_three_layers)
        code, text = run(experiment_table, *only)
    assert code == 0, text
    names = ["causal t", "two-sided t", "causal t window 1", "causal t speakers not told apart"]
    assert [cell["name"] for cell in cells(tmp_path)] == [f"dialogue_graph {name}" for name in names]
    written = (tmp_path / "table" / MARKDOWN).read_text()
    assert "dev of talks (" in written
    assert "A quick look: one seed" in written
    assert "dialogue_graph causal t 3 layers: not trained: the loss became nan" in written
    assert "What causality costs" in text

    def trained_again(*_):
        raise RuntimeError("trained again")

    monkeypatch.setattr(ablation, "train_graph", trained_again)
    code, again = run(experiment_table, *only)
    assert code == 1  # only what failed before is trained
    assert "trained again" in again


def cells(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((folder / "table" / JSON).read_text())["cells"]
    return found


def test_an_unknown_network_is_one_line(tmp_path: Path) -> None:
    data = corpus(tmp_path / "talks", ("up", "down"), prosody=False)
    code, line = run(experiment_table, "--corpus", data, "--out", tmp_path / "t", "--network", "gpt")
    assert code == 2
    assert "--network gpt: there is no such network; choose from dialogue_graph" in line


def test_what_it_will_cost_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what an earlier run left, nothing."""
    data, told = corpus(tmp_path / "talks", ("up", "down"), prosody=False), list[str]()
    only = ("--corpus", data, "--out", tmp_path / "table", "--encoder", make_tiny_bert(tmp_path / "bert"), "--quick")
    monkeypatch.setattr(ablation, "BLOCKS", {})
    monkeypatch.setattr("erc_live.live.commands.experiment.print_line", told.append)
    for _ in range(2):
        assert run(experiment_table, *only, "--network", "dialogue_graph")[0] == 0
    assert told[0].endswith("cells, 3 of them to train: 3 runs, at most 9 epochs")
    assert told[1].endswith("cells, 0 of them to train: 0 runs, at most 0 epochs")
