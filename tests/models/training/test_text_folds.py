"""Folds of a text encoder: nobody is scored by a run that learnt from the same occasion, in whatever file it stands;
the answers come back in the order of the corpus; the card is true; an interrupted run ends as if it had not been.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_bert import make_tiny_bert
from torch import Tensor

from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.corpora.neutral_line import parse
from erc_live.models.encoders.text import WEIGHTS, TextEncoder, fingerprint
from erc_live.models.encoders.turns import Turn
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training import text_task
from erc_live.models.training.calibration import temperature
from erc_live.models.training.fold_encoders import fold_folder, parts_of
from erc_live.models.training.metrics import confusion, macro_f1, weighted_f1
from erc_live.models.training.run_folder import CARD
from erc_live.models.training.text_dataset import SpokenDialogue, TextDataset
from erc_live.models.training.text_folds import OUT_OF_FOLD, members, parted
from erc_live.models.training.text_task import TextTraining, mean_of, train_text
from erc_live.models.training.trainer import EpochDone, StepDone, Trainer

pytestmark = pytest.mark.xdist_group("text_folds")  # what its fixtures train is trained once

LABELS = ("joy", "anger")
WORDS = ("great", "awful")
FOLDS = 2
EPISODES = ("e1", "e2", "e3", "e4")


def talk(name: str, occasion: str | None, number: int, words: str = "") -> Dialogue:
    """Its speakers are called after what must not be parted, so that whoever reads a dialogue knows that."""
    who = occasion or name
    said = tuple(
        Utterance(who, words or f"{WORDS[label]} {'abcdefgh'[number % 8]}", LABELS[label])
        for label in (number % 2, number // 2 % 2, 1)
    )
    return Dialogue(name, (*said, Utterance(who, "oh", None)), occasion=occasion)


def own() -> tuple[Split, Split]:
    """Three dialogues of each episode, some in train and some in dev, and the same one in each of two of them."""
    every = [talk(f"{place}{number}", place, number) for number in range(3) for place in EPISODES]
    every += [replace(talk("x", place, 0, "well"), name=f"same-{place}") for place in ("e1", "e2")]
    same = [replace(u, speaker="X") for u in every[-1].utterances]
    every[-2:] = [replace(one, utterances=tuple(same)) for one in every[-2:]]
    return Split("own", "train", LABELS, tuple(every[::2])), Split("own", "dev", LABELS, tuple(every[1::2]))


def other() -> tuple[Split, Split]:
    """Another corpus, of which an episode is the same: one dialogue is what was heard of an own one."""
    train = (misheard(own()[0].dialogues[0]), talk("o2", None, 2), talk("o3", None, 0))
    return Split("other", "train", LABELS, train), Split("other", "dev", LABELS, (talk("o4", None, 0),))


def misheard(dialogue: Dialogue) -> Dialogue:
    first, *rest = dialogue.utterances
    said = [replace(first, text="", spoken=first.text), *(replace(one, spoken=one.text) for one in rest)]
    return replace(dialogue, name="o1", utterances=tuple(said))


def estimates(path: Path) -> Path:
    """What a model said of an episode that was heard again, of the own dialogues, in a file that names no occasion, and
    of others.
    """
    every = [talk("heard", "e2", 5), talk("new", "e9", 6)]
    every += [replace(one, occasion=None) for split in own() for one in split.dialogues]
    with path.open("w", encoding="utf-8") as file:
        for one in every:
            said = [
                {
                    "speaker": u.speaker,
                    "text": u.text,
                    "estimate": {"label": "joy", "probs": {"joy": 0.6, "anger": 0.4}},
                }
                for u in one.utterances
            ]
            file.write(json.dumps({"dialogue": one.name, "utterances": said, "occasion": one.occasion}) + "\n")
    return path


@dataclass
class Spy:
    """What each run was shown to learn from, by the name of its file, and what each fold's encoder answered, also to
    the other corpus; `out` is the folder of them all.
    """

    out: Path
    shown: dict[str, set[tuple[Turn, ...]]] = field(default_factory=dict)
    answered: list[tuple[str, TextDataset, Tensor]] = field(default_factory=list)
    beside: list[tuple[str, TextDataset, Tensor]] = field(default_factory=list)

    def groups(self, run: str) -> set[object]:
        return {turns[0].speaker for turns in self.shown[run]}


@pytest.fixture(scope="module")
def spy(start: Path, config: TextTraining, tmp_path_factory: pytest.TempPathFactory) -> Spy:
    spy = Spy(tmp_path_factory.mktemp("run") / "text")
    forward, logits_of = text_task.TextClassifier.forward, text_task.logits_of

    class Watched(Trainer):
        def __init__(self, task: Any, recipe: Any, path: Path, watch: Any) -> None:
            super().__init__(task, recipe, path, watch)
            spy.shown[path.stem.removeprefix("resume-")] = set()

    def watched(network: Any, dialogues: Sequence[tuple[Turn, ...]]) -> Tensor:
        spy.shown[next(reversed(spy.shown))].update(map(tuple, dialogues))
        return forward(network, dialogues)

    def answers(encoder: TextEncoder, head: Any, texts: TextDataset) -> Tensor:
        found = logits_of(encoder, head, texts)
        if encoder.packed:
            (spy.answered if texts.corpus == "own" else spy.beside).append((encoder.fingerprint, texts, found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_task, "Trainer", Watched)
        patch.setattr(text_task.TextClassifier, "forward", watched)
        patch.setattr(text_task, "logits_of", answers)
        train_text([own(), other()], TextEncoder.load(start), spy.out, config, {})
    return spy


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TextTraining:
    file = estimates(tmp_path_factory.mktemp("estimated") / "estimated.jsonl")
    return TextTraining(
        (3,), FOLDS, epochs=2, batch=8, rate=1e-2, head_rate=3e-2, ema=0.9, unpunctuated=0.0, pseudo_labels=str(file)
    )


@pytest.fixture(scope="module")
def run(spy: Spy) -> Path:
    return spy.out


def test_each_fold_learns_from_all_but_what_it_shares_an_occasion_with(run: Path, spy: Spy) -> None:
    parts = parts_of(run)
    assert set(parts) == set(EPISODES)
    assert set(parts.values()) == set(range(FOLDS))
    for fold in range(FOLDS):
        rest = {group for group in EPISODES if parts[group] != fold}
        learnt = spy.groups(f"fold-{fold}") - {"X"}
        assert learnt == rest | {"o2", "o3", "e9"}  # o4 is dev of another corpus, which teaches nobody
        assert len([turns for turns in spy.shown[f"fold-{fold}"] if turns[0].speaker == "e2"]) in (0, 4)


def test_each_answer_is_of_the_encoder_that_did_not_learn_from_it(run: Path, spy: Spy) -> None:
    parts = parts_of(run)
    for fold, (encoder, texts, _) in enumerate(spy.answered):
        assert encoder == fingerprint(run / f"fold-{fold}") == fingerprint(fold_folder(run, fold))
        assert {parts[one.group] for one in texts.dialogues} == {fold}
    every = [one.spoken for split in own() for one in TextDataset.of(split, LABELS).dialogues]
    assert sorted(one.spoken for _, texts, _ in spy.answered for one in texts.dialogues) == sorted(every)


def test_the_estimates_are_those_answers_in_the_order_of_the_corpus(run: Path, spy: Spy) -> None:
    lines = [parse(line, run) for line in (run / OUT_OF_FOLD).read_bytes().splitlines()]
    assert lines == [one for split in own() for one in split.dialogues]
    found: dict[tuple[str, tuple[Turn, ...]], Tensor] = {}
    labels = [
        torch.cat([torch.where(d.shares.any(1), d.shares.argmax(1), -1) for d in t.dialogues])
        for _, t, _ in spy.answered
    ]
    for fold, (_, texts, logits) in enumerate(spy.answered):
        divisor = temperature(spy.answered[1 - fold][2], labels[1 - fold])
        rows = (logits / divisor).softmax(-1).split([len(one) for one in texts.dialogues])
        found |= {(one.group, one.spoken): part for one, part in zip(texts.dialogues, rows, strict=True)}
    for line in (run / OUT_OF_FOLD).read_text().splitlines():
        entry = json.loads(line)
        spoken = tuple(Turn(turn["speaker"], turn["text"]) for turn in entry["utterances"])
        probs = torch.tensor([[turn["estimate"]["probs"][label] for label in LABELS] for turn in entry["utterances"]])
        torch.testing.assert_close(probs, found[entry["occasion"], spoken], atol=1e-5, rtol=0.0)
    twins = [rows for (_, spoken), rows in found.items() if spoken[0].speaker == "X"]
    assert not torch.equal(*twins)  # each by the run that did not see its episode


def test_the_card_tells_what_the_estimates_reach(run: Path) -> None:
    card = json.loads((run / CARD).read_text())
    pairs: dict[int, list[tuple[str, str]]] = {fold: [] for fold in range(FOLDS)}
    for line in (run / OUT_OF_FOLD).read_text().splitlines():
        entry = json.loads(line)
        fold = card["training"]["parts"][entry["occasion"]]
        pairs[fold] += [(t["label"], t["estimate"]["label"]) for t in entry["utterances"] if t["label"] is not None]

    def counts(some: list[tuple[str, str]]) -> Tensor:
        truth, answer = (torch.tensor([LABELS.index(name) for name in names]) for names in zip(*some, strict=True))
        return confusion(truth, answer, len(LABELS))

    every = counts([pair for some in pairs.values() for pair in some])
    scores = card["scores"]["folds"]
    assert scores["utterances"] == int(every.sum()) == 14 * 3
    assert (scores["weighted_f1"], scores["macro_f1"]) == pytest.approx((weighted_f1(every), macro_f1(every)))
    assert [one["weighted_f1"] for one in scores["by_fold"]] == pytest.approx(
        [weighted_f1(counts(some)) for some in pairs.values()]
    )
    assert "dev" not in card["scores"]


def test_what_was_heard_of_a_fold_is_scored_beside_the_same_lines_as_they_were_written(run: Path, spy: Spy) -> None:
    parts = parts_of(run)
    (place,) = [place for place, (_, texts, _) in enumerate(spy.beside) if texts.dialogues]
    (encoder, texts, logits), (_, fold, answers) = spy.beside[place], spy.answered[place]
    (heard,) = texts.dialogues
    assert encoder == fingerprint(run / f"fold-{parts[heard.group]}")
    truth = heard.shares[1:3].argmax(1)  # nothing was heard of the first line, and the last one has no label
    rows = {
        one.spoken: part for one, part in zip(fold.dialogues, answers.split([4] * len(fold.dialogues)), strict=True)
    }
    assert heard.written is not None
    scores = json.loads((run / CARD).read_text())["scores"]["folds"]["beside"]
    for found, said in ((scores["other"], logits), (scores["other"]["as_written"], rows[heard.written])):
        counts = confusion(truth, said[1:3].argmax(1), len(LABELS))
        assert (found["utterances"], found["weighted_f1"]) == (2, pytest.approx(weighted_f1(counts)))
        assert found["macro_f1"] == pytest.approx(macro_f1(counts))


def test_what_is_kept_is_the_mean_of_the_folds(run: Path) -> None:
    folds = [TextEncoder.load(run / f"fold-{fold}").network.state_dict() for fold in range(FOLDS)]
    mean = mean_of(folds)
    for name, value in TextEncoder.load(run).network.state_dict().items():
        torch.testing.assert_close(value, mean[name], atol=2e-2, rtol=0)  # each was packed by itself
    assert not list(run.glob("resume*"))


def test_an_interrupted_run_ends_as_if_it_had_not_been(
    run: Path, start: Path, config: TextTraining, tmp_path: Path
) -> None:
    told: list[StepDone | EpochDone] = []

    def stop(report: StepDone | EpochDone) -> None:
        told.append(report)
        if len([one for one in told if isinstance(one, EpochDone)]) == 11:  # the third part of the second fold
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_text([own(), other()], TextEncoder.load(start), tmp_path, config, {}, stop)
    with pytest.raises(WeightsError, match=r"has folds, but no card.json that tells"):
        parts_of(tmp_path)
    told.clear()
    train_text([own(), other()], TextEncoder.load(start), tmp_path, config, {}, told.append)
    assert [one.epoch for one in told if isinstance(one, EpochDone)] == [3, 4, 5, 6, 7]
    for folder in ("", "fold-0", "fold-1"):
        once, twice = (load_file(place / folder / WEIGHTS) for place in (run, tmp_path))
        assert all(torch.equal(once[name], twice[name]) for name in once)
    assert (run / OUT_OF_FOLD).read_bytes() == (tmp_path / OUT_OF_FOLD).read_bytes()


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[tuple[TextDataset, TextDataset]], int]:
    names = iter(range(1000))

    def dataset(corpus: str, least: int, groups: str) -> TextDataset:
        some = draw(st.lists(st.sampled_from(groups), min_size=least, max_size=8))
        spoken = [(Turn(group, str(next(names))),) * draw(st.integers(1, 3)) for group in some]
        shares = [torch.ones(len(said), 2) / 2 for said in spoken]
        found = zip(spoken, shares, some, strict=True)
        return TextDataset(corpus, tuple(SpokenDialogue(said, share, group) for said, share, group in found))

    found = [(dataset("a", 4, "abcd"), dataset("a", 1, "cde")), (dataset("b", 1, "adxy"), dataset("b", 1, "bz"))]
    groups = {one.group for part in found[0] for one in part.dialogues}
    return found, draw(st.integers(2, max(2, len(groups))))


@given(corpora())
def test_no_group_is_in_both_what_teaches_and_what_scores(
    drawn: tuple[list[tuple[TextDataset, TextDataset]], int],
) -> None:
    data, folds = drawn
    groups = {one.group for part in data[0] for one in part.dialogues}
    if len(groups) < folds:
        with pytest.raises(CorpusError, match=r"^a: 1 groups cannot be parted into 2 folds[^\n]*$"):
            parted(data[0], folds)
        return
    parts = parted(data[0], folds)
    assert set(parts) == groups
    runs = members(data, (5, 6), parts)
    assert [member.name for member in runs] == [f"fold-{fold}" for fold in range(folds)]
    scored = []
    for member in runs:
        assert member.fold is not None
        assert member.seed == 5
        inside = {one.group for one in member.fold.dialogues}
        learnt = {one.group for dataset in member.learnt for one in dataset.dialogues}
        assert inside == member.left_out
        assert not learnt & inside
        assert {one.group for dataset in member.beside for one in dataset.dialogues} <= inside
        assert learnt == (groups | {one.group for one in data[1][0].dialogues}) - inside
        scored += [one.spoken for one in member.fold.dialogues]
    assert sorted(scored) == sorted(one.spoken for part in data[0] for one in part.dialogues)


def test_without_folds_each_seed_learns_from_train_alone() -> None:
    data = [(TextDataset.of(train, LABELS), TextDataset.of(dev, LABELS)) for train, dev in (own(), other())]
    assert parted(data[0], 0) == {}
    first, second = members(data, (0, 4), {})
    assert (first.name, second.name, second.seed, first.fold) == ("seed-0", "seed-4", 4, None)
    assert first.learnt == second.learnt == (data[0][0], data[1][0])


def test_folds_that_the_card_does_not_tell_of_are_not_taken(tmp_path: Path) -> None:
    assert (parts_of(tmp_path), fold_folder(tmp_path, 0)) == ({}, tmp_path)
    (tmp_path / CARD).write_text(json.dumps({"training": {"parts": {"e1": 0, "e2": 1}}}))
    assert (parts_of(tmp_path), fold_folder(tmp_path, 1)) == ({}, tmp_path)  # shipped without them
    (tmp_path / "fold-0").mkdir()
    assert (parts_of(tmp_path), fold_folder(tmp_path, 1)) == ({"e1": 0, "e2": 1}, tmp_path / "fold-1")
    (tmp_path / CARD).write_text(json.dumps({"training": {"parts": {}}}))  # trained again, without folds
    assert (parts_of(tmp_path), fold_folder(tmp_path, 0)) == ({}, tmp_path)
