"""The checks of the contract find the future where it leaks, and find nothing in the same network without the leak."""

from collections.abc import Callable
from typing import Any

import checks
import pytest
import torch
from checks import dialogue
from mutants import MUTANTS, Mixed, sound, source_degree, unmasked_attention
from nets import stirred

from erc_live.models.state import Replay

TALK = dialogue(0, 20, missing=0.0)


class Stepping(Replay):
    """The honest step of a network: forward over all that has been said, its last row."""

    def __init__(self, model: Mixed) -> None:
        super().__init__(model, window=64)
        self.receptive_field = model.receptive_field

    def forward(self, batch: Any) -> torch.Tensor:
        return self.model(batch)


CHECKS: dict[str, Callable[[Any], None]] = {
    "step equals forward": lambda model: checks.step_equals_forward(model, TALK),
    "the past is final": lambda model: checks.past_is_final(model, TALK, k=12, seed=1),
    "receptive field": lambda model: checks.receptive_field_is_as_declared(model, 20, at=12),
}


def build(mix: Callable[..., torch.Tensor]) -> Stepping:
    torch.manual_seed(0)
    return stirred(Stepping(Mixed(mix)))


# How many edges leave a source has no derivative, so differentiation alone does not see the first mutant.
CAUGHT = [(mix, check) for mix in MUTANTS for check in CHECKS if (mix, check) != (source_degree, "receptive field")]


@pytest.mark.parametrize(("mix", "check"), CAUGHT, ids=lambda value: getattr(value, "__name__", value))
def test_a_leak_is_caught(mix: Callable[..., torch.Tensor], check: str) -> None:
    with pytest.raises(AssertionError):
        CHECKS[check](build(mix))


@pytest.mark.parametrize("check", CHECKS)
def test_the_same_network_without_a_leak_passes(check: str) -> None:
    CHECKS[check](build(sound))


def test_attention_to_padding_is_caught_by_the_padding_check() -> None:
    checks.neighbours_do_not_matter(build(sound), TALK, mate=9, fill=torch.nan)
    with pytest.raises(AssertionError):
        checks.neighbours_do_not_matter(build(unmasked_attention), TALK, mate=9, fill=torch.nan)
