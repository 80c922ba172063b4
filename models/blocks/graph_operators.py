"""Operators of PyTorch Geometric, built without a trace on the disk.

For each kind of operator that a process builds, the library writes the code of its message passing into the temporary
folder, loads it and leaves it there: a file for every session, for ever. Loaded code does not need its file.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def built(operator: Callable[..., T], *args: object, **options: object) -> T:
    """`operator(*args, **options)`; the files that this left in the temporary folder are removed."""
    before = {*sys.modules}
    made = operator(*args, **options)
    home = Path(tempfile.gettempdir())
    for name in sys.modules.keys() - before:
        module = sys.modules[name]
        for file in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
            if file and name.startswith("torch_geometric.") and home in Path(file).parents:
                Path(file).unlink(missing_ok=True)
    return made
