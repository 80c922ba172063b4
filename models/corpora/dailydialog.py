"""DailyDialog: everyday conversations of two people who take turns, seven labels, most of them neutral.

What may lie in the folder:
- `<split>.jsonl`: {"utterances": [text, ...], "emotions": [label or number, ...]}, a dialogue per line;
- the official `dialogues_text.txt` (`__eou__` behind each utterance) and `dialogues_emotion.txt` (numbers), split by
  the release into `<split>/dialogues_<split>.txt` and `<split>/dialogues_emotion_<split>.txt`. Where only the whole is
  there, a tenth is dev and a tenth test, chosen by SHA-256 of the dialogue's number (splits.held_out).

The release writes a space before most marks, and inside "don ' t"; a recogniser does not: they are mended.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from erc_live.models.corpora.dialogue import SPLITS, Dialogue, Split, Utterance
from erc_live.models.corpora.splits import find, held_out
from erc_live.models.errors import CorpusError

NAME = "DailyDialog"
LABELS = ("neutral", "anger", "disgust", "fear", "joy", "sadness", "surprise")  # by the release's numbers
SHARE = 0.1
TEXT, EMOTION = "dialogues_text.txt", "dialogues_emotion.txt"

MENDING = (
    (re.compile(r"\s*([’'])\s+(t|s|m|d|re|ve|ll)\b", re.IGNORECASE), r"\1\2"),  # don ’ t
    (re.compile(r"\s+([’'](?:t|s|m|d|re|ve|ll)\b)", re.IGNORECASE), r"\1"),  # don 't
    (re.compile(r"\s+([,.!?;:%)\]])"), r"\1"),
    (re.compile(r"([(\[$])\s+"), r"\1"),
    (re.compile(r"(?<=[a-z])([.!?])(?=[A-Z][a-z])"), r"\1 "),  # right.But
)

Turns = tuple[int, list[str], list[str]]  # line of the file, texts, labels (names or numbers)


def splits(folder: Path) -> tuple[str, ...]:
    """Which splits lie in the folder; none when it is not DailyDialog."""
    if all((folder / name).is_file() for name in (TEXT, EMOTION)) and not _official(folder):
        return SPLITS
    return tuple(split for split in SPLITS if split in _official(folder) or _json_lines(folder, split))


def read(folder: Path, split: str) -> Split:
    """Read one split that `splits` names.

    Raises:
        CorpusError: a line is not as the release has it, or has more labels than utterances or fewer.
    """
    official = _official(folder).get(split)
    json_lines = _json_lines(folder, split)
    if json_lines:
        path, read_turns = json_lines, _from_json(json_lines)
    elif official:
        path, read_turns = official[0], _from_text(*official)
    else:
        path, read_turns = folder / TEXT, _from_text(folder / TEXT, folder / EMOTION)
    undivided = path.name == TEXT
    dialogues = [_dialogue(path, "all" if undivided else split, turns) for turns in read_turns]
    return Split(NAME, split, LABELS, tuple(_share(dialogues, split) if undivided else dialogues))


def mend(text: str) -> str:
    """The text as people write it."""
    for form, better in MENDING:
        text = form.sub(better, text)
    return text.strip()


def _official(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The files of each split that the release has divided."""
    places = ((split, find(folder, split, "{}")) for split in SPLITS)
    pairs = {
        split: (place / f"dialogues_{place.name}.txt", place / f"dialogues_emotion_{place.name}.txt")
        for split, place in places
        if place is not None
    }
    return {split: pair for split, pair in pairs.items() if all(path.is_file() for path in pair)}


def _json_lines(folder: Path, split: str) -> Path | None:
    """The JSON lines of a split, when they are DailyDialog's: a list of labels beside a list of texts."""
    path = find(folder, split, "{}.jsonl")
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return None
    return path if isinstance(first, dict) and first.keys() == {"utterances", "emotions"} else None


def _from_json(path: Path) -> Iterator[Turns]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                yield number, [str(text) for text in entry["utterances"]], [str(label) for label in entry["emotions"]]
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise CorpusError(
                    f'{path}: line {number}: write {{"utterances": [text, ...], "emotions": [label, ...]}}'
                ) from error


def _from_text(texts: Path, emotions: Path) -> Iterator[Turns]:
    try:
        spoken = texts.read_text(encoding="utf-8").split("\n")
        labelled = emotions.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{texts} or {emotions} cannot be read as text in UTF-8: {error}") from error
    if len(spoken) != len(labelled):
        raise CorpusError(f"{emotions}: {len(labelled)} lines for the {len(spoken)} of {texts.name}; fetch both anew")
    for number, (text, labels) in enumerate(zip(spoken, labelled, strict=True), 1):
        if text.strip():
            yield number, [part for part in text.split("__eou__") if part.strip()], labels.split()


def _dialogue(path: Path, part: str, turns: Turns) -> Dialogue:
    number, texts, labels = turns
    if len(texts) != len(labels) or not texts:
        raise CorpusError(f"{path}: line {number}: utterances: {len(texts)}, labels: {len(labels)}; each needs one")
    names = [LABELS[int(label)] if label in map(str, range(len(LABELS))) else label for label in labels]
    unknown = [name for name in names if name not in LABELS]
    if unknown:
        raise CorpusError(f"{path}: line {number}: label {unknown[0]!r} is none of {', '.join(LABELS)}, nor 0 to 6")
    utterances = (
        Utterance("AB"[turn % 2], mend(text), label)
        for turn, (text, label) in enumerate(zip(texts, names, strict=True))
    )
    return Dialogue(f"{part}_{number}", tuple(utterances))


def _share(dialogues: list[Dialogue], split: str) -> list[Dialogue]:
    """The part of an undivided release that is `split`."""
    names = {dialogue.name for dialogue in dialogues}
    test = held_out(names, SHARE)
    dev = held_out(names - test, SHARE / (1 - SHARE))
    wanted = {"test": test, "dev": dev, "train": names - test - dev}[split]
    return [dialogue for dialogue in dialogues if dialogue.name in wanted]
