"""The code that torch-geometric writes for each kind of operator: to the temporary folder, where it leaves it.

It is loaded by then, so the file can go. Else every start of a session would leave one, and a session that is to leave
nothing would not.
"""

import sys
import tempfile
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path


def delete_generated_code() -> None:
    """Delete what torch-geometric has written for this process so far."""
    temporary = Path(tempfile.gettempdir())
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None)
        if name.startswith("torch_geometric.") and file and Path(file).parent == temporary:
            Path(file).unlink(missing_ok=True)
            Path(cache_from_source(file)).unlink(missing_ok=True)
            with suppress(OSError):  # it is not there, or others' files are in it
                Path(cache_from_source(file)).parent.rmdir()
