"""Prototypes: the nearest mean by the cosine, nothing of the past, and nothing where there are no words."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.networks.prototypes import SHARPNESS, Prototypes, PrototypesConfig
from erc_live.models.state import rows
from erc_live.models.training.anchors import NEVER, drawn, left_out, made_of_anchors

DRAW = torch.Generator().manual_seed(0)
MEANS = torch.randn(3, 6, generator=DRAW) + 5.0  # far from 0, as the vectors of an encoder are


def talk(length: int) -> UtteranceBatch:
    text = torch.randn(length, 6, generator=DRAW) + 5.0
    present = torch.tensor([[True, False, False]]).repeat(length, 1)
    present[2] = False
    text[2] = torch.nan
    nothing = torch.zeros(length, 0)
    return UtteranceBatch(text, nothing, nothing, torch.zeros(length, dtype=torch.int64), present)


@torch.no_grad()
def test_logits_by_hand_and_stepped() -> None:
    model, utterances = Prototypes.of(MEANS), talk(5)
    whole = model(DialogueBatch.pad([utterances, talk(4)]))
    centre = MEANS.mean(0)
    for t in (0, 1, 3, 4):
        expected = SHARPNESS * cosine_similarity(utterances.text[t] - centre, MEANS - centre)
        torch.testing.assert_close(whole[0, t], expected)
    assert whole[0, 2].tolist() == [0.0, 0.0, 0.0]  # no words: all labels are as likely
    assert whole[1, 4].tolist() == [0.0, 0.0, 0.0]  # behind the end
    state = model.initial_state(2)
    for t in range(5):
        both = torch.tensor([t, t])
        logits, state = model.step(utterances.rows(both), rows(state, slice(2)))
        torch.testing.assert_close(logits, whole[0, both])


@pytest.mark.parametrize("sizes", [{"audio_dim": 1}, {"window": 2}, {"causal": False}])
def test_other_sizes_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="words alone"):
        PrototypesConfig(3, 6, **sizes)


def anchors(each: int, apart: float) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(3).repeat_interleave(each)
    return apart * MEANS[labels] + torch.randn(len(labels), 6, generator=DRAW), labels


def test_each_anchor_is_compared_with_the_others() -> None:
    vectors, labels = anchors(4, 1.0)
    rest = torch.arange(12) != 5
    means = torch.stack([vectors[rest & (labels == k)].mean(0) for k in range(3)])
    expected = Prototypes.of(means).logits(vectors[5:6]).detach()
    torch.testing.assert_close(left_out(vectors, labels)[5:6], expected, atol=1e-4, rtol=1e-4)


def test_confidence_follows_how_far_the_labels_lie_apart() -> None:
    clear, blurred = (made_of_anchors(*anchors(40, apart)) for apart in (4.0, 0.2))
    sharp, soft = (model.head[-1].weight.norm() for model, _ in (clear, blurred))
    assert sharp > soft
    assert clear[1] < blurred[1]
    assert made_of_anchors(*anchors(1, 4.0))[1] == NEVER


def test_anchors_are_drawn_of_every_label_and_anew_by_each_seed() -> None:
    labels = torch.tensor([0, 1, -100, 1, 0, 0, 2, 1])
    one, other = (drawn(labels, 2, seed) for seed in (0, 1))
    assert sorted(labels[one].tolist()) == [0, 0, 1, 1, 2]
    assert one.tolist() == drawn(labels, 2, 0).tolist() != other.tolist()
