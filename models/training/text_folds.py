"""The runs of an encoder whose weights are averaged: seeds, or folds, each scored on dialogues it never learnt from.

With folds, train and dev of the first corpus are parted by what its dialogues share (an episode, a session); each run
leaves out one part and answers for it; nothing is chosen on those answers, so together they are scores of the recipe
on all of the corpus. What is kept is the mean of the weights of the runs, which start from the same weights and the
same head. That mean has seen all labels; the encoders of the folds are kept beside it, for who learns or scores what
comes after them without that.
Source: Wortsman et al. 2022, "Model soups".
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erc_live.models.corpora.dialogue import Split
from erc_live.models.corpora.neutral_line import dump
from erc_live.models.encoders.turns import Turn
from erc_live.models.errors import CorpusError
from erc_live.models.files import whole
from erc_live.models.training.calibration import temperature
from erc_live.models.training.fold_encoders import FOLD
from erc_live.models.training.folds import grouped_folds
from erc_live.models.training.metrics import confusion, macro_f1, weighted_f1
from erc_live.models.training.text_dataset import TextDataset, spoken

OUT_OF_FOLD = "out-of-fold.jsonl"  # the corpus with the estimates of encoders that did not learn from the dialogue


@dataclass(frozen=True)
class Member:
    """One of the runs. `fold` is what it does not learn from and is scored on, if there are folds; `left_out` are all
    groups of which nothing teaches it, from wherever it may come, and `beside` is what other corpora have of these:
    the same dialogues as they were heard, for example. It is scored, too.
    """

    name: str
    seed: int
    learnt: tuple[TextDataset, ...]
    fold: TextDataset | None = None
    left_out: frozenset[str] = frozenset()
    beside: tuple[TextDataset, ...] = ()


def members(
    corpora: Sequence[tuple[TextDataset, TextDataset]], seeds: Sequence[int], parts: Mapping[str, int]
) -> list[Member]:
    """A run for each seed on all of train; or one for each fold, with the first seed, on all groups of other folds, and
    on what no fold has. `parts`: the fold of each group of the first corpus, empty without folds.
    """
    if not parts:
        return [Member(f"seed-{seed}", seed, tuple(train for train, _ in corpora)) for seed in seeds]
    (train, dev), *others = corpora
    own = train + dev
    found = []
    for fold in sorted(set(parts.values())):
        inside = frozenset(group for group, number in parts.items() if number == fold)
        learnt = [one.without_groups(inside) for one in (own, *(one for one, _ in others))]
        kept = tuple(one for one in learnt if one.dialogues)
        beside = tuple((one + dev).of_groups(inside) for one, dev in others)
        found.append(Member(FOLD.format(fold=fold), seeds[0], kept, own.of_groups(inside), inside, beside))
    return found


def parted(corpus: tuple[TextDataset, TextDataset], folds: int) -> dict[str, int]:
    """The fold of each group of a corpus, train and dev together; empty without folds.

    Raises:
        CorpusError: it has too few groups.
    """
    if not folds:
        return {}
    groups = [one.group for part in corpus for one in part.dialogues for _ in one.spoken]
    try:
        return dict(zip(groups, grouped_folds(groups, folds), strict=True))
    except ValueError as error:
        raise CorpusError(f"{corpus[0].corpus}: {error}") from error


def fold_scores(
    runs: Sequence[Member], answers: Sequence[Tensor], beside: Sequence[Sequence[Tensor]]
) -> dict[str, Any]:
    """Scores of all folds together, and of each; and of what other corpora have of their groups, together. Of a corpus
    that was heard, the same lines are scored as they were written, too.

    Args:
        runs: one for each fold.
        answers: of each run, the logits of all utterances of its fold (n, classes).
        beside: of each run, those of what other corpora have of it.
    """
    scored = [(run.fold, logits) for run, logits in zip(runs, answers, strict=True) if run.fold is not None]
    counts = torch.stack([_counts(*each) for each in scored])
    found = {"by_fold": [_scores(one) for one in counts], **_scores(counts.sum(0))}
    others = {}
    for place, corpus in enumerate(runs[0].beside):
        heard = [run.beside[place] for run in runs]
        if any(one.dialogues for one in heard):
            answered = [_counts(one, rows[place]) for one, rows in zip(heard, beside, strict=True)]
            others[corpus.corpus] = _scores(torch.stack(answered).sum(0))
            written = [_as_written(one, *each) for one, each in zip(heard, scored, strict=True)]
            if (every := torch.stack(written).sum(0)).any():
                others[corpus.corpus]["as_written"] = _scores(every)
    return found | ({"beside": others} if others else {})


def _scores(counts: Tensor) -> dict[str, Any]:
    return {"utterances": int(counts.sum()), "weighted_f1": weighted_f1(counts), "macro_f1": macro_f1(counts)}


def _counts(texts: TextDataset, logits: Tensor) -> Tensor:
    shares = torch.cat([torch.empty(0, logits.shape[1]), *(dialogue.shares for dialogue in texts.dialogues)])
    known = shares.any(1)
    return confusion(shares[known].argmax(1), logits[known].argmax(1), logits.shape[1])


def _as_written(transcribed: TextDataset, fold: TextDataset, answers: Tensor) -> Tensor:
    """Counts of the lines of which something was heard, by the answers to what stood there."""
    rows = torch.split(answers, [len(dialogue) for dialogue in fold.dialogues])
    found = {dialogue.spoken: part for dialogue, part in zip(fold.dialogues, rows, strict=True)}
    same = [dialogue for dialogue in transcribed.dialogues if dialogue.written in found]
    logits = [found[dialogue.written] for dialogue in same if dialogue.written is not None]
    return _counts(TextDataset(transcribed.corpus, tuple(same)), torch.cat([torch.empty(0, answers.shape[1]), *logits]))


def write_estimates(
    corpus: tuple[Split, Split], scored: Sequence[TextDataset], answers: Sequence[Tensor], path: Path
) -> None:
    """Write the corpus with what each fold says of dialogues that it did not learn from, as `erc-live predict` would.

    Each fold's answers are divided by the temperature that makes the labels of the other folds likeliest.
    """
    labels = [torch.cat([_classes(dialogue.shares) for dialogue in one.dialogues]) for one in scored]
    estimates: dict[tuple[str, tuple[Turn, ...]], Tensor] = {}  # the same words may stand in another fold, too
    for fold, (one, logits) in enumerate(zip(scored, answers, strict=True)):
        rest = [place for place in range(len(scored)) if place != fold]
        divisor = temperature(
            torch.cat([answers[place] for place in rest]), torch.cat([labels[place] for place in rest])
        )
        parts = torch.split((logits / divisor).double().softmax(-1), [len(dialogue) for dialogue in one.dialogues])
        estimates |= {(said.group, said.spoken): part for said, part in zip(one.dialogues, parts, strict=True)}
    with whole(path) as part_file, part_file.open("w", encoding="utf-8") as file:
        for split in corpus:
            for dialogue in split.dialogues:
                rows = estimates.get((dialogue.group, spoken(dialogue)))
                if rows is None:
                    continue
                entry = json.loads(dump(dialogue, lambda media: os.path.relpath(media, path.parent)))
                for utterance, probs in zip(entry["utterances"], rows.tolist(), strict=True):
                    named = {label: round(p, 6) for label, p in zip(split.labels, probs, strict=True)}
                    utterance["estimate"] = {"label": max(named, key=named.__getitem__), "probs": named}
                file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n")


def _classes(shares: Tensor) -> Tensor:
    """The label of each utterance, -1 where there is none. Shapes: (T, C) -> (T,)"""
    return torch.where(shares.any(1), shares.argmax(1), -1)
