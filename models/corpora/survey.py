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
    """A split in numbers. Media count where the file is there; `labels` has every label of the split, `vectors` every
    modality whose vectors the corpus brings.
    """

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
    vectors: dict[str, int]


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
    utterances = _utterances(split)
    speakers = [len({utterance.speaker for utterance in one.utterances}) for one in split.dialogues]
    turns = [len(one.utterances) for one in split.dialogues]
    words = [len(utterance.text.split()) for utterance in utterances]
    labels = Counter(utterance.label for utterance in utterances)
    return Counts(
        dialogues=len(split.dialogues),
        utterances=len(utterances),
        speakers_mean=sum(speakers) / len(speakers),
        speakers_most=max(speakers),
        turns_median=median(turns),
        turns_most=max(turns),
        words_median=median(words),
        words_most=max(words),
        text=sum(utterance.text != "" for utterance in utterances),
        audio=sum(utterance.audio is not None and there(utterance.audio) for utterance in utterances),
        video=sum(utterance.video is not None and there(utterance.video) for utterance in utterances),
        prosody=sum(utterance.prosody is not None for utterance in utterances),
        unlabelled=labels[None],
        labels={label: labels[label] for label in split.labels},
        vectors={modality: sum(modality in one.vectors for one in utterances) for modality in split.features},
    )


def warnings(corpus: Sequence[Split]) -> list[str]:
    """What is allowed, but likely not meant: a line of text each."""
    return [*_label_warnings(corpus), *_copies(corpus), *_gaps(corpus)]


def problems(path: Path) -> Iterator[str]:
    """All that is wrong with the corpus at `path`, a line of text each: its lines, times that run backwards, media that
    are not there, names used twice.

    A corpus in the neutral format is read to its end; of another, only the first thing that its reader refuses comes.
    """
    corpus: list[Split] = []
    try:
        wrong = list(neutral.problems(path)) if is_neutral(path) else []
        yield from wrong
        if not wrong:
            corpus += (read(path, name) for name in parts(path))
    except CorpusError as error:
        yield from str(error).splitlines()
    seen: dict[str, str] = {}
    for split in corpus:
        for dialogue in split.dialogues:
            before = seen.setdefault(dialogue.name, split.name)
            if before != split.name:
                yield f"{path}: dialogue {dialogue.name!r} is in {before} and in {split.name}: give each its own name"
            yield from _times(dialogue)
        for file in missing(split):
            yield f"{file}: no such file, but {split.name} names it"


def _times(dialogue: Dialogue) -> Iterator[str]:
    """Where the clock of a dialogue goes back, or an utterance has no end while others have."""
    timed = [(n, utterance) for n, utterance in enumerate(dialogue.utterances, 1) if utterance.start_s is not None]
    for (_, before), (n, utterance) in pairwise(timed):
        if (utterance.start_s or 0.0) < (before.start_s or 0.0) - AT_ONCE_S:
            times = f"begins at {utterance.start_s:g} s, and the one before it at {before.start_s:g} s"
            yield f"dialogue {dialogue.name!r}: times run backwards: utterance {n} {times}"
    if any(utterance.end_s is not None for _, utterance in timed):
        endless = (n for n, utterance in timed if utterance.end_s is None)
        yield from (f"dialogue {dialogue.name!r}: utterance {n} has no end after its begin" for n in endless)


def missing(split: Split) -> list[Path]:
    """The media files that a split names and that are not there."""
    files = {
        file for utterance in _utterances(split) for file in (utterance.audio, utterance.video) if file is not None
    }
    return sorted(file for file in files if not file.is_file())


def _utterances(split: Split) -> list[Utterance]:
    return [utterance for dialogue in split.dialogues for utterance in dialogue.utterances]


def _label_warnings(corpus: Sequence[Split]) -> Iterator[str]:
    used = {split.name: {one.label for one in _utterances(split)} - {None} for split in corpus}
    for split in corpus:
        if not used[split.name]:
            yield f"{split.name} has no labels: it can be labelled with predict, not learnt from or scored"
    train = used.get("train")
    if train:
        known = dict.fromkeys(label for split in corpus for label in split.labels)
        for label in known:
            if label not in train:
                yield f"no training examples of {label}: no network can learn it"


def _copies(corpus: Sequence[Split]) -> Iterator[str]:
    texts: dict[str, set[tuple[str, ...]]] = {
        split.name: {words for one in split.dialogues if any(words := _words(one))} for split in corpus
    }
    for number, split in enumerate(corpus):
        for earlier in corpus[:number]:
            copies = len(texts[split.name] & texts[earlier.name])
            if copies:
                yield f"dialogues of {split.name} that are word for word in {earlier.name}, too: {copies}"


def _words(dialogue: Dialogue) -> tuple[str, ...]:
    return tuple(utterance.text for utterance in dialogue.utterances)


def _gaps(corpus: Sequence[Split]) -> Iterator[str]:
    for split in corpus:
        utterances = _utterances(split)
        silent = sum(not utterance.text for utterance in utterances)
        if silent and "text" not in split.features:
            yield f"{silent} of {len(utterances)} utterances of {split.name} have no text"
        empty = sum(not any((one.text, one.audio, one.video, one.prosody, one.vectors)) for one in utterances)
        if empty:
            nothing = "neither text nor sound, picture or prosody"
            yield f"{empty} of {len(utterances)} utterances of {split.name} have {nothing}"
        for what in ("audio", "video", "prosody"):
            lacking = sum(getattr(one, what) is None for one in utterances)
            if 0 < lacking < len(utterances):
                yield f"{lacking} of {len(utterances)} utterances of {split.name} have no {what}, while others have"
        absent = missing(split)
        if absent:
            yield f"{len(absent)} media files that {split.name} names are not there, first {absent[0]}"
