"""Corpora on disk -> dialogues of labelled utterances: the official releases as people have them, and a neutral format
for any other corpus. Which one a folder holds shows in what lies in it. The features of published systems may also be
named, `KIND:PATH`, so that a missing file is named in return.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

from erc_live.models.corpora import (
    dailydialog,
    goemotions,
    hgf_milag_pickles,
    iemocap,
    meld,
    multiemo_pickles,
    neutral,
    ravdess,
    safsd_glnet_pickles,
    vuemo_pickles,
)
from erc_live.models.corpora.dialogue import Split
from erc_live.models.corpora.feature_tables import SUFFIXES
from erc_live.models.corpora.splits import canonical
from erc_live.models.errors import CorpusError

__all__ = ["KINDS", "is_alone", "is_neutral", "read", "splits"]


class Format(Protocol):
    """A module that reads one kind of corpus."""

    def splits(self, folder: Path) -> tuple[str, ...]:
        """Which splits lie in the folder; none when it is not of this kind."""

    def read(self, folder: Path, split: str) -> Split:
        """Read one split that `splits` names."""


# The first that knows the folder reads it. DailyDialog comes before the neutral format: both are files of JSON lines.
FORMATS: tuple[Format, ...] = (iemocap, meld, goemotions, dailydialog, neutral, ravdess)


class PickledFeatures(Format, Protocol):
    """A module that reads the features of a published system: by `KIND` and what must lie there, in words."""

    KIND: str
    LAYOUT: str


PICKLED: tuple[PickledFeatures, ...] = (multiemo_pickles, vuemo_pickles, hgf_milag_pickles, safsd_glnet_pickles)
KINDS = {reader.KIND: reader for reader in PICKLED}
PREFIX = re.compile(r"([a-z][a-z0-9-]+):(?!4way$)(.+)", re.DOTALL)  # a drive of Windows has one letter


def read(path: Path, split: str) -> Split:
    """Read a split ("train", "dev" or "test"; "valid", "validation" and "val" mean dev) of the corpus at `path`.

    `path` is the folder of a corpus, or one file in the neutral format, which then is the split whatever its name.
    `:4way` behind the folder of IEMOCAP asks for its four labels, a kind of `KINDS` before a path says what lies there.

    Raises:
        CorpusError: there is no corpus of a known format, no such split, or something in it is not as its format says.
    """
    name = canonical(split)
    if is_alone(path):
        return neutral.read_alone(path, name).checked()
    reader, place, there = _format(path)
    if name not in there:
        raise CorpusError(f"{path}: no {name} split in it, only {' and '.join(there)}")
    part = reader.read(place, name)
    if not part.dialogues:
        raise CorpusError(f"{path}: no dialogues in its {name} split")
    return part.checked()


def splits(path: Path) -> tuple[str, ...]:
    """The splits that `read` finds at `path`; none for a file on its own, which is any.

    Raises:
        CorpusError: there is no corpus of a known format.
    """
    return () if is_alone(path) else _format(path)[2]


def is_neutral(path: Path) -> bool:
    """Whether `path` is a file on its own, or a folder in the neutral format.

    Raises:
        CorpusError: there is no corpus of a known format.
    """
    return is_alone(path) or _format(path)[0] is neutral


def is_alone(path: Path) -> bool:
    """Whether `path` is one file in the neutral format, which is no pickle."""
    return path.is_file() and path.suffix not in SUFFIXES


def _format(path: Path) -> tuple[Format, Path, tuple[str, ...]]:
    """Who reads what lies there, where it lies, and which splits there are."""
    named = None if path.exists() else PREFIX.fullmatch(str(path))
    if named:
        return _of_kind(named[1], Path(named[2]))
    for reader in PICKLED if path.is_file() else (*FORMATS, *PICKLED):
        if there := reader.splits(path):
            return reader, path, there
    raise CorpusError(_unknown(path))


def _of_kind(kind: str, place: Path) -> tuple[Format, Path, tuple[str, ...]]:
    if kind not in KINDS:
        close = get_close_matches(kind, KINDS, 1)
        meant = f"did you mean {close[0]}?" if close else "there are " + ", ".join(KINDS)
        raise CorpusError(f"{kind}:{place}: no kind of corpus is called {kind}: {meant}")
    reader = KINDS[kind]
    there = reader.splits(place)
    if not there:
        missing = "it lacks" if place.exists() else "no such file or folder; in it must be"
        raise CorpusError(f"{place}: {missing} {reader.LAYOUT}, which {kind} reads")
    return reader, place, there


def _unknown(path: Path) -> str:
    """What is wrong with a path where no corpus is, in words."""
    if path.is_file():
        return f"{path}: a pickle of an unknown name: give its folder, as KIND:DIR; kinds are {', '.join(KINDS)}"
    if any((path / name).is_file() for name in ("train.npz", "valid.npz", "test.npz", "fer2013.csv")):
        return f"{path}: pictures without a conversation: they are for `erc-live encoder train face`"
    if not path.is_dir():
        return f"{path}: no such folder, nor a file of dialogues"
    return (
        f"{path}: no corpus in it that is known: MELD's csv, IEMOCAP's sessions, DailyDialog, GoEmotions' tsv, "
        f"RAVDESS, or train.jsonl, dev.jsonl, test.jsonl in the neutral format (erc-live corpus schema); "
        f"one file of dialogues is read by its own name, and pickles of features as {', '.join(KINDS)}"
    )
