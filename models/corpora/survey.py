"""What is in a corpus: counts of its splits, what looks wrong for training, and what is wrong."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median

from erc_live.models.corpora import is_neutral, neutral, read, splits
from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.corpora.splits import ALIASES
from erc_live.models.errors import CorpusError

AT_ONCE_S = 1.0  # people interrupt each other, and times are rounded


@dataclass(frozen=True)
class Counts:
    """A split in numbers. Media count where the file is there; `labels` has every label of the split."""

    dialogues: int
    utterances: int
    speakers_mean: float
    speakers_most: int
    turns_median: float
    turns_most: int
    words_median: float
    words_most: int
    text: int
    audio: int
    video: int
    prosody: int
    unlabelled: int
    labels: dict[str, int]


def parts(path: Path) -> tuple[str, ...]:
    """The splits to read to see all of the corpus at `path`; a file on its own is the split that it is called, or test.

    Raises:
        CorpusError: there is no corpus of a known format.
    """
    called = next((split for split, names in ALIASES.items() if path.stem in names), "test")
    return splits(path) or (called,)


def count(split: Split) -> Counts:
    """Count a split, which has at least one dialogue; looks whether its media files are there."""
    there = cache(Path.is_file)
    said = _said(split)
    speakers = [len({utterance.speaker for utterance in one.utterances}) for one in split.dialogues]
    turns = [len(one.utterances) for one in split.dialogues]
    words = [len(utterance.text.split()) for utterance in said]
    labels = Counter(utterance.label for utterance in said)
    return Counts(
        dialogues=len(split.dialogues),
        utterances=len(said),
        speakers_mean=sum(speakers) / len(speakers),
        speakers_most=max(speakers),
        turns_median=median(turns),
        turns_most=max(turns),
        words_median=median(words),
        words_most=max(words),
        text=sum(utterance.text != "" for utterance in said),
        audio=sum(utterance.audio is not None and there(utterance.audio) for utterance in said),
        video=sum(utterance.video is not None and there(utterance.video) for utterance in said),
        prosody=sum(utterance.prosody is not None for utterance in said),
        unlabelled=labels[None],
        labels={label: labels[label] for label in split.labels},
    )


def warnings(found: Sequence[Split]) -> list[str]:
    """What is allowed, but likely not meant: a line of text each."""
    return [*_label_warnings(found), *_copies(found), *_gaps(found)]


def problems(path: Path) -> Iterator[str]:
    """All that is wrong with the corpus at `path`, a line of text each: its lines, times that run backwards, media that
    are not there, names used twice.

    A corpus in the neutral format is read to its end; of another, the first thing that its reader refuses is told.
    """
    found: list[Split] = []
    try:
        wrong = list(neutral.problems(path)) if is_neutral(path) else []
        yield from wrong
        if not wrong:
            found += (read(path, name) for name in parts(path))
    except CorpusError as error:
        yield from str(error).splitlines()
    seen: dict[str, str] = {}
    for split in found:
        for dialogue in split.dialogues:
            before = seen.setdefault(dialogue.name, split.name)
            if before != split.name:
                yield f"{path}: dialogue {dialogue.name!r} is in {before} and in {split.name}: give each its own name"
            yield from _times(dialogue)
        for file in missing(split):
            yield f"{file}: no such file, but {split.name} names it"


def _times(dialogue: Dialogue) -> Iterator[str]:
    """Where the clock of a dialogue goes back, or an utterance has no end while others have."""
    timed = [(n, said) for n, said in enumerate(dialogue.utterances, 1) if said.start_s is not None]
    for (_, before), (n, said) in pairwise(timed):
        if (said.start_s or 0.0) < (before.start_s or 0.0) - AT_ONCE_S:
            times = f"begins at {said.start_s:g} s, and the one before it at {before.start_s:g} s"
            yield f"dialogue {dialogue.name!r}: times run backwards: utterance {n} {times}"
    if any(said.end_s is not None for _, said in timed):
        endless = (n for n, said in timed if said.end_s is None)
        yield from (f"dialogue {dialogue.name!r}: utterance {n} has no end after its begin" for n in endless)


def missing(split: Split) -> list[Path]:
    """The media files that a split names and that are not there."""
    files = {file for utterance in _said(split) for file in (utterance.audio, utterance.video) if file is not None}
    return sorted(file for file in files if not file.is_file())


def _said(split: Split) -> list[Utterance]:
    return [utterance for dialogue in split.dialogues for utterance in dialogue.utterances]


def _label_warnings(found: Sequence[Split]) -> Iterator[str]:
    used = {split.name: {said.label for said in _said(split)} - {None} for split in found}
    for split in found:
        if not used[split.name]:
            yield f"{split.name} has no labels: it can be labelled with predict, not learnt from or scored"
    train = used.get("train")
    if train:
        known = dict.fromkeys(label for split in found for label in split.labels)
        for label in known:
            if label not in train:
                yield f"no training examples of {label}: no network can learn it"


def _copies(found: Sequence[Split]) -> Iterator[str]:
    said: dict[str, set[tuple[str, ...]]] = {
        split.name: {words for one in split.dialogues if any(words := _words(one))} for split in found
    }
    for number, split in enumerate(found):
        for earlier in found[:number]:
            copies = len(said[split.name] & said[earlier.name])
            if copies:
                yield f"{copies} dialogues of {split.name} say word for word what is also in {earlier.name}"


def _words(dialogue: Dialogue) -> tuple[str, ...]:
    return tuple(utterance.text for utterance in dialogue.utterances)


def _gaps(found: Sequence[Split]) -> Iterator[str]:
    for split in found:
        said = _said(split)
        silent = sum(not utterance.text for utterance in said)
        if silent:
            yield f"{silent} of {len(said)} utterances of {split.name} have no text"
        empty = sum(not any((one.text, one.audio, one.video, one.prosody)) for one in said)
        if empty:
            yield f"{empty} of {len(said)} utterances of {split.name} have neither text nor sound, picture or prosody"
        for what in ("audio", "video", "prosody"):
            lacking = sum(getattr(one, what) is None for one in said)
            if 0 < lacking < len(said):
                yield f"{lacking} of {len(said)} utterances of {split.name} have no {what}, while others have"
        absent = missing(split)
        if absent:
            yield f"{len(absent)} media files that {split.name} names are not there, first {absent[0]}"
