"""What is derived from weights is computed once, and never again of weights that have changed since."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_world import answering
from torch import Tensor, nn

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.blocks.derived import Derived
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig


def counting() -> tuple[nn.Module, Callable[[], Tensor], list[int]]:
    module, calls = nn.Linear(2, 1), []

    def total() -> Tensor:
        calls.append(1)
        return module.weight.sum()

    return module, total, calls


def test_it_is_computed_once_and_after_a_change_anew() -> None:
    module, total, calls = counting()
    derived: Derived[Tensor] = Derived()
    with torch.inference_mode():
        assert derived.of(module, total) is derived.of(module, total)
        assert len(calls) == 1
    with torch.no_grad():
        module.weight.fill_(3.0)
        assert float(derived.of(module, total)) == 6.0
    assert len(calls) == 2
    derived.forget()
    with torch.no_grad():
        derived.of(module, total)
    assert len(calls) == 3


def test_gradients_flow_through_it_and_nothing_of_them_is_stored() -> None:
    module, total, calls = counting()
    derived: Derived[Tensor] = Derived()
    derived.of(module, total).backward()
    assert torch.equal(module.weight.grad, torch.ones(1, 2))
    derived.of(module, total)
    assert len(calls) == 2


def test_weights_without_versions_are_trusted_for_one_call_only() -> None:
    with torch.inference_mode():
        module, total, calls = counting()
        derived: Derived[Tensor] = Derived()
        derived.of(module, total)
        module.weight.fill_(3.0)
        assert float(derived.of(module, total)) == 6.0
        assert len(calls) == 2


def graph() -> DialogueGraph:
    torch.manual_seed(0)
    return answering(DialogueGraphConfig(7, 6, 8, 5, width=8, layers=2, heads=2, window=3)).eval()


def answer(model: Any) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    dtype = next(model.parameters()).dtype
    vectors = [torch.randn(2, dim, generator=draw).to(dtype) for dim in (6, 8, 5)]
    said = UtteranceBatch(*vectors, torch.zeros(2, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool))
    with torch.inference_mode():
        state = model.initial_state(2)
        for _ in range(2):
            logits, state = model.step(said, state)
    return logits.float()


def halve(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)


def learn(model: nn.Module) -> None:
    model.train()
    for parameter in model.parameters():
        parameter.data.mul_(0.5)  # raises no version
    model.eval()


def halved(model: nn.Module) -> dict[str, Tensor]:
    other = copy.deepcopy(model)
    halve(other)
    return other.state_dict()


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "written in place": halve,
    "trained": learn,
    "loaded": lambda model: model.load_state_dict(halved(model)),
    "replaced": lambda model: model.load_state_dict(halved(model), assign=True),
    "converted there and back": lambda model: halve(model.double()) or model.float(),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_step_takes_the_weights_of_now(change: str) -> None:
    model, fresh = graph(), graph()
    before = answer(model)
    CHANGES[change](model)
    halve(fresh)
    assert not torch.allclose(answer(model), before, atol=1e-4)
    torch.testing.assert_close(answer(model), answer(fresh))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_derives_for_itself(duplicate: Callable[[nn.Module], nn.Module]) -> None:
    model = graph()
    before = answer(model)
    other = duplicate(model)
    halve(other)
    assert torch.equal(answer(model), before)
    assert not torch.allclose(answer(other), before, atol=1e-4)


def test_a_step_in_another_precision_is_the_same() -> None:
    model = graph()
    torch.testing.assert_close(answer(model), answer(copy.deepcopy(model).double()), atol=1e-5, rtol=1e-5)


def test_gradients_of_steps_are_those_of_the_whole() -> None:
    model = graph()
    vectors = [torch.randn(4, dim) for dim in (6, 8, 5)]
    talk = UtteranceBatch(*vectors, torch.tensor([0, 1, 0, 0]), torch.rand(4, 3) < 0.7)
    state, logits = model.initial_state(), []
    for t in range(4):
        row, state = model.step(talk.rows(slice(t, t + 1)), state)
        logits.append(row)
    whole = model(DialogueBatch.pad([talk]))[0]
    parameters = list(model.parameters())
    by_steps = torch.autograd.grad(torch.cat(logits).square().sum(), parameters)
    at_once = torch.autograd.grad(whole.square().sum(), parameters)
    for mine, theirs in zip(by_steps, at_once, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
