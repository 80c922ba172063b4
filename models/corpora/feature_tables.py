"""What the pickles of published systems have in common: tables by dialogue, of speakers, labels, words and vectors.

They hold two corpora. Speakers that are letters (M, F) are those of IEMOCAP, and say the gender; speakers that are rows
of zeros and a one are those of MELD. Labels are numbers, in the order that all of these systems use. Where no dev split
is named, a tenth of the dialogues of train is dev, chosen by SHA-256 of their names (splits.held_out).

The rule of this file: a table is believed in nothing. Lengths, widths and kinds are compared before anything is made of
them, so a small file cannot become a large corpus.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from erc_live.models.corpora.dialogue import SEVEN, Dialogue, FeatureKind, Split, Utterance, Vector
from erc_live.models.corpora.iemocap import GENDER, SIX
from erc_live.models.corpora.restricted_pickle import load
from erc_live.models.corpora.splits import held_out
from erc_live.models.errors import CorpusError

DEV_SHARE = 0.1
NUMBERS = 1 << 30  # of all vectors of a split: 4 GB; those of MELD by VUEMO are 65 million
UTTERANCES = 5_000_000
SUFFIXES = (".pkl", ".pickle")


@dataclass(frozen=True)
class VectorTable:
    """The vectors of a modality: their name, the file they are from, and tables by dialogue, joined end to end."""

    name: str
    file: Path
    tables: tuple[Any, ...]


@dataclass(frozen=True)
class FeatureTables:
    """The tables of a system's features; `file` is where speakers and labels are from.

    `speakers`, `labels` and `sentences` are by dialogue, and so are the `vectors` of each modality; `train`, `dev` and
    `test` are names of dialogues, of which dev may be empty, or name dialogues of train.
    """

    system: str
    file: Path
    speakers: Any
    labels: Any
    sentences: Any
    vectors: Mapping[str, VectorTable]
    train: Any
    dev: Any
    test: Any

    def split(self, name: str) -> Split:
        """The dialogues of a split, with their vectors.

        Raises:
            CorpusError: a table is not what it should be.
        """
        chosen = self._divided()[name]
        if not chosen:
            raise CorpusError(f"{self.file}: no dialogues in its {name} split")
        lettered = all(isinstance(speaker, str) for speaker in self._row(self.speakers, "speakers", chosen[0]))
        corpus, labels = ("IEMOCAP", tuple(SIX.values())) if lettered else ("MELD", SEVEN)
        widths: dict[str, int] = {}
        return Split(f"{corpus} ({self.system})", name, labels, tuple(self._dialogues(chosen, labels, widths)))

    def _divided(self) -> dict[str, list[Any]]:
        """The names of the dialogues of each split."""
        for name, value in (("train", self.train), ("dev", self.dev), ("test", self.test)):
            if not isinstance(value, list | tuple | set | frozenset | dict) or not all(map(is_name, value)):
                raise CorpusError(f"{self.file}: {name} is no list of names of dialogues")
        test = sorted(set(self.test), key=str)
        if both := set(self.train) & set(test):
            raise CorpusError(f"{self.file}: dialogue {min(map(str, both))!r} is in train and in test")
        dev = sorted(set(self.dev) - set(test), key=str)
        if not dev and self.train:
            by_name = {str(name): name for name in self.train}
            dev = sorted((by_name[name] for name in held_out(by_name, DEV_SHARE)), key=str)
        return {"train": sorted(set(self.train) - set(dev), key=str), "dev": dev, "test": test}

    def _dialogues(self, chosen: Sequence[Any], labels: Sequence[str], widths: dict[str, int]) -> Iterator[Dialogue]:
        utterances = numbers = 0
        for key in chosen:
            speakers = self._row(self.speakers, "speakers", key)
            classes = self._row(self.labels, "labels", key, len(speakers))
            words = self._words(key, len(speakers))
            columns = {modality: self._vectors(table, key, len(speakers)) for modality, table in self.vectors.items()}
            utterances += len(speakers)
            numbers += len(speakers) * sum(_width(part) for parts in columns.values() for part in parts)
            if numbers > NUMBERS or utterances > UTTERANCES:
                raise CorpusError(f"{self.file}: more than {UTTERANCES} utterances, or {NUMBERS} numbers, in a split")
            turns = []
            for place in range(len(speakers)):
                vectors = {m: self._joined(m, parts, place, key, widths) for m, parts in columns.items()}
                label = self._label(classes[place], labels, key, place)
                speaker = _speaker(speakers[place])
                said = _text(words[place])
                turns.append(Utterance(speaker, said, label, vectors=vectors, gender=GENDER.get(speaker)))
            features = {m: FeatureKind(table.name, widths[m]) for m, table in self.vectors.items()}
            yield Dialogue(str(key), tuple(turns), features)

    def _words(self, key: Any, length: int) -> Any:
        """Not every pickle has them: the vectors are made of them already."""
        there = isinstance(self.sentences, dict) and key in self.sentences
        return self._row(self.sentences, "sentences", key, length) if there else [""] * length

    def _vectors(self, table: VectorTable, key: Any, length: int) -> list[Any]:
        return [_row_of(table.file, part, f"{table.name} vectors", key, length) for part in table.tables]

    def _row(self, table: Any, what: str, key: Any, length: int | None = None) -> Any:
        return _row_of(self.file, table, what, key, length)

    def _joined(self, modality: str, parts: Sequence[Any], place: int, key: Any, widths: dict[str, int]) -> Vector:
        """The vector of an utterance; all of a modality have the width of the first."""
        table = self.vectors[modality]
        vector = array("f")
        for part in parts:
            vector += _vector(part[place], f"{table.file}: dialogue {str(key)!r}, utterance {place + 1}: {table.name}")
        width = widths.setdefault(modality, len(vector))
        if len(vector) != width:
            raise CorpusError(
                f"{table.file}: dialogue {str(key)!r}, utterance {place + 1}: {table.name} has {len(vector)} numbers, "
                f"and others have {width}"
            )
        return vector

    def _label(self, number: Any, labels: Sequence[str], key: Any, place: int) -> str:
        if not isinstance(number, int | np.integer) or not 0 <= number < len(labels):
            shown = repr(int(number)) if isinstance(number, int | np.integer) else f"a {type(number).__name__}"
            raise CorpusError(
                f"{self.file}: dialogue {str(key)!r}, utterance {place + 1}: label {shown[:20]} is none of 0 to "
                f"{len(labels) - 1} ({', '.join(labels)})"
            )
        return labels[int(number)]


def tables_of(path: Path, layouts: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """The tables that a pickle holds in a row, by their names. `layouts` names them, by how many there are.

    Raises:
        CorpusError: the pickle cannot be read, or holds something else.
    """
    value = load(path)
    if not isinstance(value, list | tuple) or len(value) not in layouts:
        what = f"{len(value)} tables" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        raise CorpusError(f"{path}: it holds {what}, and must hold {' or '.join(map(str, layouts))} tables in a row")
    return dict(zip(layouts[len(value)], value, strict=True))


def one_of(folder: Path, names: Sequence[str]) -> Path | None:
    """The one of these that is there. Raises CorpusError when there are several, of which only one can be meant."""
    there = [folder / name for name in names if (folder / name).exists()]
    if len(there) > 1:
        raise CorpusError(f"{folder}: {there[0]} and {there[1]} are both there: name the one that is meant")
    return there[0] if there else None


def require(*files: Path) -> None:
    """Refuse a folder in which only some of the files lie that belong together. Raises CorpusError."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        beside = ", ".join(file.name for file in files if file not in missing)
        raise CorpusError(f"{', '.join(map(str, missing))}: missing; {beside} is nothing without: put it there")


