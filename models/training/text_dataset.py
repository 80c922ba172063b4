"""Texts of a corpus, each with what was said before it, and how often each label is right for it."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from erc_live.models.corpora.dialogue import Dialogue, Split
from erc_live.models.encoders.turns import Turn, turns
from erc_live.models.errors import CorpusError
from erc_live.models.training.prediction import read_estimates

DROWNING = 0.75  # a label that more utterances have than this share ...
THINNED = 0.5  # ... keeps so many, for each utterance of all the others
RARELY = 0.05  # least chance of a pseudo-labelled utterance to be drawn, beside 1 of those that look like other labels


@dataclass(frozen=True)
class TextDataset:
    """Texts of a corpus, each with what was said before it and the probability of each label. These are 0 and 1, if
    people gave the labels; `pseudo` says where a model did.

    Shapes, of n texts: shares (n, classes) float32, pseudo (n,) bool.
    """

    corpus: str
    texts: tuple[str, ...]
    contexts: tuple[tuple[Turn, ...], ...]
    shares: Tensor
    pseudo: Tensor

    @classmethod
    def of(cls, split: Split, labels: Sequence[str]) -> "TextDataset":
        """Every utterance that has a text and a label. Raises CorpusError when there is none."""
        rows = [
            (utterance.text, context, labels.index(utterance.label))
            for dialogue in split.dialogues
            for utterance, context in zip(dialogue.utterances, _contexts(dialogue), strict=True)
            if utterance.label is not None and utterance.text.strip()
        ]
        if not rows:
            raise CorpusError(f"{split.corpus}: no utterance of {split.name} has a text and a label")
        texts, contexts, classes = zip(*rows, strict=True)
        shares = functional.one_hot(torch.tensor(classes), len(labels)).float()
        return cls(split.corpus, texts, contexts, shares, torch.zeros(len(texts), dtype=torch.bool))

    @classmethod
    def estimated(cls, path: Path, labels: Sequence[str]) -> "TextDataset":
        """Every utterance of a file that `erc-live predict` wrote. Raises CorpusError when it is not such a file."""
        rows = [
            (utterance.text, context, shares)
            for dialogue, estimates in read_estimates(path, labels)
            for utterance, context, shares in zip(dialogue.utterances, _contexts(dialogue), estimates, strict=True)
            if utterance.text.strip()
        ]
        if not rows:
            raise CorpusError(f"{path}: no utterance has a text")
        texts, contexts, shares = zip(*rows, strict=True)
        return cls(path.stem, texts, contexts, torch.tensor(shares), torch.ones(len(rows), dtype=torch.bool))

    @property
    def labels(self) -> Tensor:
        """The likeliest label of each. Shapes: (n,) int64"""
        return self.shares.argmax(1)

    def lengths(self) -> list[int]:
        """Of each, with what was said before it, in characters."""
        pairs = zip(self.texts, self.contexts, strict=True)
        return [len(text) + sum(len(turn.text) for turn in context) for text, context in pairs]

    def digest(self) -> str:
        """Names what is learnt from: 16 hex digits."""
        content = repr((self.texts, self.contexts, self.shares.tolist()))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def thinned(self, generator: Generator) -> "TextDataset":
        """Without most of the utterances of a label that drowns the others."""
        labels = self.labels
        counts = torch.bincount(labels)
        most = int(counts.argmax())
        others = len(labels) - int(counts[most])
        if counts[most] <= DROWNING * len(labels):
            return self
        common = torch.nonzero(labels == most)[:, 0]
        left = common[torch.randperm(len(common), generator=generator)[: math.ceil(THINNED * others)]]
        rows = torch.cat((torch.nonzero(labels != most)[:, 0], left)).sort().values
        return self.rows(rows.tolist())

    def drawn(self, count: int, generator: Generator) -> "TextDataset":
        """At most so many, the likelier the less they look like the commonest label."""
        if count >= len(self.texts):
            return self
        commonest = int(self.shares.sum(0).argmax())
        chance = (1 - self.shares[:, commonest]).clamp(min=RARELY)
        return self.rows(torch.multinomial(chance, count, generator=generator).sort().values.tolist())

    def rows(self, places: Sequence[int]) -> "TextDataset":
        """Some of them."""
        return TextDataset(
            self.corpus,
            tuple(self.texts[i] for i in places),
            tuple(self.contexts[i] for i in places),
            self.shares[list(places)],
            self.pseudo[list(places)],
        )

    def __add__(self, other: "TextDataset") -> "TextDataset":
        """These and then those."""
        return TextDataset(
            f"{self.corpus} {other.corpus}",
            self.texts + other.texts,
            self.contexts + other.contexts,
            torch.cat((self.shares, other.shares)),
            torch.cat((self.pseudo, other.pseudo)),
        )


def _contexts(dialogue: Dialogue) -> list[tuple[Turn, ...]]:
    spoken = dialogue.utterances
    return turns([utterance.speaker for utterance in spoken], [utterance.text for utterance in spoken])
