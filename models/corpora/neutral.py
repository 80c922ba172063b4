"""The neutral format: a folder for anybody's corpus.

    labels.txt                            the labels, one per line, in their order; may be absent
    train.jsonl, dev.jsonl, test.jsonl    one dialogue per line (neutral_line.py); each may be absent

`valid`, `validation` and `val` mean dev. Without a dev file, a tenth of the train dialogues is dev, at least one,
chosen by SHA-256 of their names (splits.held_out), and train is the rest.

Labels: those of labels.txt; without it, the sorted labels of the train file, behind them any that only the split at
hand has; without a train file, the sorted labels of the split. A file on its own is read as any split, with the
labels.txt beside it. A corpus without labels is a corpus too: for prediction.
"""

import os
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from erc_live.models.corpora.dialogue import SPLITS, Dialogue, Split
from erc_live.models.corpora.neutral_line import LineError, dump, parse
from erc_live.models.corpora.splits import find, held_out
from erc_live.models.errors import CorpusError

DEV_SHARE = 0.1
PATTERN = "{}.jsonl"
LABELS = "labels.txt"
REPORTED = 10  # problems in one message


def splits(folder: Path) -> tuple[str, ...]:
    """Which splits lie in the folder, or are made of what lies there; none when it is not in this format."""
    there = {split for split in SPLITS if find(folder, split, PATTERN)}
    return tuple(split for split in SPLITS if split in there or (split == "dev" and "train" in there))


def read(folder: Path, split: str) -> Split:
    """Read one split that `splits` names.

    Raises:
        CorpusError: up to ten problems, one per line; or one dialogue is to be both train and dev.
    """
    own, train = find(folder, split, PATTERN), find(folder, "train", PATTERN)
    names = labels_of(folder)
    if own is not None and (split != "train" or find(folder, "dev", PATTERN)):
        dialogues = read_file(own, names)
        seen = read_file(train, names) if train and own != train and names is None else dialogues
    else:
        assert train is not None
        seen = read_file(train, names)
        dialogues = _divide(train, seen, split)
    if names is None:
        learnt = _used(seen)
        names = (*learnt, *(label for label in _used(dialogues) if label not in learnt))
    return Split(folder.resolve().name, split, names, tuple(dialogues))


def read_alone(file: Path, split: str) -> Split:
    """Read a file as if it were the whole of a split.

    Raises:
        CorpusError: up to ten problems, one per line.
    """
    names = labels_of(file.parent)
    dialogues = read_file(file, names)
    return Split(file.stem, split, _used(dialogues) if names is None else names, tuple(dialogues))


def read_file(path: Path, labels: Container[str] | None) -> list[Dialogue]:
    """The dialogues of a file; `labels`, if given, are all that there may be.

    Raises:
        CorpusError: up to ten problems, one per line.
    """
    scanned = list(scan(path, labels))
    problems = [problem for problem in scanned if isinstance(problem, str)]
    if len(problems) > REPORTED:
        problems[REPORTED:] = [
            f"{path}: {REPORTED} of {len(problems)} problems are told; all: erc-live corpus check {path}"
        ]
    if problems:
        raise CorpusError("\n".join(problems))
    return [dialogue for dialogue in scanned if isinstance(dialogue, Dialogue)]


def problems(path: Path) -> Iterator[str]:
    """All that is wrong with a file, or with the files of a folder, a line of text each."""
    try:
        files = [path] if path.is_file() else [find(path, split, PATTERN) for split in SPLITS]
        labels = labels_of(path.parent if path.is_file() else path)
    except CorpusError as error:
        yield str(error)
        return
    for file in files:
        if file is not None:
            yield from (problem for problem in scan(file, labels) if isinstance(problem, str))


def scan(path: Path, labels: Container[str] | None) -> Iterator[Dialogue | str]:
    """Every dialogue of a file, or what is wrong with its line, in one line of text."""
    numbers: dict[str, int] = {}
    empty = True
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line  # the mark of some editors
                if not line.strip():
                    continue
                empty = False
                try:
                    dialogue = parse(line, path.parent, labels)
                    before = numbers.setdefault(dialogue.name, number)
                    if before != number:
                        raise LineError(f"dialogue {dialogue.name!r} is on line {before} already: give it another name")
                    yield dialogue
                except LineError as error:
                    yield f"{path}: line {number}: {error}"
    except OSError as error:
        yield f"{path} cannot be read: {error.strerror}"
        return
    if empty:
        yield f"{path}: no dialogues in it; the format is described by: erc-live corpus schema"


