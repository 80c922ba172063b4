"""MELD: television dialogues of several speakers, seven labels.

What may lie in the folder, as it is published or as people rearrange it:
- `<split>.csv` or `<split>_sent_emo.csv`, there, in `data/MELD` or in `MELD.Raw` below it;
- `prosody_<split>.csv` beside it: the eight features of `PROSODY` under `dia<D>_utt<U>.wav`;
- the clips `dia<D>_utt<U>.mp4` in `train_splits`, `dev_splits_complete` and `output_repeated_splits_test`, there, in
  `MELD.Raw` or in the folder of the split, or in `clips/<split>`; in `clips` itself when the folder holds one split.

Times count from the beginning of the dialogue's first utterance; a clip is one utterance. Clips that are not there
are left out, for the release itself lacks some.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from erc_live.models.corpora.dialogue import PROSODY, SEVEN, SPLITS, Dialogue, Split, Utterance
from erc_live.models.corpora.splits import find
from erc_live.models.corpora.tables import Row, measured, rows, whole
from erc_live.models.errors import CorpusError

NAME = "MELD"
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
CLIPS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}

# Releases of MELD differ: some carry Windows-1252 bytes 80-9F as if they were control characters of Unicode.
WINDOWS_1252 = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}
CLOCK = re.compile(r"(\d+):(\d+):(\d+)[,.](\d+)")  # hours, minutes, seconds, milliseconds in the episode

Numbered = tuple[int, int, int, Row]  # dialogue, utterance, line of the file, the row


def splits(folder: Path) -> tuple[str, ...]:
    """Which splits lie in the folder; none when it is not MELD."""
    return tuple(split for split in SPLITS if _table(folder, split))


def read(folder: Path, split: str) -> Split:
    """Read one split that `splits` names.

    Raises:
        CorpusError: a row is not as the release has it, or it is unclear whose clips those are.
    """
    path = _table(folder, split)
    assert path is not None
    numbered = sorted(
        (
            (whole(path, n, row, "Dialogue_ID"), whole(path, n, row, "Utterance_ID"), n, row)
            for n, row in rows(path, COLUMNS)
        ),
        key=lambda item: item[:3],
    )
    features = _prosody(path.with_name(f"prosody_{split}.csv"))
    clips = _clips(folder, split)
    dialogues = tuple(
        Dialogue(
            f"{split}_dia{number}", tuple(_utterances(path, said, features, clips)), occasion=_episode(said[0][-1])
        )
        for number, group in groupby(numbered, key=lambda item: item[0])
        for said in [list(group)]
    )
    return Split(NAME, split, SEVEN, dialogues)


def _table(folder: Path, split: str) -> Path | None:
    for place in (folder, folder / "data" / "MELD", folder / "MELD.Raw"):
        table = find(place, split, "{}.csv") or find(place, split, "{}_sent_emo.csv")
        if table:
            return table
    return None


def _utterances(
    path: Path, group: list[Numbered], features: Mapping[str, tuple[float, ...]], clips: Mapping[str, Path]
) -> Iterator[Utterance]:
    times = [(_seconds(row.get("StartTime")), _seconds(row.get("EndTime"))) for *_, row in group]
    begin = min((start for start, _ in times if start is not None), default=0.0)
    last = None
    for (dialogue, number, line, row), (start, end) in zip(group, times, strict=True):
        if number == last:
            raise CorpusError(f"{path}: line {line}: dialogue {dialogue} has a second utterance {number}; remove one")
        last = number
        if row["Emotion"] not in SEVEN:
            raise CorpusError(f"{path}: line {line}: emotion {row['Emotion']!r} is none of {', '.join(SEVEN)}")
        clip = clips.get(f"dia{dialogue}_utt{number}")
        yield Utterance(
            speaker=" ".join(row["Speaker"].split()) or "unknown",
            text=row["Utterance"].translate(WINDOWS_1252).strip(),
            label=row["Emotion"],
            start_s=None if start is None else round(start - begin, 3),
            end_s=None if start is None or end is None or end < start else round(end - begin, 3),
            audio=clip,
            video=clip,
            prosody=features.get(f"dia{dialogue}_utt{number}"),
        )


def _episode(row: Row) -> str | None:
    season, episode = row.get("Season"), row.get("Episode")
    return f"season {season} episode {episode}" if season and episode else None


def _seconds(clock: str | None) -> float | None:
    match = CLOCK.fullmatch((clock or "").strip())
    if not match:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction}")


def _prosody(path: Path) -> dict[str, tuple[float, ...]]:
    if not path.is_file():
        return {}
    return {
        row["filename"].removesuffix(".wav"): tuple(measured(path, line, row, name) for name in PROSODY)
        for line, row in rows(path, ("filename", *PROSODY))
    }


def _clips(folder: Path, split: str) -> dict[str, Path]:
    places = [
        base / CLIPS[split] for base in (folder, folder / split, folder / "MELD.Raw", folder / "MELD.Raw" / split)
    ]
    places.append(folder / "clips" / split)
    for place in places:
        if place.is_dir():
            return _files(place)
    mixed = _files(folder / "clips") if (folder / "clips").is_dir() else {}
    if mixed and len(splits(folder)) > 1:
        raise CorpusError(
            f"{folder / 'clips'}: clips of which split? put them into {folder / 'clips' / split} or its like"
        )
    return mixed


def _files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix == ".mp4"}
