"""A recipe in folds: no session is in both what teaches and what scores, each answer is of a run that did not see its
session, the card is true, and what is kept has learnt from all.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from tiny_bert import make_tiny_bert
from torch import Tensor
from worlds import CONFIG, Epochs, Interrupted, bert, dataset

from erc_live.models import checkpoint
from erc_live.models.card import CARD, Card
from erc_live.models.encoders.text import TextEncoder, TextHead, fingerprint
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.losses import UNLABELLED
from erc_live.models.training import graph_training
from erc_live.models.training.calibration import temperature
from erc_live.models.training.confidences import certain_from
from erc_live.models.training.dialogue_dataset import DialogueDataset, Example, encoded, fitting
from erc_live.models.training.evaluation import classify
from erc_live.models.training.fold_encoders import FoldEncoders
from erc_live.models.training.graph_config import Run
from erc_live.models.training.graph_folds import already_learnt, averaged, fold_answers, joined, train_folds
from erc_live.models.training.graph_task import GraphTask
from erc_live.models.training.learning_curve import FoldCurves
from erc_live.models.training.metrics import Answers, bootstrap, macro_f1, weighted_f1
from erc_live.models.training.run_folder import seed_folders
from erc_live.models.training.trainer import Trainer

pytestmark = pytest.mark.xdist_group("graph_folds")  # what its fixtures train is trained once

SEEDS = (0, 4)
FOLDS = 2
FOLDED = replace(CONFIG, folds=FOLDS, seeds=SEEDS, epochs=3, patience=None)


def sessions() -> DialogueDataset:
    """Five sessions, each with dialogues in train and in dev; names are unique within a split alone."""
    data = dataset(20, 10)
    every = [
        replace(one, name=str(n), group=f"s{n * 7 % 5}")
        for part in (data.train, data.dev)
        for n, one in enumerate(part)
    ]
    every[3] = replace(every[3], labels=torch.full_like(every[3].labels, UNLABELLED))
    return replace(data, train=every[:20], dev=every[20:])


@dataclass
class Spy:
    """The dialogues that each run learnt from, by its folder; `out` is that of all of them."""

    out: Path
    learnt: dict[str, list[Example]] = field(default_factory=dict)

    def groups(self, run: str) -> set[str]:
        return {example.group for example in self.learnt[run]}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def spy(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Spy:
    spy, loss = Spy(tmp_path_factory.mktemp("run")), GraphTask.loss

    class Watched(Trainer):
        def __init__(self, task: Any, recipe: Any, path: Path, watch: Any) -> None:
            super().__init__(task, recipe, path, watch)
            spy.learnt[str(path.parent.relative_to(spy.out))] = []

    def watched(task: Any, network: Any, batch: Sequence[Example], generator: Any) -> Tensor:
        spy.learnt[next(reversed(spy.learnt))] += batch
        return loss(task, network, batch, generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_training, "Trainer", Watched)
        patch.setattr(GraphTask, "loss", watched)
        train_folds(sessions(), encoder, FOLDED, Run(spy.out, spy.out / "cache"))
    return spy


@pytest.fixture(scope="module")
def card(spy: Spy) -> Card:
    return checkpoint.load(str(spy.out)).card


@pytest.fixture(scope="module")
def by_hand(spy: Spy) -> dict[int, Answers]:
    """Of each seed: every dialogue by itself, in the order of train and dev, asked of the run that did not learn from
    it, and its temperature taken back.
    """
    data, found = sessions(), {}
    for seed in SEEDS:
        runs = {}
        for fold in range(FOLDS):
            run = f"fold-{fold}/seed-{seed}"
            runs[run] = checkpoint.load(str(spy.out / run)), spy.groups(run)
        answers = []
        for example in (*data.train, *data.dev):
            (trained,) = [loaded for loaded, groups in runs.values() if example.group not in groups]
            text = FoldEncoders(trained.text_folder)
            own = classify(trained.model, fitting(encoded([example], text, spy.out / "cache"), trained.model))
            answers.append(replace(own, logits=own.logits * trained.card.training["temperature"]))
        found[seed] = joined(answers)
    return found


def test_no_session_is_in_both_what_teaches_and_what_scores(spy: Spy) -> None:
    sets = {seed: [spy.groups(f"fold-{fold}/seed-{seed}") for fold in range(FOLDS)] for seed in SEEDS}
    every = {f"s{n}" for n in range(5)}
    for first, second in sets.values():
        assert first | second == every
        assert not first & second  # of two folds, what one learns from is what the other is scored on
    assert sets[0] == sets[4]


def test_what_is_kept_is_every_seed_learnt_from_train_and_dev(spy: Spy, card: Card) -> None:
    data = sessions()
    labelled = [one for one in (*data.train, *data.dev) if (one.labels >= 0).any()]
    for seed in SEEDS:
        assert {one.texts for one in spy.learnt[f"seed-{seed}"]} == {one.texts for one in labelled}
    assert card.training["seed"] == list(SEEDS)
    assert card.members == len(SEEDS)
    assert seed_folders(str(spy.out)) == [str(spy.out)]  # one answer to score, and not one of each seed
    assert card.training["epoch"] == FOLDED.epochs  # dev chose nothing
    assert "dev" not in str({**card.training, "options": None, "command": None})  # it taught: its scores say nothing


def test_the_card_is_true(spy: Spy, card: Card, by_hand: dict[int, Answers]) -> None:
    counts = [answers.confusions().sum(0) for answers in by_hand.values()]
    together = averaged(list(by_hand.values()))
    found = card.scores["folds"]
    places = range(len(sessions().train), len(by_hand[0].lengths))
    assert card.scores["dev"]["weighted_f1"] == pytest.approx(together.chosen(places).weighted_f1())
    for name, score in (("weighted_f1", weighted_f1), ("macro_f1", macro_f1)):
        values = [score(one) for one in counts]
        assert found[name] == pytest.approx(score(together.confusions().sum(0)))
        assert found["seeds"][name] == {
            "mean": pytest.approx(mean(values)),
            "sd": pytest.approx(stdev(values)),
            "by_seed": pytest.approx(dict(zip(map(str, SEEDS), values, strict=True))),
        }
    curves = [
        checkpoint.load(str(spy.out / f"fold-{fold}/seed-{seed}")).card.training["curve"]["dev_weighted_f1"]
        for seed in SEEDS
        for fold in range(FOLDS)
    ]
    assert found["curve"] == pytest.approx([mean(scores) for scores in zip(*curves, strict=True)])
    assert found["utterances"] == int(counts[0].sum())
    assert found["interval"] == pytest.approx(list(bootstrap([together])))
    logits, labels = together.scored()
    divisor = temperature(logits, labels)
    assert card.training["temperature"] == pytest.approx(divisor)
    assert card.abstain_below == pytest.approx(certain_from((logits / divisor).softmax(-1), labels), abs=1e-4)


def test_recipes_are_compared_by_the_same_answers(spy: Spy, encoder: Path, by_hand: dict[int, Answers]) -> None:
    """Fold by fold, without the run that is kept: from the folds that are there, nothing is learnt again."""
    again = Epochs()
    run = Run(spy.out, spy.out / "cache", resume=True, watch=again)
    folds = list(fold_answers(sessions(), encoder, FOLDED, run))
    assert not again
    for seed, parts in zip(SEEDS, zip(*folds, strict=True), strict=True):
        assert joined(parts).weighted_f1() == pytest.approx(by_hand[seed].weighted_f1())


def test_the_weights_answer_at_the_temperature_of_the_folds(spy: Spy, encoder: Path) -> None:
    """The mean of seeds that learnt from all of it and were judged by dev, but for the temperature."""
    data, run = sessions(), Run(spy.out / "plain", spy.out / "cache")
    whole = replace(data, train=[*data.train, *data.dev])
    graph_training.train_graph(whole, encoder, replace(FOLDED, patience=None), run)
    kept, *plain = (checkpoint.load(str(folder)) for folder in (spy.out, *(run.out / f"seed-{s}" for s in SEEDS)))
    text = FoldEncoders(kept.text_folder)
    dialogues = fitting(encoded(data.dev, text, run.cache), kept.model)
    one, *others = (
        classify(loaded.model, dialogues).logits * loaded.card.training["temperature"] for loaded in (kept, *plain)
    )
    torch.testing.assert_close(one, torch.stack(others).mean(0), atol=1e-4, rtol=1e-4)


def test_a_fold_ends_after_the_epoch_that_was_best_on_the_others(encoder: Path, tmp_path: Path) -> None:
    """By the runs that tried it, up to where runs of that fold are the same; what is kept has the best epoch of all."""
    config = replace(FOLDED, epochs=6, patience=2, seeds=(4, 0))
    chosen = train_folds(sessions(), encoder, config, Run(tmp_path, tmp_path / "cache")).card

    def curve(run: str) -> list[float]:
        return checkpoint.load(str(tmp_path / run)).card.training["curve"]["dev_weighted_f1"]  # type: ignore[no-any-return]

    tried = [curve(f"tried-{fold}/seed-4") for fold in range(FOLDS)]
    other_best = [other.index(max(other)) + 1 for other in reversed(tried)]
    assert FOLDS == 2
    assert chosen.scores["folds"]["epochs"] == {"chosen": FoldCurves(tried).best(), "by_fold": other_best}
    assert chosen.scores["folds"]["curve"] == FoldCurves(tried).mean()
    assert chosen.training["epoch"] == chosen.scores["folds"]["epochs"]["chosen"]
    for fold, end in enumerate(other_best):
        assert len(curve(f"fold-{fold}/seed-0")) == end
        assert curve(f"fold-{fold}/seed-4")[: len(tried[fold])] == tried[fold][:end]
    again = Epochs()
    run = Run(tmp_path, tmp_path / "cache", resume=True, watch=again)
    assert train_folds(sessions(), encoder, config, run).card == chosen
    assert not again  # what is whole is not learnt once more


def test_an_interrupted_run_ends_as_if_it_had_not_been(spy: Spy, encoder: Path, tmp_path: Path) -> None:
    whole = checkpoint.load(str(spy.out))
    run = Run(tmp_path, spy.out / "cache", watch=Epochs(last=1, seed=4))
    with pytest.raises(Interrupted):
        train_folds(sessions(), encoder, FOLDED, run)
    again = Epochs()
    found = train_folds(sessions(), encoder, FOLDED, replace(run, resume=True, watch=again))
    assert [(e.seed, e.epoch) for e in again][:2] == [(4, 2), (0, 0)]  # what follows on the epoch that was reported
    assert found.card == whole.card
    for name, value in found.model.state_dict().items():
        assert torch.equal(value.nan_to_num(), whole.model.state_dict()[name].nan_to_num())


def folded(folder: Path, parts: dict[str, int]) -> Path:
    """An encoder that was trained in folds."""
    for number, name in enumerate((".", *(f"fold-{fold}" for fold in set(parts.values())))):
        TextEncoder.load(make_tiny_bert(folder / f"bert-{number}", seed=number)).save(folder / name)
    (folder / CARD).write_text(json.dumps({"training": {"parts": parts, "corpora": ["small"]}}))
    return folder


def test_the_graph_of_a_fold_begins_with_the_answer_of_the_encoder_of_the_fold(tmp_path: Path) -> None:
    """That of the mean has learnt the labels that the fold is scored on."""
    own, heads = folded(tmp_path / "encoder", {f"s{n}": n % FOLDS for n in range(5)}), {}
    for number, name in enumerate((".", "fold-0", "fold-1")):
        torch.manual_seed(number)
        heads[name] = TextHead(sessions().labels, torch.randn(2, 16), torch.randn(2))
        heads[name].save(own / name)
    config = replace(FOLDED, seeds=(0,), epochs=1)
    train_folds(sessions(), own, config, Run(tmp_path / "run", tmp_path / "cache"))
    for name, head in heads.items():
        loaded = checkpoint.load(str(tmp_path / "run" / name))
        words = loaded.model.head[-1].weight[:, loaded.model.config.width :] * loaded.card.training["temperature"]
        torch.testing.assert_close(words, head.weight, atol=1e-3, rtol=1e-3)


def test_an_encoder_brings_its_folds(tmp_path: Path, encoder: Path) -> None:
    parts = {"s0": 0, "s1": 1, "s2": 0, "s3": 1}  # of s4 the encoder knows all
    own, data = folded(tmp_path / "encoder", parts), sessions()
    config = replace(FOLDED, seeds=(0,), epochs=1)
    train_folds(data, own, config, Run(tmp_path / "run", tmp_path / "cache"))
    for fold in range(FOLDS):
        card = checkpoint.load(str(tmp_path / "run" / f"fold-{fold}")).card
        assert card.encoders["text"] == fingerprint(own)
        assert card.scores["dev"]["utterances"] == sum(
            int((one.labels >= 0).sum()) for one in (*data.train, *data.dev) if parts.get(one.group) == fold
        )
    whole = checkpoint.load(str(tmp_path / "run")).card
    assert whole.encoders["text"] == fingerprint(own)
    readers = {group: FoldEncoders(own).of(group).fingerprint for group in ("s0", "s1", "s4")}
    folders = {"s0": own / "fold-0", "s1": own / "fold-1", "s4": own}
    assert readers == {group: fingerprint(folder) for group, folder in folders.items()}
    assert already_learnt(data, own) == []
    with pytest.raises(CorpusError, match=r"was trained with 2 folds: give --folds that number$"):
        train_folds(data, own, replace(config, folds=3), Run(tmp_path / "other", tmp_path / "cache"))
    strange = replace(data, train=[replace(one, group="t") for one in data.train], dev=data.dev[:1])
    with pytest.raises(CorpusError, match=r"was trained with folds of another corpus"):
        train_folds(strange, own, config, Run(tmp_path / "other", tmp_path / "cache"))


def test_an_encoder_that_has_seen_it_all_is_told_of(tmp_path: Path, encoder: Path) -> None:
    data = sessions()
    assert already_learnt(data, encoder) == []  # nothing is known of it
    for corpora, notes in ((["small", "else"], 1), (["else"], 0)):
        (tmp_path / CARD).write_text(json.dumps({"training": {"corpora": corpora}}))
        assert len(already_learnt(data, tmp_path)) == notes


@pytest.mark.parametrize(("folds", "says"), [(1, "--folds 1: 5 groups"), (6, "--folds 6: 5 groups")])
def test_a_number_of_folds_that_cannot_be_is_one_line(encoder: Path, tmp_path: Path, folds: int, says: str) -> None:
    with pytest.raises(CorpusError, match=rf"^{says} cannot be parted into [^\n]*$"):
        train_folds(sessions(), encoder, replace(FOLDED, folds=folds), Run(tmp_path, tmp_path / "cache"))


def test_a_damaged_encoder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"a text encoder has the files"):
        train_folds(sessions(), tmp_path, FOLDED, Run(tmp_path, tmp_path / "cache"))
