"""Slots say of every dialogue what stepping it alone says, whatever joins, leaves, rests or is parked meanwhile."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tiny_world import answering
from torch import Tensor, nn

from erc_live.live.tracking.slots import Slots, blank, has_fixed_shapes
from erc_live.models.batch import UtteranceBatch
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig, DialogueState
from erc_live.models.state import Replay, join, nbytes, rows, tensors
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
        aside = data.draw(st.lists(st.sampled_from(names), max_size=3))  # what else they might have said
        stays = [*(True for _ in aside), *(data.draw(st.booleans()) for _ in names)]
        self.clock.t_ns += int(rest_s * SECOND)
        said = utterances(seed, len(stays))
        together = self.slots.step([*aside, *names], said, stays)
        for i, name in enumerate([*aside, *names]):
            with torch.no_grad():
                logits, after = MODEL.step(said.rows(slice(i, i + 1)), self.alone[name])
            torch.testing.assert_close(together[i : i + 1], logits, atol=1e-5, rtol=1e-5)
            if not stays[i]:
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


class Numb(Dense):
    """Its step leaves torch, as no tensor without values can."""

    def step(self, utterance: UtteranceBatch, state: Hidden) -> tuple[Tensor, Hidden]:
        values, after = super().step(utterance, state)
        return torch.from_numpy(values.detach().numpy().copy()), after


def test_only_a_step_that_never_looks_at_values_can_be_recorded() -> None:
    assert has_fixed_shapes(Dense())
    assert has_fixed_shapes(network())
    assert not has_fixed_shapes(Replay(MODEL, 3))  # cuts its window to the longest dialogue
    assert not has_fixed_shapes(Numb())


def test_the_trial_leaves_nothing_behind_in_the_network() -> None:
    model, said = network(), utterances(0, 2)
    has_fixed_shapes(model)
    with torch.inference_mode():
        tried = model.step(said, model.initial_state(2))[0]
        expected = MODEL.step(said, MODEL.initial_state(2))[0]
    assert torch.equal(tried, expected)


def test_steps_that_cannot_be_recorded_run_unrecorded_and_say_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slots, twin = started(4, "a"), started(4, "a")

    def refuse() -> None:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph_pool_handle", refuse)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
    with caplog.at_level(logging.WARNING):
        slots._record()
    (record,) = caplog.records
    assert "run unrecorded, more slowly: operation not permitted when stream is capturing" in record.getMessage()
    assert torch.equal(slots.step(["a"], utterances(0, 1)), twin.step(["a"], utterances(0, 1)))


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("used", [True, False])
def test_slots_may_be_built_and_used_in_inference_mode_and_out_of_it(built: bool, used: bool) -> None:
    with torch.inference_mode(built):
        slots = started(2, "a", "b", "c")
    for inside in (used, not used):
        with torch.inference_mode(inside):
            logits = slots.step(["a", "b", "c"], utterances(0, 3))
            state = slots.leave("a")
            slots.join("a", state)
    assert not logits.is_inference()
    assert not any(tensor.is_inference() for tensor in bits(state))


def test_states_of_many_megabytes_take_no_more_rows_than_the_bound() -> None:
    one, names = nbytes(MODEL.initial_state()), [f"{number}" for number in range(9)]
    slots = Slots(MODEL, 100, ManualClock(), rows_bytes=3 * one + 1)
    assert slots.capacity == 3
    assert Slots(MODEL, 100, ManualClock(), rows_bytes=1).capacity == 1
    for name in names:
        slots.join(name)
    said = utterances(1, 9)
    together = slots.step(names, said)
    assert len(slots.parked) == 6
    with torch.no_grad():
        torch.testing.assert_close(together, MODEL.step(said, MODEL.initial_state(9))[0], atol=1e-5, rtol=1e-5)


def test_a_parked_dialogue_of_the_default_network_holds_25_kilobytes_at_most() -> None:
    model, clock = DialogueGraph(DialogueGraphConfig()).eval(), ManualClock()
    many = join([model.initial_state() for _ in range(50)])
    slots = Slots(model, 2, clock, IDLE_S)
    for name in ("steps", "other"):
        slots.join(name)
    slots.join("from many", rows(many, slice(7, 8)))  # a view of the states of all
    slots.step(["steps", "other"], blank(model.config, 2))
    clock.t_ns += int(2 * IDLE_S * SECOND)
    slots.step([], blank(model.config, 0))
    assert slots.parked == {"steps", "other", "from many"}
    for name in slots.parked:
        held = sum(tensor.untyped_storage().nbytes() for tensor in bits(slots.leave(name)))
        assert held <= 25_000


def test_what_is_left_free_of_a_batch_gets_nothing_of_others() -> None:
    """All inputs lie side by side in one buffer: each field arrives where it belongs, whatever was there before."""
    slots, alone = started(8, *"abcdefgh"), {name: MODEL.initial_state() for name in "abcdefgh"}
    for seed, names in enumerate(("abcdefgh", "ace", "b", "hgfed", "abcdefgh")):
        said = utterances(seed, len(names))
        together = slots.step(names, said)
        for i, name in enumerate(names):
            with torch.no_grad():
                logits, alone[name] = MODEL.step(said.rows(slice(i, i + 1)), alone[name])
            torch.testing.assert_close(together[i : i + 1], logits, atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "model", [Dense, lambda: DialogueGraph(DialogueGraphConfig(7, 6, 8, 0))], ids=["cell", "default"]
)
def test_recorded_kernels_say_what_single_steps_say(model: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network: Any = model().cuda().eval()
    slots, alone = Slots(network, 4, ManualClock()), network.initial_state(3)
    assert all(batch._graph is not None for batch in slots._batches.values())
    for name in "abc":
        slots.join(name)
    for seed in range(30):
        said = utterances(seed, 3)
        together = slots.step("abc", said)
        with torch.no_grad():
            logits, alone = network.step(said.to("cuda"), alone)
        torch.testing.assert_close(together, logits.cpu(), atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
def test_another_thread_on_the_device_does_not_spoil_a_recording() -> None:
    model: Any = DialogueGraph(DialogueGraphConfig(7, 6, 8, 0)).cuda().eval()
    over = threading.Event()

    def busy() -> None:
        while not over.is_set():
            torch.zeros(1000, device="cuda").sum().item()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        slots = Slots(model, 4, ManualClock())
    finally:
        over.set()
        thread.join()
    assert all(batch._graph is not None for batch in slots._batches.values())