def labels_of(folder: Path) -> tuple[str, ...] | None:
    """The labels that labels.txt names; None when it is not there.

    Raises:
        CorpusError: it is not text, names none, or one twice.
    """
    path = folder / LABELS
    if not path.is_file():
        return None
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as text in UTF-8: {error}") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise CorpusError(f"{path}: " + (f"{twice[0]!r} stands there twice" if twice else "no labels in it"))
    return tuple(names)


def write(
    folder: Path,
    parts: Iterable[tuple[Split, Iterable[Dialogue]]],
    labels: Sequence[str],
    fill: Callable[[Path], object] = lambda _: None,
) -> None:
    """Write a corpus into a new `folder`: all of it, or nothing. The same corpus gives the same bytes.

    Each split comes with its dialogues, so that a caller may show how far it is. `fill` puts media of the corpus' own
    into the folder, which has another name until all is there.

    Raises:
        CorpusError: the folder is there already, or cannot be written.
    """
    with _new(folder) as part:
        for split, dialogues in parts:
            with (part / PATTERN.format(split.name)).open("w", encoding="utf-8", newline="\n") as file:
                for dialogue in dialogues:
                    file.write(_line(dialogue, _relative_to(folder)))
        if labels:
            (part / LABELS).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8", newline="\n")
        fill(part)


def write_split(folder: Path, split: Split) -> None:
    """Write a split into a folder that may hold others: whole or not at all. The same split gives the same bytes.

    Raises:
        CorpusError: the folder's labels.txt names other labels, or it cannot be written.
    """
    check_labels(folder, split)
    lines = [_line(dialogue, _relative_to(folder)) for dialogue in split.dialogues]
    files = {PATTERN.format(split.name): "".join(lines), LABELS: "".join(f"{label}\n" for label in split.labels)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            if text:
                part = folder / f"{name}.part"
                part.write_text(text, encoding="utf-8", newline="\n")
                part.replace(folder / name)
    except OSError as error:
        raise CorpusError(f"{folder} cannot be written ({error.strerror}): make room, or give another") from error


def check_labels(folder: Path, split: Split) -> None:
    """Raises CorpusError where the folder's labels.txt names other labels than the split has."""
    if labels_of(folder) not in (None, split.labels):
        raise CorpusError(f"{folder / LABELS} names other labels than {', '.join(split.labels)}: give another folder")


def _relative_to(folder: Path) -> Callable[[Path], str]:
    return lambda path: Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `folder` at the end of the block, and vanishes if that does not end well."""
    if folder.exists():
        raise CorpusError(f"{folder} is there already: give the name of a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as room:
            part = Path(room) / "part"
            part.mkdir()
            yield part
            part.replace(folder)
    except OSError as error:
        raise CorpusError(
            f"{folder} cannot be written ({error.strerror}): make room, or give another folder"
        ) from error


def _line(dialogue: Dialogue, relative: Callable[[Path], str]) -> str:
    try:
        line = dump(dialogue, relative)
        parse(line.encode(), Path())  # what is written can be read
    except ValueError as error:  # LineError is one, as are half characters and infinite numbers
        raise CorpusError(f"dialogue {dialogue.name!r} has no place in the neutral format: {error}") from error
    return f"{line}\n"


def _divide(train: Path, dialogues: Sequence[Dialogue], split: str) -> list[Dialogue]:
    if len(dialogues) < 2:
        raise CorpusError(
            f"{train}: one dialogue cannot be both train and dev: add dialogues, or a dev.jsonl beside it; "
            f"to label or score it, give the file itself"
        )
    dev = held_out((dialogue.name for dialogue in dialogues), DEV_SHARE)
    return [dialogue for dialogue in dialogues if (dialogue.name in dev) == (split == "dev")]


def _used(dialogues: Iterable[Dialogue]) -> tuple[str, ...]:
    return tuple(
        sorted({utterance.label for one in dialogues for utterance in one.utterances if utterance.label is not None})
    )
