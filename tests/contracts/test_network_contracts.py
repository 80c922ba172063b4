"""The contract of every streaming network: stepping is forward, the past is final, neighbours and padding are never
read, the state is a value of constant size, and the declared receptive field is the real one.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import checks
import pytest
import torch
from checks import TOLERANCE, dialogue, forward, same, stepped
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nets import DIMS, NETS, build

from erc_live.live.tracking.slots import Slots
from erc_live.models import state as states
from erc_live.models.batch import UtteranceBatch
from erc_live.models.errors import StateError
from erc_live.models.state import join, rows
from erc_live.streams.clock import ManualClock

checked = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def talks(longest: int) -> st.SearchStrategy[UtteranceBatch]:
    return st.builds(
        dialogue,
        seed=st.integers(0, 2**20),
        length=st.integers(1, longest),
        speakers=st.sampled_from([1, 2, 5, 40]),
        missing=st.sampled_from([0.0, 0.3, 1.0]),
    )


@pytest.fixture(scope="module", params=sorted(NETS))
def model(request: pytest.FixtureRequest) -> Any:
    return build(request.param)


@checked
@given(utterances=talks(60))
@example(utterances=dialogue(0, 1))
@example(utterances=dialogue(0, 500, speakers=12))
def test_step_equals_forward(model: Any, utterances: UtteranceBatch) -> None:
    checks.step_equals_forward(model, utterances)


@checked
@given(utterances=talks(200), data=st.data())
def test_the_past_does_not_change_by_a_single_bit(model: Any, utterances: UtteranceBatch, data: st.DataObject) -> None:
    checks.past_is_final(
        model, utterances, data.draw(st.integers(0, len(utterances) - 1)), data.draw(st.integers(0, 99))
    )


@checked
@given(utterances=talks(200), data=st.data())
def test_what_is_beyond_reach_is_forgotten(model: Any, utterances: UtteranceBatch, data: st.DataObject) -> None:
    if model.receptive_field is None:
        return  # nothing is ever beyond reach
    k = data.draw(st.integers(0, len(utterances) - 1))
    checks.beyond_reach_is_forgotten(model, utterances, k, data.draw(st.integers(0, 99)))


@checked
@given(utterances=talks(100), mate=st.integers(1, 60), fill=st.sampled_from([0.0, torch.nan, 1e30]))
def test_padding_and_batch_mates_do_not_matter(model: Any, utterances: UtteranceBatch, mate: int, fill: float) -> None:
    checks.neighbours_do_not_matter(model, utterances, mate, fill)


@pytest.mark.parametrize("name", sorted(NETS))
def test_the_receptive_field_is_as_declared(name: str) -> None:
    model = build(name)
    longest = 40 if model.receptive_field is None else model.receptive_field + 10
    for at in (0, longest // 2, longest - 4):
        checks.receptive_field_is_as_declared(model, longest, at)


@checked
@given(utterances=talks(30))
def test_the_state_is_a_value_of_constant_size(model: Any, utterances: UtteranceBatch) -> None:
    checks.state_is_a_value_of_constant_size(model, utterances)


def test_dialogues_of_different_age_step_together(model: Any) -> None:
    spoken = [dialogue(seed, length) for seed, length in enumerate((3, 1, 9, 40))]
    joined = join([stepped(model, talk)[1] for talk in spoken])
    checks.states_are_independent(model, spoken, joined, dialogue(9, len(spoken)))


def test_slots_say_what_single_steps_say(model: Any) -> None:
    spoken = {name: dialogue(seed, 30) for seed, name in enumerate("abcde")}
    slots, said = Slots(model, 3, ManualClock()), {name: [] for name in spoken}
    for name in spoken:
        slots.join(name)
    draw = torch.Generator().manual_seed(0)
    while any(len(rows_) < 30 for rows_ in said.values()):
        names = [n for n in spoken if len(said[n]) < 30 and torch.rand((), generator=draw) < 0.6]
        if not names:
            continue
        latest = states.transform(
            lambda *parts: torch.cat(parts),
            *(spoken[n].rows(slice(len(said[n]), len(said[n]) + 1)) for n in names),
        )
        for name, logits in zip(names, slots.step(names, latest), strict=True):
            said[name].append(logits)
    for name, talk in spoken.items():
        whole = forward(model, talk)[0]
        torch.testing.assert_close(torch.stack(said[name]), whole, atol=TOLERANCE, rtol=TOLERANCE)


def test_a_saved_state_comes_back_bit_for_bit(model: Any, tmp_path: Path) -> None:
    state = join([stepped(model, dialogue(seed, 12))[1] for seed in range(3)])
    states.save(tmp_path / "state.safetensors", state, "weights-1")
    again = states.load(tmp_path / "state.safetensors", model.initial_state(), "weights-1")
    assert type(again) is type(state)
    assert same(again, state)
    with pytest.raises(StateError, match="made by model weights-1, this is weights-2"):
        states.load(tmp_path / "state.safetensors", model.initial_state(), "weights-2")
    assert same(rows(again, slice(1, 2)), rows(state, torch.tensor([1])))


def test_missing_modalities_may_come_without_a_width(model: Any) -> None:
    live = UtteranceBatch.of(torch.randn(DIMS[0]), None, None, speaker=0)
    row = replace(live, audio=torch.full((1, DIMS[1]), torch.nan), visual=torch.full((1, DIMS[2]), torch.nan))
    with torch.no_grad():
        logits, _ = model.step(live, model.initial_state())
    torch.testing.assert_close(logits, forward(model, row)[0], atol=TOLERANCE, rtol=TOLERANCE)


def test_context_is_heard(model: Any) -> None:
    talk = dialogue(5, 6, missing=0.0)
    alone = forward(model, talk.rows(slice(5, 6)))[0, 0]
    assert not torch.allclose(forward(model, talk)[0, 5], alone, atol=1e-3)


def test_vectors_of_a_wrong_width_are_refused(model: Any) -> None:
    wrong = UtteranceBatch.of(torch.zeros(DIMS[0] + 1), None, None, speaker=0)
    with pytest.raises(ValueError, match="13"):
        model.step(wrong, model.initial_state())
