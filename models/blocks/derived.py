"""What follows from the weights of a network alone, computed once and not at every step.

The rule of this file: nobody gets what other weights gave. While gradients are recorded nothing is stored, so they flow
through what is derived into the weights. What is written into a weight raises its version, which is compared at each
call; what takes the place of weights (conversion, another device, other parameters) does not, so the network calls
`forget` then. A copy of the network derives for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class _Computed(Generic[T]):
    value: T
    weights: tuple[Tensor, ...]
    versions: int  # their sum: each of them only grows


class Derived(Generic[T]):
    """`of(module, derive)` is `derive()`, computed anew only when the parameters or buffers of `module` changed."""

    def __init__(self) -> None:
        self._stored: _Computed[T] | None = None

    def forget(self) -> None:
        """Compute at the next call, whatever has changed."""
        self._stored = None

    def of(self, module: nn.Module, derive: Callable[[], T]) -> T:
        """What `derive` gives; always of the same module."""
        if torch.is_grad_enabled():
            return derive()
        stored = self._stored
        if stored is not None and stored.versions == _versions(stored.weights):
            return stored.value
        with torch.inference_mode():  # such tensors pass through fewer layers of torch; only gradients refuse them
            value = derive()
        weights = (*module.parameters(), *module.buffers())
        # Weights of inference mode have no version; and what a tracer computes is its own, no number.
        if not any(weight.is_inference() for weight in weights) and type(torch.empty(0)) is Tensor:
            self._stored = _Computed(value, weights, _versions(weights))
        return value

    def __reduce__(self) -> tuple[type["Derived[T]"], tuple[()]]:
        """Nothing is copied or pickled but that it is one."""
        return type(self), ()


def _versions(weights: tuple[Tensor, ...]) -> int:
    return sum(map(attrgetter("_version"), weights))
