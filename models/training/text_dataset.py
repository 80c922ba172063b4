"""Dialogues of a corpus as an encoder reads them, with how likely each label is for each utterance."""

import hashlib
import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from erc_live.models.corpora.dialogue import Dialogue, Split
from erc_live.models.encoders.turns import Turn, turns
from erc_live.models.errors import CorpusError
from erc_live.models.training.prediction import read_estimates

DROWNING = 0.75  # a label that more utterances have than this share ...
THINNED = 0.5  # ... teaches so many times, for each utterance of all the others
RARELY = 0.05  # least weight of a pseudo-labelled utterance when dialogues are drawn, beside 1 of other labels


@dataclass(frozen=True)
class SpokenDialogue:
    """What was said, and how likely each label is for each utterance: 0 and 1 if people gave the labels, and all 0
    where nothing is known and nothing is learnt. `group`: what must not be parted between what teaches and what scores.
    `written`: what stood there, if `spoken` is what a recogniser heard of it.

    Shapes, of T utterances: shares (T, classes) float32.
    """

    spoken: tuple[Turn, ...]
    shares: Tensor
    group: str
    pseudo: bool = False  # whether a model gave the labels
    written: tuple[Turn, ...] | None = None

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.spoken)


@dataclass(frozen=True)
class TextDataset:
    """Dialogues of one corpus or several."""

    corpus: str
    dialogues: tuple[SpokenDialogue, ...]

    @classmethod
    def of(cls, split: Split, labels: Sequence[str]) -> "TextDataset":
        """Every dialogue in which an utterance has a text and a label. Raises CorpusError when there is none, or when a
        label is none of `labels`.
        """
        if odd := sorted({said.label for one in split.dialogues for said in one.utterances if said.label} - {*labels}):
            raise CorpusError(f"{split.corpus}, {split.name}: {', '.join(odd)} is none of {', '.join(labels)}")
        found = [_labelled(dialogue, labels) for dialogue in split.dialogues]
        kept = tuple(dialogue for dialogue in found if dialogue.shares.any())
        if not kept:
            raise CorpusError(f"{split.corpus}: no utterance of {split.name} has a text and a label")
        return cls(split.corpus, kept)

    @classmethod
    def estimated(cls, path: Path, labels: Sequence[str]) -> "TextDataset":
        """Every dialogue with a text of a file that `erc-live predict` wrote. Raises CorpusError when it is no such
        file, or has none.
        """
        found = [
            SpokenDialogue(said, _worded(torch.tensor(shares), said), dialogue.group, pseudo=True)
            for dialogue, shares in read_estimates(path, labels)
            for said in [spoken(dialogue)]
        ]
        kept = tuple(dialogue for dialogue in found if dialogue.shares.any())
        if not kept:
            raise CorpusError(f"{path}: no utterance has a text")
        return cls(path.stem, kept)

    @property
    def shares(self) -> Tensor:
        """Of all utterances of which something is known. Shapes: (n, classes)"""
        every = torch.cat([dialogue.shares for dialogue in self.dialogues])
        return every[every.any(1)]

    def lengths(self) -> list[int]:
        """Of each dialogue, in characters."""
        return [sum(len(turn.text) for turn in dialogue.spoken) for dialogue in self.dialogues]

    def digest(self) -> str:
        """Names what is learnt from: 16 hex digits."""
        content = repr([(one.spoken, one.shares.tolist(), one.pseudo) for one in self.dialogues])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def thinned(self, generator: Generator) -> "TextDataset":
        """Most utterances of a label that drowns the others do not teach; what then teaches nothing is left out."""
        counts = torch.bincount(self.shares.argmax(1))
        most = int(counts.argmax())
        others = int(counts.sum()) - int(counts[most])
        if not others or counts[most] <= DROWNING * counts.sum():
            return self
        order = torch.randperm(int(counts[most]), generator=generator)
        teaches = order < math.ceil(THINNED * others)  # of the utterances of this label, in their order
        kept, seen = [], 0
        for dialogue in self.dialogues:
            common = dialogue.shares.any(1) & (dialogue.shares.argmax(1) == most)
            silent = torch.zeros(len(dialogue), dtype=torch.bool)
            silent[common] = ~teaches[seen : seen + int(common.sum())]
            seen += int(common.sum())
            kept.append(replace(dialogue, shares=dialogue.shares.masked_fill(silent[:, None], 0.0)))
        return TextDataset(self.corpus, tuple(dialogue for dialogue in kept if dialogue.shares.any()))

    def drawn(self, count: int, generator: Generator) -> "TextDataset":
        """Dialogues of about so many utterances, the likelier the less they look like the commonest label."""
        if count >= sum(map(len, self.dialogues)):
            return self
        commonest = int(self.shares.sum(0).argmax())
        known = [one.shares[one.shares.any(1)] for one in self.dialogues]
        chances = torch.stack([(1 - shares[:, commonest]).clamp(min=RARELY).mean() for shares in known])
        chosen: list[int] = []
        utterances = 0
        for place in torch.multinomial(chances, len(chances), generator=generator).tolist():
            if utterances >= count:
                break
            chosen.append(place)
            utterances += len(self.dialogues[place])
        return TextDataset(self.corpus, tuple(self.dialogues[place] for place in sorted(chosen)))

    def some(self, utterances: int) -> list[tuple[Turn, ...]]:
        """What is said in dialogues of about so many utterances, or all, from one end to the other."""
        every = max(1, sum(map(len, self.dialogues)) // utterances)
        return [dialogue.spoken for dialogue in self.dialogues[::every]]

    def taught_by(self, estimated: "TextDataset") -> "TextDataset":
        """Where the same dialogue was estimated too, label and estimate weigh alike. What was heard of a dialogue is
        taught by the estimates of what stood there: it is to be answered as if every word had been understood.
        """
        estimates = {one.spoken: one.shares for one in estimated.dialogues}
        taught = []
        for dialogue in self.dialogues:
            shares = estimates.get(dialogue.written or dialogue.spoken)
            if shares is not None:
                shares = _worded(shares, dialogue.spoken)
                known = dialogue.shares.any(1, keepdim=True)
                dialogue = replace(dialogue, shares=torch.where(known, (dialogue.shares + shares) / 2, shares))
            taught.append(dialogue)
        return TextDataset(self.corpus, tuple(taught))

    def without_groups(self, groups: Container[str]) -> "TextDataset":
        """Those dialogues that are of none of the groups."""
        return TextDataset(self.corpus, tuple(one for one in self.dialogues if one.group not in groups))

    def of_groups(self, groups: Container[str]) -> "TextDataset":
        """Those dialogues that are of one of the groups."""
        return TextDataset(self.corpus, tuple(one for one in self.dialogues if one.group in groups))

    def without(self, other: "TextDataset") -> "TextDataset":
        """Those dialogues that the other does not have."""
        there = {dialogue.spoken for dialogue in other.dialogues}
        return TextDataset(self.corpus, tuple(one for one in self.dialogues if one.spoken not in there))

    def __add__(self, other: "TextDataset") -> "TextDataset":
        """These and then those."""
        name = self.corpus if self.corpus == other.corpus else f"{self.corpus} {other.corpus}"
        return TextDataset(name, self.dialogues + other.dialogues)


def _labelled(dialogue: Dialogue, labels: Sequence[str]) -> SpokenDialogue:
    said = spoken(dialogue)
    classes = [-1 if said.label is None else labels.index(said.label) for said in dialogue.utterances]
    shares = functional.one_hot(torch.tensor(classes) + 1, len(labels) + 1)[:, 1:].float()
    return SpokenDialogue(said, _worded(shares, said), dialogue.group, written=written(dialogue))


def _worded(shares: Tensor, utterances: Sequence[Turn]) -> Tensor:
    """Nothing is learnt of an utterance without words."""
    silent = torch.tensor([not turn.text.strip() for turn in utterances])
    return shares.masked_fill(silent[:, None], 0.0)


def spoken(dialogue: Dialogue) -> tuple[Turn, ...]:
    """Its utterances, as an encoder reads them."""
    said = dialogue.utterances
    return turns([utterance.speaker for utterance in said], [utterance.text for utterance in said])


def written(dialogue: Dialogue) -> tuple[Turn, ...] | None:
    """As `spoken`, of what a recogniser was to hear; None where the words are not those of a recogniser."""
    said = dialogue.utterances
    if all(utterance.spoken is None for utterance in said):
        return None
    words = [utterance.text if utterance.spoken is None else utterance.spoken for utterance in said]
    return turns([utterance.speaker for utterance in said], words)
