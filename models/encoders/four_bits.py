"""Matrices in 4 bits: w = q s + m, with a step s and a least value m for each `GROUP` neighbours in a row.

    fitted       s and m for the least squared error of a group
    compensated  where it is known what a matrix is multiplied with: what rounding loses in a column is made good in the
                 columns that are still to be rounded

For an mpnet tuned on two thirds of MELD, against its plain weights on 317 held-out lines, the divergence of what its
head answers (Kullback-Leibler, nats) is 0.0061 with even steps from the least to the greatest of a group, 0.0048 with
fitted ones and 0.0017 compensated; 96, 96 and 98.7 % of the lines keep their label. In three folds of MELD, 11,098
lines, its weighted F1 is 0.633 in plain weights and 0.631 compensated; in the first two of them, 7,399 lines, 0.634,
0.632 compensated and 0.626 fitted.
Source: Frantar et al. 2023, "GPTQ: Accurate post-training quantization for generative pre-trained transformers".
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

FINE_STEPS = 15.0
GROUP = 32
RANGES = (1.0, 0.9, 0.8)  # of what a group spans, to begin with ...
TURNS = 5  # ... and so often mended
AT_ONCE = 4096  # rows that are fitted at once: what that needs besides stays below 1 GB
DAMPING = 0.01  # of the mean second moment, added to each: inputs that were never seen apart


class FourBits(NamedTuple):
    """A matrix (rows, columns), of which every `GROUP` columns are a group.

    Shapes: steps (rows, columns) uint8 from 0 to 15; scale and least (rows, groups) float16
    """

    steps: Tensor
    scale: Tensor
    least: Tensor


def fitted(matrix: Tensor) -> FourBits:
    """Each group by itself. Shapes: (rows, columns), columns a multiple of `GROUP`"""
    parts = []
    for rows in torch.split(matrix, AT_ONCE):
        grouped = rows.reshape(len(rows), -1, GROUP)
        least, scale = _line(grouped)
        parts.append((_steps(grouped, least, scale).to(torch.uint8).flatten(1), scale.half(), least.half()))
    return FourBits(*(torch.cat(part) for part in zip(*parts, strict=True)))


def compensated(matrix: Tensor, moments: Tensor) -> FourBits:
    """Column after column, so that the products with inputs of such second moments change least.

    With H the moments, damped, and U the upper Cholesky factor of their inverse, rounding column j to q_j leaves

        e_j = (w_j - q_j) / U_jj,   and   w_k -= e_j U_jk   for all k > j.

    Shapes: matrix (rows, columns), columns a multiple of `GROUP`; moments (columns, columns)
    """
    damped = moments + DAMPING * moments.diagonal().mean() * torch.eye(len(moments))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    left = matrix.clone()
    steps, scales, leasts = torch.empty(matrix.shape, dtype=torch.uint8), [], []
    for first in range(0, matrix.shape[1], GROUP):
        group = slice(first, first + GROUP)
        least, scale = _line(left[:, None, group])
        errors = torch.empty(len(matrix), GROUP)
        for column in range(first, first + GROUP):
            q = _steps(left[:, column, None, None], least, scale)[:, 0]
            errors[:, column - first] = (left[:, column] - (q * scale + least)[:, 0]) / factor[column, column]
            rest = slice(column + 1, first + GROUP)
            left[:, rest] -= errors[:, column - first, None] * factor[None, column, rest]
            steps[:, column] = q[:, 0].to(torch.uint8)
        left[:, group.stop :] -= errors @ factor[group, group.stop :]
        scales.append(scale.half())
        leasts.append(least.half())
    return FourBits(steps, torch.cat(scales, 1), torch.cat(leasts, 1))


@contextmanager
def input_moments(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Of each weight of a linear layer, by its name: the sum of x x^T over all x that come in while this is open.

    Shapes: (columns, columns) float32 each
    """
    moments: dict[str, Tensor] = {}

    def watched(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def add(_: nn.Module, given: tuple[Any, ...]) -> None:
            rows = given[0].detach().flatten(0, -2).float().cpu()
            moments[name] = moments.get(name, torch.zeros(())) + rows.mT @ rows

        return add

    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    handles = [layer.register_forward_pre_hook(watched(f"{name}.weight")) for name, layer in layers]
    try:
        yield moments
    finally:
        for handle in handles:
            handle.remove()


def _line(grouped: Tensor) -> tuple[Tensor, Tensor]:
    """What stands for 0 in each group, and a step: of those that are tried, those with the least squared error.

    The steps from min to max leave most of a group in the few steps of its middle, so narrower ranges are tried, too.
    Each is mended by turns: the weights are rounded to their nearest steps q, and then the line s q + m is laid through
    them, which is least squares in closed form,

        s = cov(q, w) / var(q),   m = mean w - s mean q,

    until, after a few turns, little moves. Both are rounded to half precision before they are judged.
    Shapes: (rows, groups, GROUP) -> twice (rows, groups), float32
    """
    middle, width = (grouped.amax(-1) + grouped.amin(-1)) / 2, grouped.amax(-1) - grouped.amin(-1)
    mean = grouped.mean(-1, keepdim=True)
    least, scale = middle, torch.zeros_like(middle)
    error = torch.full_like(middle, torch.inf)
    for share in RANGES:
        s = width * share / FINE_STEPS
        m = middle - s * FINE_STEPS / 2
        for _ in range(TURNS):
            s, m = s.half().float(), m.half().float()
            q = _steps(grouped, m, s)
            found = (grouped - q * s[..., None] - m[..., None]).square().sum(-1)
            better = found < error
            least, scale, error = (torch.where(better, *pair) for pair in ((m, least), (s, scale), (found, error)))
            apart = q - q.mean(-1, keepdim=True)
            spread = apart.square().sum(-1)
            s = torch.where(spread > 0.0, (apart * (grouped - mean)).sum(-1) / spread.clamp(min=1.0 / GROUP), s)
            m = mean[..., 0] - s * q.mean(-1)
    return least, scale


def _steps(grouped: Tensor, least: Tensor, scale: Tensor) -> Tensor:
    """Shapes: (rows, groups, n), twice (rows, groups) -> (rows, groups, n), whole numbers from 0 to 15"""
    steps = (grouped - least[..., None]) / torch.where(scale > 0.0, scale, 1.0)[..., None]
    return steps.round().clamp(0.0, FINE_STEPS)
