"""What a person's own baseline is worth: found where it is worth something, nothing where it is not, never leaking."""

import pytest
import torch

from erc_live.models.training.own_baseline import Voices, compare, leave_one_out

PEOPLE, EACH, CLASSES = 6, 30, 3


def voices(personal: float, emotional: float) -> Voices:
    """Prosody in which people differ by so much, and emotions by so much; the voice network knows nothing."""
    random = torch.Generator().manual_seed(0)
    people = torch.arange(PEOPLE).repeat_interleave(EACH)
    labels = torch.arange(CLASSES).repeat(PEOPLE * EACH // CLASSES)
    usual = personal * torch.randn(PEOPLE, 2, generator=random)
    places = emotional * torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    prosody = usual[people] + places[labels] + 0.3 * torch.randn(len(people), 2, generator=random)
    return Voices(people, labels, prosody, torch.randn(len(people), CLASSES, generator=random).log_softmax(1))


def test_where_people_differ_more_than_emotions_a_baseline_helps():
    instead, beside, *_ = compare(voices(personal=5.0, emotional=1.0), range(PEOPLE), first=9)
    assert instead.people == PEOPLE
    assert instead.utterances == PEOPLE * (EACH - 9)
    assert instead.with_baseline > 0.9 > instead.without + 0.2
    assert instead.low > 0
    assert beside.with_baseline > beside.without


def test_where_people_are_alike_it_does_not():
    instead, *_ = compare(voices(personal=0.0, emotional=1.0), range(PEOPLE), first=9)
    assert instead.without > 0.9
    assert instead.low <= 0.01


def test_nobody_is_judged_by_what_they_taught():
    """Of one person the labels are others' turned round: what was fitted without them cannot know."""
    talk = voices(personal=0.0, emotional=1.0)
    odd = talk.people == 0
    labels = torch.where(odd, (talk.labels + 1) % CLASSES, talk.labels)
    answers = leave_one_out([talk.prosody], Voices(talk.people, labels, talk.prosody, talk.log_probs))
    assert (answers[odd] == labels[odd]).float().mean() < 0.1
    assert (answers[~odd] == labels[~odd]).float().mean() > 0.9


def test_what_was_not_measured_is_left_out():
    talk = voices(personal=1.0, emotional=1.0)
    talk.prosody[::7, 0] = torch.nan
    assert all(0 <= row.without <= 1 for row in compare(talk, range(PEOPLE), first=4))


@pytest.mark.parametrize(("unheard", "first"), [(range(2), 4), (range(PEOPLE), EACH)])
def test_too_few_are_refused(unheard, first):
    with pytest.raises(ValueError, match=r"people|nothing is left"):
        compare(voices(1.0, 1.0), unheard, first)
