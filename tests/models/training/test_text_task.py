"""Training of the text encoder on a tiny BERT: it learns, repeats itself exactly, goes on where it was, and its card
is true.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_bert import make_tiny_bert
from torch.nn import functional

from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.encoders.text import FILES, HEAD, WEIGHTS, TextEncoder, fingerprint
from erc_live.models.encoders.turns import Turn, turns
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training.run_folder import CARD
from erc_live.models.training.text_dataset import SpokenDialogue, TextDataset
from erc_live.models.training.text_task import (
    PARTS,
    RESUME_MEMBER,
    TextClassifier,
    TextTask,
    TextTraining,
    bucketed,
    common_labels,
    mean_of,
    train_text,
)
from erc_live.models.training.trainer import EpochDone, StepDone

LABELS = ("joy", "anger", "neutral")
WORDS = dict(zip(LABELS, ("great", "awful", "well"), strict=True))
CONFIG = TextTraining(seeds=(1,), epochs=2, batch=8, rate=1e-2, head_rate=3e-2, ema=0.9)


def corpus(name: str, seed: int, labels: tuple[str, ...] = LABELS) -> tuple[Split, Split]:
    draw = random.Random(seed)
    parts = []
    for split, size in (("train", 20), ("dev", 5)):
        dialogues = tuple(talk(str(number), [draw.choice(labels) for _ in range(4)], draw) for number in range(size))
        parts.append(Split(name, split, labels, dialogues))
    return parts[0], parts[1]


def talk(name: str, said: list[str], draw: random.Random) -> Dialogue:
    spoken = [Utterance("A", f"{draw.choice('abc')} {WORDS[label]}!", label) for label in said]
    return Dialogue(name, (*spoken, Utterance("A", "oh", None), Utterance("B", " ", "joy")))


def without_neutral(dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, utterances=tuple(said for said in dialogue.utterances if said.label != "neutral"))


def estimate(*probs: float) -> dict[str, object]:
    return {"label": "?", "probs": dict(zip(LABELS, probs, strict=True)), "certain": True}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def run(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "text"
    told: list[StepDone | EpochDone] = []
    corpora = [corpus("one", 0), corpus("two", 1)]
    train_text(corpora, TextEncoder.load(start), out, CONFIG, {"command": "erc-live encoder train text"}, told.append)
    parts = [report for report in told if isinstance(report, EpochDone)]
    assert [part.epoch for part in parts] == list(range(CONFIG.epochs * PARTS))
    assert all(set(part.scores) == {"W-F1 one", "W-F1 two"} for part in parts)
    steps = [report for report in told if isinstance(report, StepDone)]
    totals = [5, 5, 5, 6] * CONFIG.epochs  # of 40 dialogues of 6 utterances, two in a batch
    assert [(step.done, step.total) for step in steps] == [(done + 1, all_) for all_ in totals for done in range(all_)]
    return out


def test_it_learns_and_leaves_a_packed_encoder_with_a_true_card(run: Path, start: Path) -> None:
    assert {path.name for path in run.iterdir()} == {*FILES, CARD, HEAD}
    card = json.loads((run / CARD).read_text())
    assert card["labels"] == list(LABELS)
    assert card["training"]["start"] == fingerprint(start)
    assert card["training"]["command"] == "erc-live encoder train text"
    for name in ("one", "two"):
        assert card["scores"]["dev"][name]["utterances"] == 20
        assert card["scores"]["dev"][name]["weighted_f1"] > 0.9
    rows = TextEncoder.load(run).encode([turns("A", [text]) for text in ("c great!", "b great!", "c awful!")])
    great, awful = torch.cat(rows).split((2, 1))
    assert torch.cosine_similarity(great[:1], great[1:]) > torch.cosine_similarity(great[:1], awful) + 0.2


def test_the_head_that_is_kept_answers_as_the_card_says(run: Path) -> None:
    card, encoder = json.loads((run / CARD).read_text()), TextEncoder.load(run)
    assert encoder.head is not None
    assert encoder.head.labels == LABELS
    for name, seed in (("one", 0), ("two", 1)):
        dev = TextDataset.of(corpus(name, seed)[1], LABELS)
        vectors = torch.cat(encoder.encode([one.spoken for one in dev.dialogues]))
        answers = functional.layer_norm(vectors, (encoder.dim,)) @ encoder.head.weight.T + encoder.head.bias
        shares = torch.cat([one.shares for one in dev.dialogues])
        known = shares.any(1)
        right = (answers.argmax(1) == shares.argmax(1))[known].float().mean()
        assert card["scores"]["dev"][name]["accuracy"] == pytest.approx(float(right))


def test_interrupted_and_resumed_it_ends_at_the_same_weights(run: Path, start: Path, tmp_path: Path) -> None:
    corpora = [corpus("one", 0), corpus("two", 1)]

    def stop(report: StepDone | EpochDone) -> None:
        if isinstance(report, EpochDone) and report.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_text(corpora, TextEncoder.load(start), tmp_path, CONFIG, {}, stop)
    assert {path.name for path in tmp_path.iterdir()} == {RESUME_MEMBER.format(member="seed-1")}
    with pytest.raises(WeightsError, match="other data or options"):
        train_text(corpora, TextEncoder.load(start), tmp_path, replace(CONFIG, rate=2e-2), {})
    told: list[StepDone | EpochDone] = []
    train_text(corpora, TextEncoder.load(start), tmp_path, CONFIG, {}, told.append)
    assert len([report for report in told if isinstance(report, EpochDone)]) == CONFIG.epochs * PARTS - 5
    once, twice = (load_file(folder / WEIGHTS) for folder in (run, tmp_path))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_estimates_are_learnt_where_there_is_no_label(start: Path, tmp_path: Path) -> None:
    """Nobody labelled anything "neutral"; only a model did."""
    gold, dev = corpus("one", 0)
    gold = replace(gold, dialogues=tuple(without_neutral(dialogue) for dialogue in gold.dialogues))
    drawn = random.Random(2).choices(range(3), k=120)
    words = [WORDS[LABELS[label]] for label in drawn]
    shares = [[0.8 * (place == label) + 0.1 * (place != label) for place in range(3)] for label in drawn]
    pairs = zip(words, shares, strict=True)
    said = [{"speaker": "A", "text": f"a {word}!", "estimate": estimate(*row)} for word, row in pairs]
    file = tmp_path / "estimated.jsonl"
    lines = [json.dumps({"dialogue": str(n), "utterances": said[n : n + 4]}) for n in range(0, len(said), 4)]
    file.write_text("\n".join(lines) + "\n")
    found = {}
    for pseudo_labels in (None, str(file)):
        out = tmp_path / str(pseudo_labels is None)
        train_text([(gold, dev)], TextEncoder.load(start), out, replace(CONFIG, pseudo_labels=pseudo_labels), {})
        card = json.loads((out / CARD).read_text())
        found[pseudo_labels] = card["scores"]["dev"]["one"]["accuracy"]
    assert found[str(file)] > 0.85 > found[None]
    assert len(card["training"]["pseudo_labels_sha256"]) == 64


def test_batches_hold_everything_once_and_dialogues_of_about_one_length() -> None:
    lengths, utterances = [i * 7 % 50 for i in range(203)], [1 + i % 4 for i in range(203)]
    batches = list(bucketed(lengths, utterances, 25, torch.Generator().manual_seed(0)))
    assert sorted(i for batch in batches for i in batch) == list(range(203))
    filled = sorted(sum(utterances[i] for i in batch) for batch in batches)
    assert filled[-1] < 25 + 4
    assert filled[2] >= 25  # all but the last of each heap that is sorted together
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches]
    assert sum(spread) / len(spread) < 10
    assert batches != list(bucketed(lengths, utterances, 25, torch.Generator().manual_seed(1)))


def test_the_parts_of_a_pass_are_all_of_it_once(start: Path) -> None:
    dataset = TextDataset.of(corpus("one", 0)[0], LABELS)
    task = TextTask(TextClassifier(TextEncoder.load(start), 3, 0.0), dataset, [], CONFIG, 1)
    first, second = (
        [
            task.batches(epoch, torch.Generator().manual_seed(epoch))
            for epoch in range(PARTS * number, PARTS * number + PARTS)
        ]
        for number in (0, 1)
    )
    assert sorted(place for part in first for batch in part for place in batch) == list(range(20))
    assert sorted(place for part in second for batch in part for place in batch) == list(range(20))
    assert first != second


def test_what_nobody_knows_teaches_nothing_and_an_estimate_is_taken_as_it_is(start: Path) -> None:
    said = turns("AAB", ["oh no", "well", "great"])
    label, unknown, guess = [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.2, 0.3, 0.5]
    known = SpokenDialogue(said, torch.tensor([label, unknown, label]), "1")
    guessed = SpokenDialogue(said[:2], torch.tensor([guess, unknown]), "2", pseudo=True)
    config = replace(CONFIG, balance=1.0, smoothing=0.3, unpunctuated=0.0)
    network = TextClassifier(TextEncoder.load(start), 3, 0.0)
    loss = TextTask(network, TextDataset("x", (known, guessed)), [], config, 0).loss(network, [0, 1], torch.Generator())
    logits = network([said, said[:2]])
    offsets = (torch.tensor([2.0, 1.0, 1.0]) / 2.0).log()
    smooth = torch.tensor([0.8, 0.1, 0.1])
    rows = [(logits[0] + offsets, smooth), (logits[2] + offsets, smooth), (logits[3], torch.tensor(guess))]
    expected = torch.stack([-(row.log_softmax(-1) * shares).sum() for row, shares in rows]).mean()
    torch.testing.assert_close(loss, expected)


def test_unpunctuated_dialogues_are_shown_without_marks(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    dataset = TextDataset("x", (SpokenDialogue(turns("AB", ["Oh, no!", "Yes."]), torch.eye(3)[:2], "1"),))
    network = TextClassifier(TextEncoder.load(start), 3, 0.0)
    embed = network.encoder.embed

    def spy(dialogues: Sequence[Sequence[Turn]]) -> list[torch.Tensor]:
        shown.extend(turn.text for dialogue in dialogues for turn in dialogue)
        return embed(dialogues)

    monkeypatch.setattr(network.encoder, "embed", spy)
    for share in (0.0, 1.0):
        task = TextTask(network, dataset, [], replace(CONFIG, unpunctuated=share), 0)
        task.loss(network, [0], torch.Generator())
    assert shown == ["Oh, no!", "Yes.", "oh no", "yes"]


def test_corpora_of_other_labels_and_empty_ones_are_refused() -> None:
    one, other = corpus("one", 0), corpus("two", 1, ("joy", "neutral"))
    with pytest.raises(CorpusError, match=r"^two and one must have the same labels, and anger is in one only[^\n]*$"):
        common_labels([one, other])
    assert common_labels([one, corpus("three", 2, ("neutral", "anger", "joy"))]) == LABELS


def test_some_of_what_is_said_comes_from_one_end_to_the_other() -> None:
    texts = TextDataset.of(corpus("one", 0)[0], LABELS)
    utterances = sum(map(len, texts.dialogues))
    assert texts.some(utterances) == texts.some(10 * utterances) == [dialogue.spoken for dialogue in texts.dialogues]
    few = texts.some(utterances // 4)
    assert few == [dialogue.spoken for dialogue in texts.dialogues[::4]]


def test_two_corpora_of_one_name_are_refused_before_one_hides_the_scores_of_the_other() -> None:
    with pytest.raises(CorpusError, match=r"^two corpora are called one, [^\n]*$"):
        common_labels([corpus("one", 0), corpus("two", 1), corpus("one", 2)])


def test_the_mean_of_several_runs_is_kept(start: Path, tmp_path: Path) -> None:
    corpora = [corpus("one", 0)]
    config = replace(CONFIG, epochs=1)
    alone = [
        train_text(corpora, TextEncoder.load(start), tmp_path / str(seed), replace(config, seeds=(seed,)), {})
        for seed in (1, 2)
    ]
    both = train_text(corpora, TextEncoder.load(start), tmp_path / "both", replace(config, seeds=(1, 2)), {})
    expected = mean_of([encoder.network.state_dict() for encoder in alone])
    for name, value in both.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], atol=2e-2, rtol=0)  # each was packed by itself
    assert not list((tmp_path / "both").glob("resume*"))


@pytest.mark.parametrize(("balance", "found"), [(0.0, 0.0), (2.0, 1.0)])
def test_balance_favours_the_rare(balance: float, found: float, start: Path, tmp_path: Path) -> None:
    said = tuple(Utterance("A", "hm", "joy" if place % 10 < 3 else "anger") for place in range(80))
    learnt = Split("one", "train", ("joy", "anger"), tuple(Dialogue(str(n), (u,)) for n, u in enumerate(said)))
    asked = replace(learnt, name="dev", dialogues=(Dialogue("1", (Utterance("A", "hm", "joy"),)),))
    train_text([(learnt, asked)], TextEncoder.load(start), tmp_path, replace(CONFIG, balance=balance, dropout=0.0), {})
    assert json.loads((tmp_path / "card.json").read_text())["scores"]["dev"]["one"]["accuracy"] == found
