"""RAVDESS: two fixed sentences, spoken by actors in eight acted emotions. For training what hears a voice, and never
to be trusted as if it were conversation: the emotions are played, to be recognised.

What may lie in the folder, at any depth:
- `index.csv` with `path` (relative to it), `emotion`, `intensity`, `actor`, `actor_sex`;
- or the official files, whose names say it all: `03-01-06-01-02-01-12.wav` = sound only, speech, emotion, intensity,
  sentence, repetition, actor. Songs and films are passed over, and so is a second copy of a file.

Labels are the words of MELD: calm, which MELD does not know and listeners rarely tell from neutral, counts as neutral.
Splits are by actor, so that nobody is heard in training and in scoring: 1-16 train, 17-20 dev, 21-24 test.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from erc_live.models.corpora.dialogue import SEVEN, SPLITS, Dialogue, Split, Utterance
from erc_live.models.corpora.splits import canonical
from erc_live.models.corpora.tables import rows, whole
from erc_live.models.errors import CorpusError

NAME = "RAVDESS"
ACTORS = {"train": range(1, 17), "dev": range(17, 21), "test": range(21, 25)}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")  # by the number in a name
LABELS = {
    "neutral": "neutral",
    "calm": "neutral",
    "happy": "joy",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "disgust": "disgust",
    "surprised": "surprise",
}
FILE = re.compile(r"03-01-(0[1-8])-(0[12])-\d\d-\d\d-(\d\d)\.(?:wav|flac|opus|ogg)")
COLUMNS = ("path", "emotion", "intensity", "actor", "actor_sex")


@dataclass(frozen=True)
class RavdessClip:
    """One sentence of an actor: `label` is one of `SEVEN`, `intensity` "normal" or "strong", `sex` "male", "female"."""

    path: Path
    label: str
    intensity: str
    actor: int
    sex: str


def clips(folder: Path, split: str) -> list[RavdessClip]:
    """The clips of a split, in the order of their names.

    Raises:
        CorpusError: there are none, or the index is not as described above.
    """
    actors = ACTORS[canonical(split)]
    found = [clip for clip in _all(folder) if clip.actor in actors]
    if not found:
        raise CorpusError(
            f"{folder}: no clips of RAVDESS by actors {actors[0]} to {actors[-1]}, such as "
            f"Actor_{actors[0]:02}/03-01-06-01-02-01-{actors[0]:02}.wav, and no index.csv that names them"
        )
    return found


def splits(folder: Path) -> tuple[str, ...]:
    """Which splits lie in the folder; none when it is not RAVDESS."""
    if not (folder / "index.csv").is_file() and not any(
        FILE.fullmatch(path.name) for path in folder.glob("**/03-01-*")
    ):
        return ()
    actors = {clip.actor for clip in _all(folder)}
    return tuple(split for split in SPLITS if actors & set(ACTORS[split]))


def read(folder: Path, split: str) -> Split:
    """The clips as dialogues of one utterance. Their words are left out: they are always the same two sentences."""
    dialogues = tuple(
        Dialogue(clip.path.stem, (Utterance(f"actor {clip.actor}", "", clip.label, audio=clip.path),))
        for clip in clips(folder, split)
    )
    return Split(NAME, split, SEVEN, dialogues)


def _all(folder: Path) -> list[RavdessClip]:
    index = folder / "index.csv"
    listed = _indexed(index) if index.is_file() else []
    stems = {clip.path.stem for clip in listed}
    found = [*listed, *(clip for clip in _named(folder) if clip.path.stem not in stems)]  # actors added later
    return sorted(found, key=lambda clip: clip.path.name)


def _indexed(index: Path) -> list[RavdessClip]:
    found = []
    for line, row in rows(index, COLUMNS):
        if row["emotion"] not in LABELS:
            raise CorpusError(f"{index}: line {line}: emotion {row['emotion']!r} is none of {', '.join(LABELS)}")
        actor = whole(index, line, row, "actor")
        label = LABELS[row["emotion"]]
        found.append(RavdessClip(index.parent / row["path"], label, row["intensity"], actor, row["actor_sex"]))
    return found


def _named(folder: Path) -> list[RavdessClip]:
    found: dict[str, RavdessClip] = {}
    for path in sorted(folder.glob("**/03-01-*")):
        name = FILE.fullmatch(path.name)
        if name and path.stem not in found:
            emotion, intensity, actor = (int(part) for part in name.groups())
            sex = "male" if actor % 2 else "female"  # the release: odd actors are men
            strength = "normal" if intensity == 1 else "strong"
            found[path.stem] = RavdessClip(path, LABELS[EMOTIONS[emotion - 1]], strength, actor, sex)
    return list(found.values())
