"""`erc-live train` as a command: any labels, text alone, and what a person may get wrong."""

import json
from pathlib import Path

import pytest
from commands import corpus, run
from tiny_bert import make_tiny_bert

from erc_live.live.commands.corpus_features import corpus_features
from erc_live.live.commands.curves import sparkline
from erc_live.live.commands.options import modality_names, seed_numbers, size_values
from erc_live.live.commands.train import train
from erc_live.live.errors import ConfigError
from erc_live.models import checkpoint
from erc_live.models.corpora import read

LABELS = ("relaxed", "tense", None, "bored")
TINY = ("--size", "width=8", "--size", "heads=2", "--size", "layers=1", "--size", "window=2")


@pytest.fixture
def talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of words alone, with labels that nobody has seen, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return corpus(tmp_path / "talks", LABELS, prosody=False)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return make_tiny_bert(tmp_path / "bert")


def test_words_alone_and_any_labels_are_enough(talks: Path, bert: Path, tmp_path: Path) -> None:
    common = ("--corpus", talks, "--encoder", bert, "--out", tmp_path / "run", "--epochs", 2, *TINY)
    code, said = run(train, *common, "--seeds", 2)
    assert code == 0
    assert "2 seeds" in said
    code, said = run(train, *common, "--seeds", 2)
    assert code == 2
    assert "--force to replace them" in said
    assert "\n" not in said
    loaded = checkpoint.load(str(tmp_path / "run"))
    assert set(loaded.card.labels) == {"relaxed", "tense", "bored"}
    assert set(loaded.card.encoders) == {"text"}
    assert set(loaded.card.training["seeds"]["weighted_f1"]["by_seed"]) == {"0", "1"}
    written = (tmp_path / "run" / "seed-0" / "card.json").stat().st_mtime_ns
    assert run(train, *common, "--seeds", "0,1,5", "--resume")[0] == 0
    assert (tmp_path / "run" / "seed-0" / "card.json").stat().st_mtime_ns == written  # what is done is done
    assert (tmp_path / "run" / "seed-5").is_dir()


def test_folds_score_the_recipe_and_tell_of_an_encoder_that_has_seen_it(
    talks: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("erc_live.live.commands.train.err.print", lambda line, **_: told.append(line))
    name = read(talks, "train").corpus
    (bert / "card.json").write_text(json.dumps({"training": {"corpora": [name]}}))
    common = ("--corpus", talks, "--encoder", bert, "--out", tmp_path / "run", "--epochs", 1, *TINY)
    code, said = run(train, *common, "--folds", 2, "--seeds", 2)
    assert code == 0
    assert "2 seeds together: W-F1 0." in said
    assert "a seed alone: W-F1 0." in said
    assert "(95 % over dialogues 0." in said
    assert [line for line in told if f"has learnt from {name}, so the folds will score too well" in line]
    card = checkpoint.load(str(tmp_path / "run")).card
    assert len(card.scores["folds"]["seeds"]["weighted_f1"]["by_seed"]) == 2
    assert sorted(path.name for path in (tmp_path / "run" / "fold-1").glob("seed-*")) == ["seed-0", "seed-1"]


def test_folds_that_still_get_better_are_told(
    talks: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[float]] = []
    lines: list[str] = []

    def rising(curve: list[float]) -> bool:
        seen.append(curve)
        return True

    monkeypatch.setattr("erc_live.models.training.learning_curve.still_rising", rising)
    monkeypatch.setattr("erc_live.live.commands.train.print_line", lines.append)
    common = ("--corpus", talks, "--encoder", bert, "--out", tmp_path / "run", "--epochs", 2, *TINY)
    assert run(train, *common, "--folds", 2, "--tune-text")[0] == 0
    assert lines == ["the folds still got better when training ended: --epochs 4 may do better"]
    assert seen == [checkpoint.load(str(tmp_path / "run")).card.scores["folds"]["curve"]]


def test_folds_that_were_best_at_the_end_are_told(
    talks: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("erc_live.live.commands.train.print_line", lines.append)
    common = ("--corpus", talks, "--encoder", bert, "--out", tmp_path / "run", "--epochs", 1, *TINY)
    code, said = run(train, *common, "--folds", 2)
    assert code == 0
    assert "after 1 epoch" in said
    assert lines == ["the folds were best after the last epoch: --epochs 2 may do better"]


def test_another_corpus_needs_the_same_labels(talks: Path, bert: Path, tmp_path: Path) -> None:
    other = corpus(tmp_path / "other", ("relaxed", "angry"), prosody=False)
    code, said = run(train, "--corpus", talks, "--corpus", other, "--encoder", bert, "--out", tmp_path / "run")
    assert code == 2
    assert "angry is none of the labels" in said


def test_one_file_is_not_trained_on_and_judged_by(talks: Path, bert: Path, tmp_path: Path) -> None:
    code, said = run(train, "--corpus", talks / "train.jsonl", "--encoder", bert, "--out", tmp_path / "run")
    assert code == 4
    assert "put it into a folder as train.jsonl" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--seeds", "many"), 2, "--seeds many"),
        (("--seeds", "0"), 2, "--seeds 0"),
        (("--modalities", "x"), 2, "--modalities x"),
        (("--modalities", "v"), 4, "no utterance of train has visual"),
        (("--size", "width=wide"), 2, "--size width=wide"),
        (("--compose", "affectnet=/x"), 2, "--compose affectnet=/x"),
        (("--network", "rnn"), 2, "--network rnn: there is no such network; choose from dialogue_graph, multiemo"),
        (("--size", "widht=3"), 2, "--size widht: dialogue_graph has no such size; it has width, "),
        (("--start", "/nowhere"), 5, "no card.json in /nowhere"),
        (("--options", "/nowhere"), 2, "--options /nowhere"),
        (("--folds", "99"), 4, "--folds 99: 16 groups cannot be parted into 99 folds"),
    ],
)
def test_mistakes_are_one_line(
    talks: Path, bert: Path, tmp_path: Path, options: tuple[str, ...], code: int, says: str
) -> None:
    found, said = run(train, "--corpus", talks, "--encoder", bert, "--out", tmp_path / "run", *options)
    assert (found, says in said, "\n" in said) == (code, True, False)


def test_the_cache_can_be_filled_beforehand(talks: Path) -> None:
    code, said = run(corpus_features, talks)
    assert code == 0
    assert "with text" in said


def test_options_in_words() -> None:
    assert seed_numbers("5") == (0, 1, 2, 3, 4)
    assert seed_numbers("0,3,7") == (0, 3, 7)
    assert seed_numbers("3,") == (3,)
    assert modality_names("vt") == ("text", "visual")
    assert size_values(["causal=true", "width=8"]) == {"causal": True, "width": 8}
    with pytest.raises(ConfigError):
        seed_numbers("1,x")


def test_a_curve_goes_from_low_to_high() -> None:
    assert sparkline([0.1, 0.2, 0.8]) == "▁▂█"
    assert sparkline([0.5]) == "▁"
