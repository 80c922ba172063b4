"""Files that are there whole or not at all, whatever happens while they are written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from erc_live.models.errors import WeightsError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A block that only writes `path`: what goes wrong in it becomes one line.

    Raises:
        WeightsError: the disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # the latter two are what writers of tensors raise
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        raise WeightsError(f"{path} cannot be written ({reason}): make room or give another folder") from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to; synced, it becomes `path` at the end of the block, and is removed if that does not end well.

    Raises:
        WeightsError: as `writing`.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
