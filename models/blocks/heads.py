"""What every network ends in, and what happens to its logits after training.

Temperature and offsets are folded into the weights of the last layer, so a calibrated network is an ordinary one: its
files, its step and its card know of neither. The rule of this file: all logits of emotions come out of an
`EmotionHead`, so each of the two functions has one definition for all networks, auxiliary heads included.
"""

from typing import cast

import torch
from torch import Tensor, nn


class EmotionHead(nn.Sequential):
    """Layers of which the last is linear and gives logits of the classes. Shapes: (..., inputs) -> (..., classes)"""


@torch.no_grad()
def apply_temperature(model: nn.Module, temperature: float) -> None:
    """Divide all logits of emotions by `temperature` from now on."""
    for last in _last_layers(model):
        for parameter in last.parameters():
            parameter.div_(temperature)


@torch.no_grad()
def shift_logits(model: nn.Module, offsets: Tensor) -> None:
    """Add `offsets` (classes,) to the logits of each emotion head from now on."""
    for last in _last_layers(model):
        last.bias.add_(offsets)


def _last_layers(model: nn.Module) -> list[nn.Linear]:
    heads = [module for module in model.modules() if isinstance(module, EmotionHead)]
    assert heads, f"{type(model).__name__} has no EmotionHead: nothing would change"
    return [cast(nn.Linear, head[-1]) for head in heads]
