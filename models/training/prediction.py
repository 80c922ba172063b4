"""Labels for a corpus file in the neutral format: the same dialogues with what a model estimates of each utterance.

    {"speaker": "Ann", "text": "Oh no.", "label": null,
     "estimate": {"label": "sadness", "probs": {"neutral": 0.2, "sadness": 0.7, ...}, "certain": true,
                  "valence": -0.41, "arousal": -0.2}}

A label that is there already stays as it is. Media are named relative to the new file. Dialogues are labelled and
written a few at a time, into a part file beside the target, which is named after everything that the result depends on;
whoever is interrupted and begins again goes on where it ended, and the target appears when it is whole.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from erc_live.models.card import Card
from erc_live.models.corpora import neutral
from erc_live.models.corpora.dialogue import Dialogue
from erc_live.models.corpora.neutral_line import dump, parse
from erc_live.models.errors import CorpusError
from erc_live.models.training.confidences import calibrated, confidences, present
from erc_live.models.training.dialogue_dataset import Example, Progress
from erc_live.models.training.dimension_scores import estimated
from erc_live.models.training.evaluation import classify
from erc_live.models.training.metrics import Answers

TOGETHER = 32  # dialogues that are read, labelled and written at once
SUM_OFF = 1e-3  # by which rounded probabilities may miss 1


@dataclass(frozen=True)
class Estimate:
    """The likeliest label of an utterance, the probability of each, and whether the card would show it as certain;
    valence and arousal, None for labels without a place where they were not learnt.
    """

    label: str
    probs: dict[str, float]
    certain: bool
    valence: float | None
    arousal: float | None


def estimates(answers: Answers, card: Card, there: Tensor) -> list[list[Estimate]]:
    """The answers as labels, dialogue by dialogue. Shapes: there (N, 3) bool, the modalities of each utterance"""
    answers = calibrated(answers, card, there)
    probs = answers.logits.double().softmax(-1).tolist()
    places = estimated(answers, card.labels, {})
    rows = zip(probs, confidences(card, there)[1].tolist(), places, strict=True)
    return [[_estimate(*row, card.labels) for row in islice(rows, length)] for length in answers.lengths]


@dataclass(frozen=True)
class Labeller:
    """A model, its card, and how dialogues become what it reads; `key` names all three."""

    model: Any
    card: Card
    vectors: Callable[[Sequence[Dialogue]], list[Example]]
    key: str

    def lines(self, dialogues: Sequence[Dialogue], relative: Callable[[Path], str]) -> Iterator[str]:
        """The dialogues with their estimates, as lines of the neutral format without their ends."""
        bare = [replace(d, utterances=tuple(replace(u, label=None) for u in d.utterances)) for d in dialogues]
        data = self.vectors(bare)
        found = estimates(classify(self.model, data), self.card, present(data))
        for dialogue, rows in zip(dialogues, found, strict=True):
            entry = json.loads(dump(dialogue, relative))
            for utterance, estimate in zip(entry["utterances"], rows, strict=True):
                utterance["estimate"] = asdict(estimate)
            yield json.dumps(entry, ensure_ascii=False, allow_nan=False)


def predict(
    source: Path, target: Path, labeller: Labeller, progress: Progress = lambda _done, _total: None, force: bool = False
) -> int:
    """Label every dialogue of the file `source` and write them to the file `target`.

    Args:
        source: a file in the neutral format.
        target: a new file; its folder is made if it is not there.
        labeller: what labels.
        progress: called with the number of dialogues done and of all.
        force: replace a target that is there.

    Returns:
        How many dialogues a run before this one had labelled.

    Raises:
        CorpusError: the source is a folder or cannot be read, the target is there already or cannot be written.
    """
    if target.exists() and not force:
        raise CorpusError(f"{target} is there already: give another name, or --force to replace it")
    if source.is_dir():
        raise CorpusError(f"{source} is a folder: give one of its files, such as {source / 'test.jsonl'}")
    total = len(neutral.read_file(source, None))  # all that is wrong with it, before the work
    part = target.with_name(f".{target.name}.{_key(source, labeller)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        done = before = _whole_lines(part)
        with part.open("a", encoding="utf-8", newline="\n") as file:
            progress(done, total)
            for dialogues in _groups(islice(_dialogues(source), before, None)):
                lines = labeller.lines(dialogues, lambda media: _relative(media, target))
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                done += len(dialogues)
                progress(done, total)
        part.replace(target)
        for other in target.parent.glob(f".{target.name}.*.part"):  # of earlier inputs or weights
            other.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise CorpusError(f"{target} cannot be written ({reason}): make room, or give another folder") from error
    return before


def read_estimates(path: Path, labels: Sequence[str]) -> list[tuple[Dialogue, list[list[float]]]]:
    """The dialogues of a file that `predict` wrote, with the probabilities of `labels`, in their order, of each
    utterance.

    Raises:
        CorpusError: it is no such file, or a model with other labels wrote it.
    """
    found = []
    dialogues = neutral.read_file(path, None)
    with path.open(encoding="utf-8-sig") as file:
        for dialogue, line in zip(dialogues, (line for line in file if line.strip()), strict=True):
            said = json.loads(line)["utterances"]
            try:
                rows = [[float(turn["estimate"]["probs"][label]) for label in labels] for turn in said]
                others = {label for turn in said for label in turn["estimate"]["probs"]} - set(labels)
            except (KeyError, TypeError, ValueError):
                rows, others = [], set()
            if others or len(rows) != len(said) or not all(abs(sum(row) - 1) < SUM_OFF for row in rows):
                raise CorpusError(
                    f"{path}, dialogue {dialogue.name}: there must be an estimate of {', '.join(labels)} for each "
                    "utterance: give a file that `erc-live predict` wrote with weights of these labels"
                )
            found.append((dialogue, rows))
    return found


def _estimate(
    probs: list[float], threshold: float, places: tuple[float | None, float | None], labels: Sequence[str]
) -> Estimate:
    best = max(range(len(probs)), key=probs.__getitem__)
    named = {label: round(p, 6) for label, p in zip(labels, probs, strict=True)}
    valence, arousal = (None if place is None else round(place, 6) for place in places)
    return Estimate(labels[best], named, probs[best] >= threshold, valence, arousal)


def _key(source: Path, labeller: Labeller) -> str:
    digest = hashlib.sha256(labeller.key.encode())
    with source.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def _whole_lines(part: Path) -> int:
    """How many lines a part file holds, after the one that was being written when it was cut off is removed."""
    if not part.is_file():
        return 0
    with part.open("rb+") as file:
        count = end = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            count, end = count + 1, end + len(line)
        file.truncate(end)
    return count


def _dialogues(source: Path) -> Iterator[Dialogue]:
    with source.open("rb") as file:
        for number, line in enumerate(file):
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
            if line.strip():
                yield parse(line, source.parent)


def _groups(dialogues: Iterator[Dialogue]) -> Iterator[list[Dialogue]]:
    while group := list(islice(dialogues, TOGETHER)):
        yield group


def _relative(media: Path, target: Path) -> str:
    return Path(os.path.relpath(media.resolve(), target.parent.resolve())).as_posix()
