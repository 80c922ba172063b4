"""The variables of a model that was converted for CTranslate2, read without CTranslate2.

The file, all of it little-endian: version (uint32), name of the kind of model, its revision (uint32), number of
variables (uint32); then each variable: its name, its rank (uint8), its sizes (uint32 each), its type (uint8), its bytes
(uint32) and these. A name is its length (uint16, with a closing zero byte) and its letters. This is version 6, which
converters have written since 2021; only plain half and single precision are read.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

VERSION = 6
TYPES: dict[int, str] = {0: "<f4", 4: "<f2"}  # as numpy writes them: single and half precision


def read_variables(path: Path, beginning: str) -> dict[str, Tensor]:
    """The variables whose names begin so and that are in half or single precision.

    Raises:
        ValueError: this is no such file, or it ends too soon.
    """
    content = _Content(path.read_bytes())
    if (version := content.number(4)) != VERSION:
        raise ValueError(f"{path} is no model of CTranslate2 of version {VERSION}, but begins with {version}")
    content.name()
    content.number(4)
    found = {}
    for _ in range(content.number(4)):
        name = content.name()
        shape = [content.number(4) for _ in range(content.number(1))]
        kind = content.number(1)
        values = content.take(content.number(4))
        if name.startswith(beginning) and kind in TYPES:
            found[name] = torch.from_numpy(np.frombuffer(values, TYPES[kind]).reshape(shape).copy())
    return found


class _Content:
    """The bytes of a file, taken one after the other. Raises ValueError where there are too few."""

    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    def take(self, count: int) -> bytes:
        taken = self._content[self._place : self._place + count]
        if len(taken) < count:
            raise ValueError("a model of CTranslate2 ends too soon")
        self._place += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def name(self) -> str:
        return self.take(self.number(2))[:-1].decode()
