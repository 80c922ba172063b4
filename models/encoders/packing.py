"""Weights in little more than a quarter of their size, for files that are shipped: matrices in 8 bits.

    q = round(w / s),   s = max |w| / 127 over `GROUP` neighbours in a row

One scale for a whole row would do worse: in MiniLM a few large weights set it for all others. Against the plain
encoder on 400 comments, the least cosine is 0.9990 with groups of 32, 0.9986 with 64 and 0.9938 with whole rows.
Nothing is computed in 8 bits: weights are unpacked once, when they are loaded. Vectors (biases, norms) are few and go
into half precision. A file says in its header that it is packed.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from erc_live.models.files import whole

FORMAT = {"format": "erc.packed/1"}
SCALE = ".scale"  # behind the name of a matrix: the name of its scales
STEPS = 127.0
GROUP = 32


def pack(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices (rows, columns) as int8 with float16 scales (rows, groups), everything else in half precision.

    A matrix whose columns are no multiple of `GROUP` has one group in a row.
    """
    packed = {}
    for name, values in weights.items():
        if values.ndim != 2:
            packed[name] = values.half().contiguous()
            continue
        rows, columns = values.shape
        grouped = values.float().reshape(rows, -1, GROUP if columns % GROUP == 0 else columns)
        scale = (grouped.abs().amax(-1) / STEPS).half()
        steps = grouped / torch.where(scale > 0.0, scale, 1.0).float()[..., None]
        packed[name] = steps.round().clamp(-STEPS, STEPS).to(torch.int8).reshape(rows, columns)
        packed[name + SCALE] = scale
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float32, a matrix to within half a step of its group."""
    matrices = {name for name in packed if name + SCALE in packed}
    weights = {}
    for name, values in packed.items():
        if name in matrices:
            scale = packed[name + SCALE].float()[..., None]
            weights[name] = (values.float().reshape(*scale.shape[:2], -1) * scale).reshape(values.shape)
        elif name.removesuffix(SCALE) not in matrices:
            weights[name] = values.float()
    return weights


def save_packed(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights, packed, whole or not at all."""
    with whole(path) as part:
        save_file(pack(weights), part, FORMAT)


def is_packed(path: Path) -> bool:
    """Whether a safetensors file holds packed weights. Raises SafetensorError when it is no such file."""
    with safe_open(path, "pt") as file:
        return bool(file.metadata() == FORMAT)


def load_packed(path: Path) -> dict[str, Tensor]:
    """Read what `save_packed` wrote."""
    return unpack(load_file(path))
