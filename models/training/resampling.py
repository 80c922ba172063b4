"""The bootstrap: what a figure might have been on other dialogues, or other people, of the kind.

What is drawn with replacement are whole dialogues or people, for what is said in one of them is not independent; 2.5 to
97.5 % of the figures that come out are the interval (Efron and Tibshirani 1993). Draws are weights: how often each was
drawn. So a figure that is made of sums over dialogues is resampled by one product of matrices.
"""

import torch
from torch import Generator, Tensor

TAILS = (0.025, 0.975)


def resamples(count: int, draws: int, seed: int = 0) -> Tensor:
    """How often each of `count` is in each draw of as many. Shapes: -> (draws, count) float64"""
    drawn = torch.randint(count, (draws, count), generator=Generator().manual_seed(seed))
    return torch.zeros(draws, count, dtype=torch.float64).scatter_add_(1, drawn, torch.ones(drawn.shape).double())


def sums(times: Tensor, values: Tensor) -> Tensor:
    """The sum over what was drawn, for each draw. Shapes: times (draws, count), values (count, ...) -> (draws, ...)"""
    return (times @ values.double().flatten(1)).view(len(times), *values.shape[1:])


def interval(figures: Tensor) -> tuple[float, float]:
    """What holds 95 % of the figures; NaN, of a draw that says nothing, is none of them. Shapes: figures (draws,)"""
    low, high = torch.nanquantile(figures, torch.tensor(TAILS, dtype=figures.dtype)).tolist()
    return low, high