def _row_of(file: Path, table: Any, what: str, key: Any, length: int | None) -> Any:
    """What a table has for a dialogue: a list, or an array whose first axis is the utterances."""
    if not isinstance(table, dict) or key not in table:
        problem = "no table by dialogue" if not isinstance(table, dict) else f"none for dialogue {str(key)!r}"
        raise CorpusError(f"{file}: {what}: {problem}")
    row = table[key]
    if (
        not isinstance(row, list | tuple | np.ndarray)
        or (isinstance(row, np.ndarray) and row.ndim == 0)
        or not len(row)
    ):
        raise CorpusError(f"{file}: {what} of dialogue {str(key)!r} are no list")
    if length is not None and len(row) != length:
        raise CorpusError(f"{file}: {what} of dialogue {str(key)!r} are {len(row)}, and its speakers {length}")
    return row


def _width(rows: Any) -> int:
    first = rows[0]
    return len(first) if isinstance(first, list | tuple) or (isinstance(first, np.ndarray) and first.ndim) else 0


def _vector(value: Any, what: str) -> Vector:
    flat = isinstance(value, list | tuple) and all(isinstance(number, int | float) for number in value)
    if not flat and not (isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf"):
        raise CorpusError(f"{what}: no row of numbers")
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(value, np.float32)
    except OverflowError:
        numbers = np.array([np.inf], np.float32)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise CorpusError(f"{what}: a number that is not finite" if len(numbers) else f"{what}: no numbers")
    return array("f", numbers.tobytes())


def _speaker(value: Any) -> str:
    """A letter, or the place of the 1 in a row; nobody's has none."""
    if isinstance(value, str):
        return value
    row = list(value) if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1 else []
    places = [place for place, number in enumerate(row) if isinstance(number, int | float | np.number) and number > 0]
    return f"speaker {places[0]}" if places else "other"


def _text(value: Any) -> str:
    """The words on one line; halves of characters are no text."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
    return " ".join(text.encode("utf-8", "replace").decode().split())


def is_name(value: Any) -> bool:
    """Whether it may be the name of a dialogue."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 1 << 63)
