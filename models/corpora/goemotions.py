"""GoEmotions: single comments of the web, so dialogues of one utterance by an unknown writer.

`<split>.tsv` holds text, label numbers with commas between, and the comment's id. `labels.txt` names the labels, one
per line. The official release names its 28 in `emotions.txt`; where `ekman_mapping.json` lies beside it, as in the
release, they are reduced to seven with it. A comment whose labels differ after that has no single label and is left
out.
"""

import json
from pathlib import Path

from erc_live.models.corpora.dialogue import SPLITS, Dialogue, Split, Utterance
from erc_live.models.corpora.splits import find
from erc_live.models.errors import CorpusError

NAME = "GoEmotions"


def splits(folder: Path) -> tuple[str, ...]:
    """Which splits lie in the folder; none when it is not GoEmotions."""
    return tuple(split for split in SPLITS if find(folder, split, "{}.tsv"))


def read(folder: Path, split: str) -> Split:
    """Read one split that `splits` names.

    Raises:
        CorpusError: a line is not as the release has it, or nothing names the labels.
    """
    path = find(folder, split, "{}.tsv")
    assert path is not None
    names = _labels(folder)
    dialogues = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as text in UTF-8: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        text, *rest = line.rstrip("\r").split("\t")
        try:
            numbers, name = rest
            labels = {names[int(value)] for value in numbers.split(",")}
        except (ValueError, IndexError) as error:
            raise CorpusError(
                f"{path}: line {number}: write text, label numbers below {len(names)} and an id, with tabs between"
            ) from error
        if len(labels) == 1:
            dialogues.append(Dialogue(name, (Utterance("writer", text.strip(), labels.pop()),)))
    return Split(NAME, split, tuple(dict.fromkeys(names)), tuple(dialogues))


def _labels(folder: Path) -> tuple[str, ...]:
    """What each label number means."""
    try:
        for name in ("labels.txt", "emotions.txt"):
            if (folder / name).is_file():
                names = tuple((folder / name).read_text(encoding="utf-8").split())
                break
        else:
            raise CorpusError(f"{folder}: no labels.txt (or the release's emotions.txt) with the names of the labels")
        mapping = folder / "ekman_mapping.json"
        if name == "labels.txt" or not mapping.is_file():
            return names
        groups = json.loads(mapping.read_text(encoding="utf-8"))
        reduced = {fine: str(coarse) for coarse, fines in groups.items() for fine in fines}
        return tuple(reduced.get(fine, fine) for fine in names)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CorpusError(f"{folder}: the names of the labels cannot be read: {error}") from error
