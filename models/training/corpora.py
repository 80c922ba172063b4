"""Corpora on disk -> dialogues of labelled utterances, in time order.

Three formats, told apart by the file of the split that lies in the folder:
- `<split>.csv`: MELD, and beside it `prosody_<split>.csv` (keys `dia<D>_utt<U>.wav`), which may be absent;
- `<split>.tsv` with `labels.txt`: GoEmotions reduced to Ekman's classes; single sentences, so dialogues of one
  utterance;
- `<split>.jsonl`: the neutral format, one dialogue per line, for any other corpus:
  `{"dialogue": "d1", "utterances": [{"speaker": "A", "text": "Oh no.", "emotion": "sadness", "prosody": [1.2, ...]}]}`,
  `emotion` and `prosody` (the eight values of `PROSODY`, null where not measured) may be absent or null.

Speakers become numbers in the order of their first appearance in the dialogue: a model must not learn who is who.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from math import nan
from pathlib import Path
from typing import Any

from erc_live.models.errors import CorpusError

LABELS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
PROSODY = (
    "duration",
    "avg_intensity",
    "intensity_variation",
    "avg_pitch",
    "pitch_std",
    "pitch_range",
    "articulation_rate",
    "mean_hnr",
)

# Releases of MELD differ: some carry Windows-1252 bytes 80-9F as if they were control characters of Unicode.
WINDOWS_1252 = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


@dataclass(frozen=True)
class Line:
    """One utterance of a corpus; `emotion` is one of `LABELS` or None, `prosody` is in the order of `PROSODY`."""

    text: str
    speaker: int
    emotion: str | None
    prosody: tuple[float, ...] | None


@dataclass(frozen=True)
class Dialogue:
    """The utterances of one conversation, first to last."""

    name: str
    lines: tuple[Line, ...]


def read_split(folder: Path, split: str) -> list[Dialogue]:
    """Read one split ("train", "dev", ...) of the corpus in `folder`.

    Raises:
        CorpusError: no file of a known format is there, or a row is not what its format says.
    """
    for suffix, reader in {".csv": _meld, ".tsv": _goemotions, ".jsonl": _neutral}.items():
        path = folder / f"{split}{suffix}"
        if path.is_file():
            try:
                dialogues = list(reader(path))
            except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
                raise CorpusError(f"{path} is not in its format ({error!r}); see: erc-live train --help") from error
            if not dialogues:
                raise CorpusError(f"{path}: no utterances in it")
            return dialogues
    raise CorpusError(f"no {split}.csv, {split}.tsv or {split}.jsonl in {folder}: give the folder of a corpus")


def _meld(path: Path) -> Iterator[Dialogue]:
    prosody = _meld_prosody(path.with_name(f"prosody_{path.name}"))
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (int(row["Dialogue_ID"]), int(row["Utterance_ID"])))
    for dialogue, group in groupby(rows, key=lambda row: row["Dialogue_ID"]):
        turns = [
            (
                row["Speaker"],
                row["Utterance"].translate(WINDOWS_1252),
                row["Emotion"],
                prosody.get(f"dia{dialogue}_utt{row['Utterance_ID']}.wav"),
            )
            for row in group
        ]
        yield _dialogue(dialogue, turns)


def _meld_prosody(path: Path) -> Mapping[str, tuple[float, ...]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["filename"]: tuple(float(row[name] or nan) for name in PROSODY) for row in csv.DictReader(file)}


def _goemotions(path: Path) -> Iterator[Dialogue]:
    names = path.with_name("labels.txt").read_text(encoding="utf-8").split()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if "," not in row[1]:  # several emotions at once have no place in a single label
                yield _dialogue(row[2], [("writer", row[0], names[int(row[1])], None)])


def _neutral(path: Path) -> Iterator[Dialogue]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            turns = [_turn(utterance) for utterance in entry["utterances"]]
            yield _dialogue(str(entry["dialogue"]), turns)


def _turn(utterance: Mapping[str, Any]) -> tuple[str, str, str | None, tuple[float, ...] | None]:
    prosody = utterance.get("prosody")
    if prosody is not None:
        prosody = tuple(nan if value is None else float(value) for value in prosody)
    return str(utterance["speaker"]), utterance["text"], utterance.get("emotion"), prosody


def _dialogue(name: str, turns: list[tuple[str, str, str | None, tuple[float, ...] | None]]) -> Dialogue:
    if not turns:
        raise ValueError(f"dialogue {name} has no utterances")
    order: dict[str, int] = {}
    lines = []
    for who, text, emotion, prosody in turns:
        if emotion is not None and emotion not in LABELS:
            raise ValueError(f"dialogue {name}: emotion {emotion!r} is none of {', '.join(LABELS)}")
        if prosody is not None and len(prosody) != len(PROSODY):
            raise ValueError(f"dialogue {name}: {len(prosody)} prosody values instead of {len(PROSODY)}")
        lines.append(Line(text.strip(), order.setdefault(who, len(order)), emotion, prosody))
    return Dialogue(name, tuple(lines))
