"""What every network ends in, what it answers, and what happens to its logits after training.

An answer is a row: the logits of the classes, and behind them the dimensions that the network has learnt, which most
have not. Whoever takes answers parts them by `parted`.

Temperature and offsets are folded into the weights of the last layer, so a calibrated network is an ordinary one: its
files, its step and its card know of neither. The rule of this file: all logits of emotions come out of an
`EmotionHead`, so each of the two functions has one definition for all networks, auxiliary heads included.
"""

from math import nan
from typing import Any, cast

import torch
from torch import Tensor, nn

from erc_live.models.dimensions import DIMENSIONS, learnt_dimensions


class EmotionHead(nn.Sequential):
    """Layers of which the last is linear and gives logits of the classes. Shapes: (..., inputs) -> (..., classes)"""


class DimensionHead(nn.Linear):
    """Valence, arousal or both of the vector that logits come from. It learns from the vector and changes nothing of
    it: no gradient goes back, and no random number is drawn, so what is learnt of the labels is the same with it and
    without it, to the last bit.

    Shapes: (..., inputs) -> (..., outputs), each in (-1, 1)
    """

    def reset_parameters(self) -> None:
        """In the middle of the scales."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, vector: Tensor) -> Tensor:
        return super().forward(vector.detach()).tanh()


def answer_width(config: Any) -> int:
    """How many numbers a network of this configuration answers."""
    return int(config.classes) + len(learnt_dimensions(config))


def parted(answers: Tensor, config: Any) -> tuple[Tensor, Tensor]:
    """Logits and dimensions. Shapes: (..., `answer_width`) -> (..., classes), (..., 2) in the order of `DIMENSIONS`,
    NaN where the network has not learnt one
    """
    columns = dict(zip(learnt_dimensions(config), answers[..., config.classes :].unbind(-1), strict=True))
    unknown = answers.new_full(answers.shape[:-1], nan)
    return answers[..., : config.classes], torch.stack([columns.get(name, unknown) for name in DIMENSIONS], dim=-1)


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
