"""Corpora on disk -> dialogues of labelled utterances: the official releases as people have them, and a neutral format
for any other corpus. Which one a folder holds shows in what lies in it.
"""

from pathlib import Path
from typing import Protocol

from erc_live.models.corpora import dailydialog, goemotions, iemocap, meld, neutral, ravdess
from erc_live.models.corpora.dialogue import Split
from erc_live.models.corpora.splits import canonical
from erc_live.models.errors import CorpusError

__all__ = ["is_neutral", "read", "splits"]


class Format(Protocol):
    """A module that reads one kind of corpus."""

    def splits(self, folder: Path) -> tuple[str, ...]:
        """Which splits lie in the folder; none when it is not of this kind."""

    def read(self, folder: Path, split: str) -> Split:
        """Read one split that `splits` names."""


# The first that knows the folder reads it. DailyDialog comes before the neutral format: both are files of JSON lines.
FORMATS: tuple[Format, ...] = (iemocap, meld, goemotions, dailydialog, neutral, ravdess)


def read(path: Path, split: str) -> Split:
    """Read a split ("train", "dev" or "test"; "valid", "validation" and "val" mean dev) of the corpus at `path`.

    `path` is the folder of a corpus, or one file in the neutral format, which then is the split whatever its name.
    `:4way` behind the folder of IEMOCAP asks for its four labels.

    Raises:
        CorpusError: there is no corpus of a known format, no such split, or something in it is not as its format says.
    """
    name = canonical(split)
    if path.is_file():
        return neutral.read_alone(path, name)
    reader, there = _format(path)
    if name not in there:
        raise CorpusError(f"{path}: no {name} split in it, only {' and '.join(there)}")
    part = reader.read(path, name)
    if not part.dialogues:
        raise CorpusError(f"{path}: no dialogues in its {name} split")
    return part


def splits(path: Path) -> tuple[str, ...]:
    """The splits that `read` finds at `path`; none for a file on its own, which is any.

    Raises:
        CorpusError: there is no corpus of a known format.
    """
    return () if path.is_file() else _format(path)[1]


def is_neutral(path: Path) -> bool:
    """Whether `path` is a file on its own, or a folder in the neutral format.

    Raises:
        CorpusError: there is no corpus of a known format.
    """
    return path.is_file() or _format(path)[0] is neutral


def _format(folder: Path) -> tuple[Format, tuple[str, ...]]:
    for reader in FORMATS:
        if there := reader.splits(folder):
            return reader, there
    if any((folder / name).is_file() for name in ("train.npz", "valid.npz", "test.npz", "fer2013.csv")):
        raise CorpusError(f"{folder}: pictures without a conversation: they are for `erc-live encoder train face`")
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder, nor a file of dialogues")
    raise CorpusError(
        f"{folder}: no corpus in it that is known: MELD's csv, IEMOCAP's sessions, DailyDialog, GoEmotions' tsv, "
        f"RAVDESS, or train.jsonl, dev.jsonl, test.jsonl in the neutral format (erc-live corpus schema); "
        f"one file of dialogues is read by its own name"
    )
