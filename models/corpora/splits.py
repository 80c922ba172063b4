"""Which files and dialogues belong to which split: names of splits, and a fixed choice where a corpus has none."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from erc_live.models.corpora.dialogue import SPLITS
from erc_live.models.errors import CorpusError

# What releases call them; the first name is ours.
ALIASES = {"train": ("train",), "dev": ("dev", "valid", "validation", "val"), "test": ("test",)}


def canonical(split: str) -> str:
    """Our name of a split.

    Raises:
        CorpusError: nobody calls a split so.
    """
    for name, aliases in ALIASES.items():
        if split in aliases:
            return name
    raise CorpusError(f"{split!r} is no split: give one of {', '.join(SPLITS)}")


def find(folder: Path, split: str, pattern: str) -> Path | None:
    """The file or folder of a split: the names that `pattern` (such as "{}.csv") gives with each name of the split.

    Raises:
        CorpusError: two of them are there, and only one can be meant.
    """
    existing = [folder / pattern.format(alias) for alias in ALIASES[split]]
    existing = [path for path in existing if path.exists()]
    if len(existing) > 1:
        raise CorpusError(f"{folder}: {existing[0].name} and {existing[1].name} both name the {split} split; keep one")
    return existing[0] if existing else None


def held_out(names: Iterable[str], share: float) -> frozenset[str]:
    """Choose a share of `names`, at least one, for ever the same: those whose SHA-256 come first.

    The choice depends on nothing but the names: not on their order, on a seed, or on the machine.
    """
    ranked = sorted(set(names), key=lambda name: (hashlib.sha256(name.encode()).digest(), name))
    return frozenset(ranked[: max(1, round(share * len(ranked)))])
