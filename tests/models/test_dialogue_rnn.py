"""DialogueRNN against its equations with the whole history at hand, and what its speaker slots forget."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from erc_live.models.blocks.context import DialogueRNN
from erc_live.models.state import transform

WIDTH = 5
checked = settings(max_examples=20, deadline=None)


def build(slots: int = 9, causal: bool = True) -> DialogueRNN:
    torch.manual_seed(0)
    model = DialogueRNN(WIDTH, slots=slots, causal=causal).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def draw(seed: int, length: int, speakers: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(length, WIDTH, generator=generator, dtype=torch.float64)
    return rows, torch.randint(speakers, (length,), generator=generator)


def slow(model: DialogueRNN, rows: Tensor, speakers: Tensor) -> Tensor:
    """The equations of Majumder et al. word by word: every global state is kept, every speaker has a state for good."""
    cell, nothing = model.past, torch.zeros(1, WIDTH, dtype=rows.dtype)
    said, parties, emotion, results = [], {}, nothing, []
    for x, speaker in zip(rows.split(1), speakers.tolist(), strict=True):
        party = parties.get(speaker, nothing)
        context = nothing
        if said:
            past = torch.cat(said)
            context = torch.softmax(past @ cell.score.weight[0], dim=0) @ past
            context = context[None]
        said.append(cell.dialogue(torch.cat((x, party), dim=1), said[-1] if said else nothing))
        parties[speaker] = cell.party(torch.cat((x, context), dim=1), party)
        emotion = cell.emotion(parties[speaker], emotion)
        results.append(emotion)
    return torch.cat(results)


@checked
@given(seed=st.integers(0, 999), lengths=st.lists(st.integers(1, 25), min_size=1, max_size=3))
def test_it_is_its_equations(seed: int, lengths: list[int]) -> None:
    model = build()
    talks = [draw(seed + i, length) for i, length in enumerate(lengths)]
    rows, speakers = (torch.cat(parts) for parts in zip(*talks, strict=True))
    expected = torch.cat([slow(model, *talk) for talk in talks])
    torch.testing.assert_close(model(rows, speakers, torch.tensor(lengths)), expected)


@checked
@given(seed=st.integers(0, 999), length=st.integers(1, 40), slots=st.integers(1, 4))
def test_step_is_forward(seed: int, length: int, slots: int) -> None:
    model = build(slots)
    rows, speakers = draw(seed, length, speakers=6)
    state, results = model.initial_state(1), []
    for t in range(length):
        before = transform(torch.clone, state)
        result, after = model.step(rows[t : t + 1], speakers[t : t + 1], state)
        assert all(torch.equal(a, b) for a, b in zip(vars(before).values(), vars(state).values(), strict=True))
        state = after
        results.append(result)
    torch.testing.assert_close(torch.cat(results), model(rows, speakers, torch.tensor([length])))


def test_two_sided_is_both_directions_joined() -> None:
    model = build(causal=False)
    lengths = torch.tensor([4, 1, 6])
    rows, speakers = draw(3, 11)
    future = []
    for x, s in zip(rows.split(lengths.tolist()), speakers.split(lengths.tolist()), strict=True):
        future.append(model.future.whole(x.flip(0), s.flip(0), torch.tensor([len(x)])).flip(0))
    both = torch.cat((model.past.whole(rows, speakers, lengths), torch.cat(future)), dim=1)
    torch.testing.assert_close(model(rows, speakers, lengths), model.join(both))


def test_attention_stays_exact_where_scores_are_extreme() -> None:
    model = build()
    with torch.no_grad():
        model.past.score.weight *= 2000.0
    rows, speakers = draw(5, 30)
    result = model(rows, speakers, torch.tensor([30]))
    assert result.isfinite().all()
    torch.testing.assert_close(result, slow(model, rows, speakers))


def test_a_speaker_who_lost_the_slot_returns_as_a_new_one() -> None:
    model = build(slots=2)
    rows, _ = draw(7, 4)
    length = torch.tensor([4])
    # 2 takes the slot of 0, the one silent for longest; with a slot for everybody 0 would be remembered.
    returned = model(rows, torch.tensor([0, 1, 2, 0]), length)
    as_new = model(rows, torch.tensor([0, 1, 2, 3]), length)
    assert torch.equal(returned, as_new)
    assert not torch.allclose(build(slots=3)(rows, torch.tensor([0, 1, 2, 0]), length), returned)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_reach_every_parameter(causal: bool) -> None:
    model = build(causal=causal)
    rows, speakers = draw(11, 12)
    model(rows, speakers, torch.tensor([7, 5])).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
