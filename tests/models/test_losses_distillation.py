"""The losses of self-distillation against slow, literal transcriptions of their equations."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from erc_live.models.losses import (
    class_similarity,
    confusable_focal,
    distillation,
    focal,
    similarity_focal,
)
from erc_live.models.networks.safsd_glnet import IEMOCAP_ALPHA, IEMOCAP_SIMILARITY

CLASSES = 6
SIMILARITY, ALPHA = torch.tensor(IEMOCAP_SIMILARITY), torch.tensor(IEMOCAP_ALPHA)
checked = settings(max_examples=30, deadline=None)
cases = st.tuples(st.integers(0, 2**20), st.integers(1, 12))


def draw(case: tuple[int, int]) -> tuple[Tensor, Tensor]:
    seed, rows = case
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, CLASSES, generator=generator), torch.randint(CLASSES, (rows,), generator=generator)


def probabilities(row: list[float], temperature: float = 1.0) -> list[float]:
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


@checked
@given(case=cases, gamma=st.sampled_from([0.0, 1.0, 2.0, 2.5]))
def test_similarity_focal_is_its_equation(case: tuple[int, int], gamma: float) -> None:
    logits, labels = draw(case)
    terms = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        for c, p in enumerate(probabilities(row)):
            terms.append(-IEMOCAP_ALPHA[c] * (1 - p) ** gamma * math.log(p) * IEMOCAP_SIMILARITY[label][c])
    found = similarity_focal(logits, labels, SIMILARITY, ALPHA, gamma).item()
    assert math.isclose(found, sum(terms) / len(terms), rel_tol=1e-4, abs_tol=1e-7)


@checked
@given(case=cases, gamma=st.sampled_from([0.0, 2.0]), sharpness=st.sampled_from([0.0, 1.0, 3.0]))
def test_confusable_focal_is_its_equation(case: tuple[int, int], gamma: float, sharpness: float) -> None:
    logits, labels = draw(case)
    total = 0.0
    for row, y in zip(logits.tolist(), labels.tolist(), strict=True):
        p = probabilities(row)
        alike = sum(IEMOCAP_SIMILARITY[y][c] * p[c] for c in range(CLASSES) if c != y)
        total -= IEMOCAP_ALPHA[y] * (1 - p[y]) ** gamma * (1 + sharpness * alike) * math.log(p[y])
    found = confusable_focal(logits, labels, SIMILARITY, ALPHA, (gamma, sharpness)).item()
    assert math.isclose(found, total / len(labels), rel_tol=1e-4, abs_tol=1e-7)


@checked
@given(case=cases, temperature=st.sampled_from([0.5, 1.0, 8.0]))
def test_distillation_is_the_divergence_of_teacher_and_student(case: tuple[int, int], temperature: float) -> None:
    student, _ = draw(case)
    teacher, _ = draw((case[0] + 1, case[1]))
    total = 0.0
    for learnt, taught in zip(student.tolist(), teacher.tolist(), strict=True):
        pairs = zip(probabilities(taught, temperature), probabilities(learnt, temperature), strict=True)
        total += sum(p * math.log(p / q) for p, q in pairs)
    found = distillation(student, teacher, temperature).item()
    assert math.isclose(found, total / len(student), rel_tol=1e-3, abs_tol=1e-6)


def test_the_teacher_is_held_still_unless_asked() -> None:
    student, teacher = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    distillation(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().max() > 0
    distillation(student, teacher, through_teacher=True).backward()
    assert teacher.grad is not None
    assert teacher.grad.abs().max() > 0


def test_a_student_that_agrees_costs_nothing() -> None:
    logits = torch.randn(5, 3)
    assert distillation(logits, logits + 7.0).abs() < 1e-6


def settle(loss_of: object, similarity: Tensor) -> Tensor:
    """The probabilities at which a loss is smallest for an utterance of class 0."""
    logits = torch.zeros(1, 3, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        loss_of(logits, torch.tensor([0]), similarity).backward()  # type: ignore[operator]
        optimiser.step()
    return logits.detach().softmax(-1)[0]


def test_only_the_discriminating_form_ends_at_the_true_class() -> None:
    similarity = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    alpha = torch.ones(3)
    released = settle(lambda x, y, s: similarity_focal(x, y, s, alpha, 2.0), similarity)
    ours = settle(lambda x, y, s: confusable_focal(x, y, s, alpha, (2.0, 1.0)), similarity)
    assert released[1] > 0.3
    assert ours[0] > 0.9


def test_an_error_towards_a_look_alike_costs_more() -> None:
    similarity = torch.tensor([[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]])
    label, alpha = torch.tensor([0]), torch.ones(3)
    alike = confusable_focal(torch.tensor([[0.0, 2.0, 0.0]]), label, similarity, alpha, (2.0, 1.0))
    unlike = confusable_focal(torch.tensor([[0.0, 0.0, 2.0]]), label, similarity, alpha, (2.0, 1.0))
    assert alike > unlike


def test_without_similar_classes_both_forms_are_focal_loss() -> None:
    logits, labels = draw((3, 9))
    ones, nothing = torch.ones(CLASSES), torch.eye(CLASSES)
    plain = focal(logits, labels, 2.0)
    torch.testing.assert_close(confusable_focal(logits, labels, nothing, ones, (2.0, 1.0)), plain)
    torch.testing.assert_close(similarity_focal(logits, labels, nothing, ones, 2.0) * CLASSES, plain)


def test_extreme_logits_have_finite_losses_and_gradients() -> None:
    logits = torch.tensor([[1e4, 0.0, 0.0], [-1e4, 0.0, 0.0]], requires_grad=True)
    labels, similarity, alpha = torch.tensor([0, 0]), torch.full((3, 3), 0.5), torch.ones(3)
    loss = (
        similarity_focal(logits, labels, similarity, alpha, 2.0)
        + confusable_focal(logits, labels, similarity, alpha, (2.0, 1.0))
        + distillation(logits, -logits.detach())
    )
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_nobody_to_learn_from_costs_nothing() -> None:
    logits, labels = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, dtype=torch.int64)
    similarity, alpha = torch.eye(3), torch.ones(3)
    loss = (
        similarity_focal(logits, labels, similarity, alpha, 2.0)
        + confusable_focal(logits, labels, similarity, alpha, (2.0, 1.0))
        + distillation(logits, logits)
    )
    assert loss == 0
    loss.backward()


def test_class_similarity_of_a_confusion_by_hand() -> None:
    confusion = torch.tensor([[8, 2, 0], [4, 4, 0], [0, 0, 0]])
    alike = (0.2 + 0.5) / (0.8 + 0.5)
    expected = torch.tensor([[1.0, alike, 0.0], [alike, 1.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(class_similarity(confusion), expected)
    assert (class_similarity(torch.tensor([[0, 5], [5, 0]])) == 1).all()
