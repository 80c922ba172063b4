"""How sure an answer is by what it rests on: each subset of the modalities is scaled by itself."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.training import confidences
from erc_live.models.training.confidences import by_modalities, certain_from
from erc_live.models.training.dialogue_dataset import Example
from erc_live.models.training.evaluation import classify

DRAW = torch.Generator().manual_seed(0)
TRUTH = 1.5 * torch.randn(3000, 3, generator=DRAW)  # logits of the law that labels follow
LABELS = torch.multinomial(TRUTH.softmax(-1), 1, generator=DRAW)[:, 0]


class TooSure:
    """Knows the law from words as it is, and from the voice three times too sure."""

    config = SimpleNamespace(causal=False, classes=3)

    def forward(self, batch: DialogueBatch) -> Tensor:
        words = batch.present[..., :1]
        return torch.where(words, batch.text, 3 * batch.audio)


def talks(wordless: int = 0) -> list[Example]:
    """Dialogues of ten; the first `wordless` utterances of all lack words."""
    there = torch.tensor([[True, True, False]]).repeat(len(TRUTH), 1)
    there[:wordless, 0] = False
    parts = zip(*(rows.split(10) for rows in (TRUTH, LABELS, there)), strict=True)
    speakers = torch.zeros(10, dtype=torch.int64)
    return [
        Example("d", ("words",) * 10, UtteranceBatch(rows, rows, torch.zeros(10, 0), speakers, seen), labels)
        for rows, labels, seen in parts
    ]


def test_each_subset_is_scaled_by_itself() -> None:
    found = by_modalities(partial(classify, TooSure()), talks())
    assert set(found) == {"ta", "t", "a"}
    assert found["ta"].temperature == found["t"].temperature == pytest.approx(1.0, rel=0.08)
    assert found["a"].temperature == pytest.approx(3.0, rel=0.08)
    sure = TRUTH.softmax(-1)
    assert found["ta"].abstain_below == pytest.approx(certain_from(sure, LABELS), abs=0.02)


def test_only_utterances_with_just_these_modalities_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidences, "FEW", 500)
    found = by_modalities(partial(classify, TooSure()), talks(wordless=2600))
    assert set(found) == {"a"}  # of text 400 are left, and fewer choose nothing
    assert found["a"].temperature == pytest.approx(3.0, rel=0.08)


def test_answers_are_certain_from_where_most_are_right() -> None:
    probs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert certain_from(probs, torch.tensor([0, 1, 0, 1]), 0.6) == pytest.approx(0.7)
    assert certain_from(probs, torch.tensor([0, 0, 0, 1]), 0.7) == pytest.approx(float(probs.max(-1).values.min()))
    assert certain_from(probs, torch.tensor([1, 1, 1, 1]), 0.7) == 1.0
