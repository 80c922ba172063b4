"""Slots say of every dialogue what stepping it alone says, whatever joins, leaves, rests or is parked meanwhile."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tiny_world import answering
from torch import Tensor, nn

from erc_live.live.tracking.slots import Slots, has_fixed_shapes
from erc_live.models.batch import UtteranceBatch
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig, DialogueState
from erc_live.models.state import Replay, tensors
from erc_live.streams.clock import ManualClock

NAMES = [f"talk {number}" for number in range(8)]
CAPACITY = 5
IDLE_S = 10.0
SECOND = 1_000_000_000


def network() -> DialogueGraph:
    torch.manual_seed(0)
    model = answering(DialogueGraphConfig(7, 6, 8, 0, width=8, layers=2, heads=2, window=3))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


MODEL = network()


def utterances(seed: int, count: int) -> UtteranceBatch:
    draw = torch.Generator().manual_seed(seed)
    present = torch.rand(count, 3, generator=draw) < 0.7
    text, audio = (torch.randn(count, dim, generator=draw) for dim in (6, 8))
    return UtteranceBatch(text, audio, torch.zeros(count, 0), torch.randint(3, (count,), generator=draw), present)


def bits(state: DialogueState) -> list[Tensor]:
    return list(tensors(state).values())


class Conversations(RuleBasedStateMachine):
    """Beside the slots every dialogue is stepped by itself; its state there is a plain value."""

    @initialize()
    def begin(self) -> None:
        self.clock = ManualClock()
        self.slots = Slots(MODEL, CAPACITY, self.clock, IDLE_S)
        self.alone: dict[str, DialogueState] = {}
        self.left: dict[str, DialogueState] = {}

    @precondition(lambda self: len(self.alone) < len(NAMES))
    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name in NAMES if name not in self.alone]))
        back = self.left.pop(name, None)  # one that has left may come back with its state
        self.slots.join(name, back)
        self.alone[name] = MODEL.initial_state() if back is None else back

    @precondition(lambda self: self.alone)
    @rule(data=st.data(), seed=st.integers(0, 2**16), rest_s=st.floats(0, 8))
    def speak(self, data: st.DataObject, seed: int, rest_s: float) -> None:
        names = data.draw(st.lists(st.sampled_from(sorted(self.alone)), unique=True, min_size=1))
        provisional = data.draw(st.sets(st.sampled_from(names)))
        self.clock.t_ns += int(rest_s * SECOND)
        said = utterances(seed, len(names))
        together = self.slots.step(names, said, provisional)
        for i, name in enumerate(names):
            with torch.no_grad():
                logits, after = MODEL.step(said.rows(slice(i, i + 1)), self.alone[name])
            torch.testing.assert_close(together[i : i + 1], logits, atol=1e-5, rtol=1e-5)
            if name not in provisional:
                self.alone[name] = after

    @precondition(lambda self: self.alone)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.alone)))
        state, alone = self.slots.leave(name), self.alone.pop(name)
        for mine, theirs in zip(bits(state), bits(alone), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
        self.left[name] = state

    @rule()
    def rest(self) -> None:
        self.clock.t_ns += int(2 * IDLE_S * SECOND)

    @invariant()
    def nobody_is_lost(self) -> None:
        if hasattr(self, "slots"):
            assert len(self.slots) == len(self.alone)
            assert all(name in self.slots for name in self.alone)
            assert len(self.slots) - len(self.slots.parked) <= CAPACITY


TestConversations = Conversations.TestCase
TestConversations.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def started(capacity: int, *names: str, clock: ManualClock | None = None) -> Slots[DialogueState]:
    slots = Slots(MODEL, capacity, clock or ManualClock(), IDLE_S)
    for name in names:
        slots.join(name)
    return slots


def test_a_parked_dialogue_comes_back_bit_for_bit() -> None:
    clock = ManualClock()
    slots, twin = started(2, "a", "b", clock=clock), started(2, "a", clock=ManualClock())
    for seed in range(5):
        slots.step(["a"], utterances(seed, 1))
        twin.step(["a"], utterances(seed, 1))
    clock.t_ns += int(2 * IDLE_S * SECOND)
    slots.step(["b"], utterances(9, 1))
    assert slots.parked == {"a"}
    assert torch.equal(slots.step(["a"], utterances(7, 1)), twin.step(["a"], utterances(7, 1)))
    assert slots.parked == set()
    assert all(
        torch.equal(mine, theirs) for mine, theirs in zip(bits(slots.leave("a")), bits(twin.leave("a")), strict=True)
    )


def test_the_longest_idle_makes_room() -> None:
    slots = started(2, "a", "b", "c")
    for name in ("a", "b", "a", "c"):
        slots.step([name], utterances(0, 1))
    assert slots.parked == {"b"}


def test_more_dialogues_than_rows_speak_at_once() -> None:
    names = [f"{number}" for number in range(11)]
    slots, said = started(3, *names), utterances(1, 11)
    together = slots.step(names, said)
    with torch.no_grad():
        alone, _ = MODEL.step(said, MODEL.initial_state(11))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_stepping_nobody_gives_nothing() -> None:
    assert started(2).step([], utterances(0, 0)).shape == (0, 7)


@pytest.mark.parametrize(
    ("names", "count", "message"),
    [
        (["a", "nobody"], 2, "no dialogue nobody"),
        (["a", "a"], 2, "2 utterances for a, a: give one for each dialogue"),
        (["a", "b"], 1, "1 utterances for a, b"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(names: list[str], count: int, message: str) -> None:
    slots = started(2, "a", "b")
    with pytest.raises(ValueError, match=message):
        slots.step(names, utterances(0, count))
    with pytest.raises(ValueError, match="dialogue a is here already"):
        slots.join("a")
    assert all((tensor == 0).all() for tensor in bits(slots.leave("a")))


def test_the_answers_of_a_step_outlive_the_next() -> None:
    slots = started(2, "a")
    first = slots.step(["a"], utterances(0, 1))
    kept = first.clone()
    slots.step(["a"], utterances(1, 1))
    assert torch.equal(first, kept)


def test_slots_without_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1, not 0"):
        Slots(MODEL, 0, ManualClock())


@dataclass(frozen=True)
class Hidden:
    values: Tensor
    steps: Tensor


class Dense(nn.Module):
    """A recurrent network whose step never looks at a value."""

    config = MODEL.config

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 7)

    def initial_state(self, dialogues: int = 1) -> Hidden:
        return Hidden(*(self.cell.bias_hh.new_zeros(dialogues, width) for width in (7, 1)))

    def step(self, utterance: UtteranceBatch, state: Hidden) -> tuple[Tensor, Hidden]:
        values = self.cell(utterance.text, state.values)
        return values, Hidden(values, state.steps + 1)


def test_only_a_step_that_never_looks_at_values_can_be_recorded() -> None:
    assert has_fixed_shapes(Dense())
    assert not has_fixed_shapes(Replay(MODEL, 3))  # cuts its window to the longest dialogue


@pytest.mark.gpu
def test_recorded_kernels_say_what_single_steps_say() -> None:
    model = Dense().cuda()
    slots, alone = Slots(model, 4, ManualClock()), model.initial_state(3)
    for name in "abc":
        slots.join(name)
    for seed in range(5):
        said = utterances(seed, 3)
        together = slots.step("abc", said)
        with torch.no_grad():
            logits, alone = model.step(said.to("cuda"), alone)
        torch.testing.assert_close(together, logits.cpu(), atol=1e-4, rtol=1e-4)
