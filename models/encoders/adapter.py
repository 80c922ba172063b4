"""Low-rank adapters: a pretrained encoder is tuned by a small file that is added to its weights when it is loaded.

    W' = W + B A,    A (rank, in), B (out, rank)          Hu et al. 2021, "LoRA", with the scale folded into B

While training the two factors are a side branch; afterwards they are merged, so a tuned encoder costs what the plain
one costs.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class AdaptedLinear(nn.Module):
    """A frozen linear layer with a trainable low-rank side branch, at first zero. Shapes: (..., in) -> (..., out)"""

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.a = nn.Parameter(torch.randn(rank, frozen.in_features) / frozen.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(frozen.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        correction = functional.linear(functional.linear(x, self.a), self.b)
        plain: Tensor = self.frozen(x)
        return plain + correction


def attach(network: nn.Module, rank: int, start: Mapping[str, Tensor]) -> None:
    """Freeze `network` and give every linear layer of its `encoder` a branch, in place.

    The branches go on from the factors in `start` (as `factors` gives them), whose rank counts then; an empty mapping
    starts from nothing.
    """
    network.requires_grad_(False)
    for name, plain in _linear_layers(network).items():
        layer = AdaptedLinear(plain, rank)
        if start:
            layer.a, layer.b = (nn.Parameter(start[f"{name}.{factor}"].float()) for factor in "ab")
        network.set_submodule(name, layer)


def factors(network: nn.Module) -> dict[str, Tensor]:
    """The factors of an adapted network, in half precision (they are small corrections): what an adapter file holds."""
    return {name: value.detach().half() for name, value in network.named_parameters() if name.endswith((".a", ".b"))}


def merge(network: nn.Module, adapter: Mapping[str, Tensor]) -> None:
    """Add B A to the weights of a plain network, in place.

    Raises:
        KeyError: the adapter was made for another network.
        RuntimeError: the same, found by a shape.
    """
    for name, layer in _linear_layers(network).items():
        layer.weight.data += adapter[f"{name}.b"].float() @ adapter[f"{name}.a"].float()


def _linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    """The layers of the transformer; embeddings and the pooler, which we do not use, stay as they are."""
    modules = network.named_modules()
    return {name: m for name, m in modules if name.startswith("encoder.") and isinstance(m, nn.Linear)}
