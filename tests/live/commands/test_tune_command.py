"""`erc-live tune` as a command: a study goes on, is of one question alone, and what it chose is on the card."""

import json
from pathlib import Path

import optuna
import pytest
from commands import corpus, run
from tiny_bert import make_tiny_bert

from erc_live.live.commands.train import train
from erc_live.live.commands.tune import tune
from erc_live.live.commands.tune_search import BEST, space, usual_options
from erc_live.live.screen.console import err, out
from erc_live.models import checkpoint
from erc_live.models.training.graph_config import TrainConfig
from erc_live.models.training.graph_task import sizes_of

LABELS = ("relaxed", "tense", None, "bored")


@pytest.fixture
def talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return corpus(tmp_path / "talks", LABELS, prosody=False)


@pytest.fixture
def common(talks: Path, tmp_path: Path) -> tuple[object, ...]:
    bert = make_tiny_bert(tmp_path / "bert")
    return ("--corpus", talks, "--encoder", bert, "--modalities", "t", "--epochs", 1, "--out", tmp_path / "study")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(err, "print", lambda line, **_: lines.append(str(line)))
    return lines


@pytest.fixture
def at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "width", 80)


def test_a_study_on_dev_goes_on_and_its_best_options_train(
    common: tuple[object, ...], told: list[str], tmp_path: Path
) -> None:
    study = tmp_path / "study"
    assert run(tune, *common, "--trials", 1)[0] == 0
    code, said = run(tune, *common, "--trials", 2)
    assert code == 0
    assert f"--options {study / BEST}" in said
    assert any("the best of many trials is partly the luckiest" in line for line in told)
    best = json.loads((study / BEST).read_text())
    assert best["trial"] in (0, 1)
    assert not list(study.glob("trial-*"))
    options = ("--options", study / BEST, "--epochs", 1, "--out", tmp_path / "run")
    assert run(train, *common[:6], *options)[0] == 0
    card = checkpoint.load(str(tmp_path / "run")).card
    assert card.config["width"] == best["config"]["sizes"]["width"]
    assert card.scores["dev"]["weighted_f1"] == pytest.approx(best["dev_weighted_f1"])
    assert (card.training["search"]["settings"], card.training["search"]["chosen_on"]) == (2, "dev")


def test_folds_choose_and_the_card_tells_how(
    common: tuple[object, ...], told: list[str], at_80_columns: None, tmp_path: Path
) -> None:
    study, folds = tmp_path / "study", ("--folds", 2)
    assert run(tune, *common, *folds, "--trials", 1)[0] == 0
    code, said = run(tune, *common, *folds, "--trials", 2)
    assert code == 0
    assert max(len(line) for line in said.splitlines() if str(study) not in line) <= 80
    assert "2 settings tried, scored by" in " ".join(said.split())
    assert f"--options {study / BEST} --epochs 1 --folds 2" in said
    assert "each trial: 2 folds x 1 seed x 1 epoch = 2 epochs" in told
    assert not any("luckiest" in line for line in told)
    best = json.loads((study / BEST).read_text())
    search = best["search"]
    assert (search["settings"], search["chosen"]) == (2, best["trial"])
    assert run(train, *common[:6], "--options", study / BEST, "--epochs", 1, "--out", tmp_path / "run", *folds)[0] == 0
    card = checkpoint.load(str(tmp_path / "run")).card
    assert card.training["search"] == search
    assert card.scores["folds"]["seeds"]["weighted_f1"]["mean"] == pytest.approx(search["weighted_f1"]["mean"])


def test_a_study_is_of_one_question_alone(common: tuple[object, ...], told: list[str]) -> None:
    assert run(tune, *common, "--trials", 1)[0] == 0
    for other in (("--folds", 2), ("--seeds", "7,"), ("--epochs", 2)):
        code, said = run(tune, *common, "--trials", 2, *other)
        assert (code, "its trials cannot be compared with these" in said, "\n" in said) == (2, True, False)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--folds", 99), 4, "--folds 99: 16 groups cannot be parted into 99 folds"),
        (("--network", "rnn"), 2, "--network rnn: there is no such network; choose from dialogue_graph, multiemo"),
        (("--modalities", "v"), 4, "no utterance of train has visual"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_study(
    common: tuple[object, ...], tmp_path: Path, options: tuple[object, ...], code: int, says: str
) -> None:
    found, said = run(tune, *common, *options)
    assert (found, says in said, "\n" in said) == (code, True, False)
    assert not (tmp_path / "study").exists()


def test_an_interrupted_trial_goes_on(
    common: tuple[object, ...], told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the first fold: the fold that was learnt is not learnt again."""
    folds, card = ("--folds", 2, "--trials", 1), tmp_path / "study" / "trial-0" / "fold-0" / "seed-0" / "card.json"
    written: list[int] = []

    def interrupt(trial: optuna.Trial, value: float, step: int) -> None:
        written.append(card.stat().st_mtime_ns)
        if len(written) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(optuna.Trial, "report", interrupt)
    assert run(tune, *common, *folds)[0] == 130
    assert told[-1].startswith("stopped after 0 trials: the same command goes on in ")
    assert run(tune, *common, *folds)[0] == 0
    assert written == [written[0]] * 3  # reported again, and after the second fold


@pytest.mark.parametrize("network", ["dialogue_graph", "multiemo", "vuemo", "hgf_milag", "safsd_glnet"])
def test_what_is_tried_first_is_what_train_does(network: str) -> None:
    base = TrainConfig(network=network)
    first = space(optuna.trial.FixedTrial(usual_options(base)), base)
    sizes = sizes_of(network)
    assert first.sizes == {name: True if name == "causal" else sizes[name] for name in first.sizes}
    assert TrainConfig(**{**vars(first), "sizes": {}}) == base
