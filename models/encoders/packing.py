"""Weights in a quarter of their size or less, for files that are shipped: matrices in 8 or in 4 bits.

    8 bits:  w = q s,       s = max |w| / 127 over `GROUP` neighbours in a row
    4 bits:  w = q s + m,   s and m as `four_bits.py` finds them; two to a byte, the first in the lower half

One scale for a whole row would do worse: in MiniLM a few large weights set it for all others. Against the plain
encoder on 400 comments, the least cosine is 0.9990 with groups of 32, 0.9986 with 64 and 0.9938 with whole rows, in 8
bits. An mpnet tuned on two thirds of MELD gives 99 % of 639 held-out lines the same label as before in 8 bits; what 4
bits cost stands in `four_bits.py`.
Nothing is computed in so few bits: weights are unpacked once, when they are loaded. Vectors (biases, norms) are few and
go into half precision. A file says in its header that it is packed, and a matrix by what stands beside it how.
Why: text encoders are tuned whole and shipped so, the small one in 24 MB. An adapter would need a file that has to be
fetched.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from erc_live.models.encoders.four_bits import GROUP, compensated, fitted
from erc_live.models.files import whole

FORMAT = {"format": "erc.packed/1"}
SCALE = ".scale"  # behind the name of a matrix: the name of its scales
LEAST = ".least"  # and of what stands for 0, if it is in 4 bits
STEPS = 127.0


def pack(
    weights: Mapping[str, Tensor], bits: int = 8, moments: Mapping[str, Tensor] = MappingProxyType({})
) -> dict[str, Tensor]:
    """Matrices (rows, columns) as int8, or uint8 of half as many columns, with float16 scales (rows, groups);
    everything else in half precision.

    A matrix whose columns are no multiple of `GROUP` has one group in a row, and 8 bits. `moments`: second moments of
    what a matrix is multiplied with (`four_bits.input_moments`), for 4 bits.
    """
    packed = {}
    for name, values in weights.items():
        if values.ndim != 2:
            packed[name] = values.half().contiguous()
            continue
        rows, columns = values.shape
        if bits == 4 and columns % GROUP == 0:
            packed |= _in_four_bits(name, values.float().cpu(), moments.get(name))
            continue
        grouped = values.float().reshape(rows, -1, GROUP if columns % GROUP == 0 else columns)
        scale = (grouped.abs().amax(-1) / STEPS).half()
        steps = grouped / torch.where(scale > 0.0, scale, 1.0).float()[..., None]
        packed[name] = steps.round().clamp(-STEPS, STEPS).to(torch.int8).reshape(rows, columns)
        packed[name + SCALE] = scale
    return packed


def _in_four_bits(name: str, matrix: Tensor, moments: Tensor | None) -> dict[str, Tensor]:
    found = fitted(matrix) if moments is None or not moments.any() else compensated(matrix, moments)
    low, high = found.steps.reshape(len(matrix), -1, 2).unbind(-1)
    return {name: low | (high << 4), name + SCALE: found.scale, name + LEAST: found.least}


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float32, a matrix to within half a step of its group: all of them in 8 bits, most in 4."""
    beside = {name + end for name in packed for end in (SCALE, LEAST) if name + SCALE in packed}
    return {name: _unpacked(name, packed) for name in packed if name not in beside}


def _unpacked(name: str, packed: Mapping[str, Tensor]) -> Tensor:
    values = packed[name]
    if name + SCALE not in packed:
        return values.float()
    scale = packed[name + SCALE].float()[..., None]
    if name + LEAST not in packed:
        return (values.float().reshape(*scale.shape[:2], -1) * scale).reshape(values.shape)
    steps = torch.stack((values & 15, values >> 4), dim=-1).float().reshape(*scale.shape[:2], -1)
    return (steps * scale + packed[name + LEAST].float()[..., None]).flatten(1)


def save_packed(
    weights: Mapping[str, Tensor], path: Path, bits: int = 8, moments: Mapping[str, Tensor] = MappingProxyType({})
) -> None:
    """Write weights, packed as by `pack`, whole or not at all."""
    with whole(path) as part:
        save_file(pack(weights, bits, moments), part, FORMAT)


def is_packed(path: Path) -> bool:
    """Whether a safetensors file holds packed weights. Raises SafetensorError when it is no such file."""
    with safe_open(path, "pt") as file:
        return bool(file.metadata() == FORMAT)


def load_packed(path: Path) -> dict[str, Tensor]:
    """Read what `save_packed` wrote."""
    return unpack(load_file(path))
