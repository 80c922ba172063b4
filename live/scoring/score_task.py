"""What goes into a scoring process, and what comes out of it: data, which travels between processes.

The rule of this file: it loads nothing, for whoever starts the processes scores nothing itself.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScoreTask:
    """One recording, which is one conversation. `name` is its path below the folder, with "/" on every system."""

    name: str
    path: Path

    @property
    def digest(self) -> str:
        """Changes when the recording does: of sizes and times of change (ns) of its files. Raises OSError."""
        files = sorted(_files(self.path)) if self.path.is_dir() else [self.path]
        stats = [(file.relative_to(self.path).as_posix(), file.stat()) for file in files]
        parts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class ScoredRecording:
    """`lines`: the public stream, a JSON object on each. `notes`: what people should know. `damage`: why the recording
    broke off, "" if it did not; what came before is in the lines.
    """

    lines: bytes
    utterances: int
    media_s: float
    notes: tuple[str, ...]
    damage: str


def _files(folder: Path) -> Iterator[Path]:
    for here, _, files in os.walk(folder):
        yield from (Path(here) / name for name in files)
