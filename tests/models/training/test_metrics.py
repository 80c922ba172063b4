"""Metrics against examples worked out by hand, and the bootstrap against what chance must give."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from erc_live.models.training import metrics
from erc_live.models.training.metrics import Answers, PartScore, Scores

# label -> answer: a->a 3, a->b 1, b->b 2, b->c 1, c->a 1
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])
ANSWERS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 0])


def answers(labels: list[int], predicted: list[int], speakers: list[int], lengths: tuple[int, ...]) -> Answers:
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), 3) * 4.0
    return Answers(logits, torch.tensor(labels), torch.tensor(speakers), lengths)


ONE = answers(LABELS.tolist(), ANSWERS.tolist(), [0] * 8, (8,))


def test_by_hand() -> None:
    counts = metrics.confusion(LABELS, ANSWERS, 3)
    assert counts.tolist() == [[3, 1, 0], [0, 2, 1], [1, 0, 0]]
    assert metrics.f1_per_class(counts).tolist() == pytest.approx([6 / 8, 4 / 6, 0.0])
    assert metrics.precision_per_class(counts).tolist() == pytest.approx([3 / 4, 2 / 3, 0.0])
    assert metrics.recall_per_class(counts).tolist() == pytest.approx([3 / 4, 2 / 3, 0.0])
    assert metrics.weighted_f1(counts) == pytest.approx((4 * 6 / 8 + 3 * 4 / 6) / 8)
    assert metrics.macro_f1(counts) == pytest.approx((6 / 8 + 4 / 6) / 3)
    assert metrics.accuracy(counts) == pytest.approx(5 / 8)
    assert metrics.uar(counts) == pytest.approx((3 / 4 + 2 / 3) / 3)


def test_a_class_that_never_occurs_weighs_nothing_unless_it_is_answered() -> None:
    right = metrics.confusion(torch.tensor([0, 0]), torch.tensor([0, 0]), 2)
    assert (metrics.weighted_f1(right), metrics.macro_f1(right), metrics.uar(right)) == (1.0, 1.0, 1.0)
    invented = metrics.confusion(torch.tensor([0, 0]), torch.tensor([0, 1]), 2)
    assert metrics.macro_f1(invented) == pytest.approx(2 / 3 / 2)
    assert metrics.uar(invented) == 0.5


def test_scores_leave_out_what_has_no_label() -> None:
    with_gaps = answers([*LABELS.tolist(), -100, -100], [*ANSWERS.tolist(), 1, 1], [0] * 10, (8, 2))
    scores = Scores.of(with_gaps, ("a", "b", "c"))
    assert scores.utterances == 8
    assert scores.confusion == ((3, 1, 0), (0, 2, 1), (1, 0, 0))
    assert {label: one.f1 for label, one in scores.classes.items()} == pytest.approx({"a": 6 / 8, "b": 4 / 6, "c": 0.0})
    assert [one.support for one in scores.classes.values()] == [4, 3, 1]


def test_the_largest_mistakes_are_named() -> None:
    pairs = Scores.of(ONE, ("a", "b", "c")).confused
    assert {(pair.label, pair.answer, pair.count) for pair in pairs} == {("a", "b", 1), ("b", "c", 1), ("c", "a", 1)}
    assert next(pair.share for pair in pairs if pair.label == "b") == pytest.approx(1 / 3)


def test_shifts_by_hand() -> None:
    # speaker 0: a, a, b (the unlabelled one between is passed over); speaker 1: b, b; the second dialogue starts anew
    talk = answers([0, 1, 0, -100, 1, 1, 0], [0, 1, 0, 2, 0, 0, 0], [0, 1, 0, 0, 0, 1, 0], (6, 1))
    assert metrics.previous(talk).tolist() == [-1, -1, 0, -1, 2, 1, -1]
    shift = Scores.of(talk, "abc").shift
    # with an earlier label: 2 (a after a), 4 (b after a: changed), 5 (b after b)
    assert (shift.changed, shift.unchanged.utterances) == (PartScore(1, 0.0), 2)
    assert shift.unchanged.weighted_f1 == pytest.approx((2 / 3 + 0) / 2)  # a -> a and b -> a: F1 of a is 2/3
    # answers changed: 2 no, 4 no, 5 yes; labels changed: 4
    assert (shift.f1, shift.precision, shift.recall) == (0.0, 0.0, 0.0)
    right = Scores.of(answers([0, 1, 1, 0], [0, 2, 2, 2], [0] * 4, (4,)), "abc").shift
    # labels changed at 1 and 3, answers at 1
    assert (right.f1, right.precision, right.recall) == (pytest.approx(2 / 3), 1.0, 0.5)


def test_parts_by_position_and_by_speakers() -> None:
    talk = answers([0] * 7 + [1, 1], [0] * 5 + [1, 1] + [1, 0], [0] * 7 + [0, 1], (7, 2))
    scores = Scores.of(talk, "abc")
    # first five of the first dialogue right, its rest wrong; of the second, one of two
    assert scores.position["rest"] == PartScore(2, 0.0)
    assert scores.position["first_5"].utterances == 7
    assert scores.speakers["one"].utterances == 7
    assert scores.speakers["two"] == PartScore(2, pytest.approx(2 / 3))
    assert scores.speakers["three_or_more"] == PartScore(0, None)


def test_the_json_is_strict_and_its_names_are_these() -> None:
    scores = Scores.of(ONE, ("a", "b", "c"), threshold=0.5, temperature=2.0)
    whole = json.loads(json.dumps(asdict(scores), allow_nan=False))
    assert list(whole) == [
        "dialogues", "utterances", "weighted_f1", "macro_f1", "accuracy", "uar", "classes", "confusion", "confused",
        "shift", "position", "speakers", "calibration", "temperature", "unscaled", "risk_coverage", "abstention",
    ]  # fmt: skip
    card = json.loads(json.dumps(scores.for_card(), allow_nan=False))
    assert {**whole, **card} == whole
    assert card["weighted_f1"] == scores.weighted_f1


def test_before_scaling_the_logits_were_larger() -> None:
    scores = Scores.of(ONE, "abc", temperature=2.0)
    assert scores.unscaled == Scores.of(replace(ONE, logits=ONE.logits * 2), "abc").calibration
    assert scores.unscaled != scores.calibration
    assert Scores.of(ONE, "abc").unscaled is None


def random_answers(seed: int, right: float, dialogues: int = 60) -> Answers:
    """Of three classes, with this share of right answers and a bit more; labels are the same for all seeds."""
    draw = torch.Generator().manual_seed(7)
    labels = torch.randint(3, (dialogues * 5,), generator=draw)
    guess = torch.randint(3, labels.shape, generator=torch.Generator().manual_seed(seed))
    sure = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed + 1)) < right
    return answers(torch.where(sure, labels, guess).tolist(), labels.tolist(), [0] * len(labels), (5,) * dialogues)


def flipped(given: Answers) -> Answers:
    """The same labels for all: what `random_answers` drew as labels are the answers, and the other way round."""
    return replace(
        given,
        logits=torch.nn.functional.one_hot(given.labels, 3) * 4.0,
        labels=given.logits.argmax(-1),
    )


def test_the_bootstrap_finds_a_difference_and_does_not_invent_one() -> None:
    good, bad, alike = (flipped(random_answers(seed, right)) for seed, right in ((1, 0.8), (2, 0.3), (3, 0.8)))
    found = metrics.paired_bootstrap([bad], [good], draws=2000)
    gain = metrics.weighted_f1(good.confusions().sum(0)) - metrics.weighted_f1(bad.confusions().sum(0))
    assert found.weighted_f1 == pytest.approx(gain)
    assert found.low < gain < found.high
    assert found.low > 0.2
    assert found.p < 0.01
    none = metrics.paired_bootstrap([good], [alike], draws=2000)
    assert none.low < 0 < none.high
    assert none.p > 0.1
    seeds = metrics.paired_bootstrap([bad, alike], [good, good], draws=100)
    assert seeds.weighted_f1 == pytest.approx((gain + none.weighted_f1 * -1) / 2)
    assert metrics.paired_bootstrap([good], [good], draws=100) == metrics.ScoreDifference(0.0, 0.0, 0.0, 1.0)


def test_the_bootstrap_draws_dialogues_not_utterances() -> None:
    """Two dialogues, one all right and one all wrong: resamples differ by whole dialogues."""
    first = answers([0] * 4 + [1] * 4, [0] * 8, [0] * 8, (4, 4))
    second = answers([0] * 4 + [1] * 4, [1] * 8, [0] * 8, (4, 4))
    found = metrics.paired_bootstrap([first], [second], draws=500)
    assert (found.low, found.high) == (-1.0, 1.0)
    with pytest.raises(ValueError, match="same dialogues"):
        metrics.paired_bootstrap([first], [replace(second, lengths=(8,))])


def test_the_interval_is_of_the_dialogues_of_all_models_together() -> None:
    good, bad = (flipped(random_answers(1, right)) for right in (0.9, 0.3))
    low, high = metrics.bootstrap([good], draws=500)
    assert low < good.weighted_f1() < high
    middle = (good.weighted_f1() + bad.weighted_f1()) / 2
    below, above = metrics.bootstrap([good, bad], draws=500)
    assert below < middle < above < low
    assert metrics.bootstrap([good], draws=500) == (low, high)
    one = answers([0, 1, 1], [0, 1, 0], [0, 0, 0], (3,))
    assert metrics.bootstrap([one], draws=10) == pytest.approx([one.weighted_f1()] * 2)  # of one, nothing is drawn


def test_answers_for_some_dialogues_in_another_order() -> None:
    every = answers([0, 1, 2, 0], [1, 1, 0, 2], [0, 1, 0, 1], (1, 2, 1))
    some = every.chosen([2, 1])
    assert (some.labels.tolist(), some.logits.argmax(1).tolist()) == ([0, 1, 2], [2, 1, 0])
    assert (some.speakers.tolist(), some.lengths) == ([1, 1, 0], (1, 2))
    assert every.chosen([]).logits.shape == (0, every.logits.shape[1])
