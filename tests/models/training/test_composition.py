"""Composed voices and faces: worth what they should be, from different people in train and dev, and repeatable."""

from math import nan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.models.batch import UtteranceBatch
from erc_live.models.errors import CorpusError
from erc_live.models.losses import UNLABELLED
from erc_live.models.training.composition import (
    PRESENT,
    WORTH,
    Bank,
    Banks,
    Composition,
    Rules,
    bisect,
    compose,
    composition,
)
from erc_live.models.training.dialogue_dataset import Example

CLASSES = 4
PRIOR = torch.tensor([0.5, 0.2, 0.2, 0.1])


def bank(name: str, width: int, offset: float = 0.0) -> Bank:
    """Vectors that show their class plainly; `offset` marks whose they are."""
    classes = torch.arange(CLASSES).repeat_interleave(30)
    generator = torch.Generator().manual_seed(len(name))
    vectors = 4.0 * torch.eye(CLASSES, width)[classes] + 0.1 * torch.randn(len(classes), width, generator=generator)
    vectors[:, -1] = offset
    return Bank(name, vectors, classes)


def talks(count: int, seed: int) -> list[Example]:
    """Dialogues of ten utterances, of which every tenth has no label, with prosody that says nothing."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for number in range(count):
        labels = torch.multinomial(PRIOR, 10, replacement=True, generator=generator)
        labels[9] = UNLABELLED
        audio = torch.cat((torch.randn(10, 8, generator=generator), torch.full((10, 7), nan)), 1)
        present = torch.tensor([[True, True, False]] * 10)
        given = UtteranceBatch(torch.zeros(10, 0), audio, torch.full((10, 8), nan), torch.zeros(10).long(), present)
        found.append(Example(str(number), ("",) * 10, given, labels))
    return found


def both(offset: float) -> Banks:
    return Banks(bank("voice", 7, offset), bank("face", 8, offset))


def stacked(found: list[Example], modality: str) -> torch.Tensor:
    return torch.cat([getattr(example.utterances, modality) for example in found])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_modality_alone_is_worth_what_it_should_be() -> None:
    found = composition(talks(400, 0), talks(60, 1), (both(1.0), both(2.0)), CLASSES)
    for modality, worth in WORTH.items():
        assert found.worth[modality] == pytest.approx(worth, abs=0.01)
    assert 0.0 < found.rules.voice < 1.0
    assert 0.0 < found.rules.face < 1.0


def test_banks_that_show_too_little_are_told() -> None:
    dull = Banks(None, Bank("dull", torch.zeros(CLASSES, 8), torch.arange(CLASSES)))
    rules, worth = Rules(PRIOR, 0.0, 1.0), {"visual": 0.25, "audio": WORTH["audio"] + 0.01}
    assert Composition(dull, dull, rules, worth).shortcomings() == [
        "the composed visual is worth 0.250 W-F1 on dev instead of 0.332"
    ]


def test_train_and_dev_hear_different_people() -> None:
    train, dev = talks(5, 0), talks(5, 1)
    found = Composition(both(1.0), both(2.0), Rules(PRIOR, 0.5, 0.5), {})
    shown = stacked(found.train(train, source()), "audio")[:, 14]
    assert set(shown[shown.isfinite()].tolist()) == {1.0}
    assert set(stacked(found.dev(dev), "audio")[:, 14].tolist()) == {2.0}
    assert set(stacked(found.dev(dev), "visual")[:, 7].tolist()) == {2.0}


def test_most_of_it_is_missing_in_training_and_all_is_there_on_dev() -> None:
    train = talks(100, 0)
    found = Composition(both(1.0), both(2.0), Rules(PRIOR, 0.5, 0.5), {})
    drawn = found.train(train, source())
    assert abs(stacked(drawn, "audio")[:, 14].isfinite().float().mean() - PRESENT) < 0.05
    assert abs(stacked(drawn, "present")[:, 2].float().mean() - PRESENT) < 0.05
    assert stacked(found.dev(train), "present")[:, 2].all()
    first, second = (stacked(found.train(train, source(seed)), "visual").nan_to_num() for seed in (1, 2))
    assert not torch.equal(first, second)  # every epoch is another
    assert torch.equal(first, stacked(found.train(train, source(1)), "visual").nan_to_num())
    assert torch.equal(stacked(found.dev(train), "visual"), stacked(found.dev(train), "visual"))


@settings(deadline=None, max_examples=20)
@given(p=st.floats(0, 1))
def test_the_share_of_own_labels_is_p_and_what_comes_by_chance(p: float) -> None:
    data = talks(300, 2)
    drawn = compose(data, both(0.0), Rules(PRIOR, p, p), source())
    labels = torch.cat([example.labels for example in data])
    shown = stacked(drawn, "visual")[:, :CLASSES].argmax(1)
    known = labels != UNLABELLED
    expected = p + (1 - p) * (PRIOR**2).sum()
    assert abs((shown == labels)[known].float().mean() - expected) < 0.05


def test_what_was_measured_stays_and_an_absent_bank_changes_nothing() -> None:
    (example,) = talks(1, 0)
    example.utterances.audio[3, 8:] = 9.0
    (drawn,) = compose([example], Banks(bank("voice", 7), None), Rules(PRIOR, 1.0, 1.0), source())
    assert drawn.utterances.audio[3, 8:].tolist() == [9.0] * 7
    assert torch.equal(drawn.utterances.audio[:, :8], example.utterances.audio[:, :8])
    assert not drawn.utterances.present[:, 2].any()


def test_a_bank_must_show_every_label() -> None:
    rows = torch.zeros(3, 7)
    assert Bank.of("clips", rows, ("joy", "calm", "fear"), ("fear", "joy")).classes.tolist() == [1, 0]
    with pytest.raises(CorpusError, match="clips shows no disgust and no rage"):
        Bank.of("clips", rows, ("joy", "calm", "fear"), ("fear", "rage", "disgust"))


def test_bisection_ends_at_the_nearer_end_where_the_target_is_not_reached() -> None:
    assert bisect(lambda p: p / 2, 0.25) == pytest.approx(0.5, abs=1e-3)
    assert bisect(lambda p: 0.9, 0.5) == pytest.approx(0.0, abs=1e-3)
    assert bisect(lambda p: 0.1, 0.5) == pytest.approx(1.0, abs=1e-3)
