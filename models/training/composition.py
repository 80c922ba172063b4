"""Voices and faces for a corpus that has none: held-out clips and pictures of its labels, spoilt until they are worth
what such cues are worth in real conversation.

Acted clips and posed faces say their emotion too clearly: a network that learns from them as they are trusts voices and
faces far too much. So an utterance gets, with probability p, the vector of a clip of its own label, and else that of a
clip whose label is drawn from the frequencies of the corpus. p is chosen, for each modality, so that the modality alone
(the real prosody included) is worth on the composed dev dialogues what was published for real ones. "Worth" is the
weighted F1 of a multinomial logistic regression, the least that can be made of a vector.

What is lost by this: a composed voice knows nothing of the words, the speaker or the utterance before. Scores with it
are scores on composed data.

The rule of this file: training and dev draw from different people, and what was measured in the corpus stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Self

import torch
from torch import Generator, Tensor
from torch.nn import functional

from erc_live.models.blocks.fusion import RobustScale
from erc_live.models.corpora.dialogue import PROSODY
from erc_live.models.errors import CorpusError
from erc_live.models.losses import UNLABELLED
from erc_live.models.training.augment import chance
from erc_live.models.training.dialogue_dataset import Example
from erc_live.models.training.metrics import confusion, weighted_f1

# Weighted F1 of one modality alone on MELD: MultiEMO (Shi and Huang, ACL 2023), table 3.
WORTH = {"audio": 0.336, "visual": 0.332}
PRESENT = 0.25  # of the composed vectors in training: they are the less certain part of what is learnt
HALVINGS = 10  # of the interval of p: to 0.001
DRAWS = 5  # compositions of dev that a worth is the mean of: one of MELD's dev alone strays by 0.01
NEAR = 0.02  # a worth that is no nearer to what it should be is told
RIDGE = 1e-4  # on the weights of the probe


@dataclass(frozen=True)
class Bank:
    """Vectors of clips or pictures, (N, D) log-probabilities, and the classes of the corpus they show, (N,) int64.

    `name` says where they come from.
    """

    name: str
    vectors: Tensor
    classes: Tensor

    @classmethod
    def of(cls, name: str, vectors: Tensor, vector_labels: Sequence[str], labels: Sequence[str]) -> Self:
        """A bank for the labels of a corpus, of vectors that show these labels; others are left out.

        Raises:
            CorpusError: a label of the corpus has no vector.
        """
        missing = sorted(set(labels) - set(vector_labels))
        if missing:
            raise CorpusError(f"{name} shows no {' and no '.join(missing)}: the corpus cannot be composed of it")
        kept = [row for row, label in enumerate(vector_labels) if label in labels]
        return cls(name, vectors[kept].float(), torch.tensor([labels.index(vector_labels[row]) for row in kept]))

    def pick(self, classes: Tensor, generator: Generator) -> Tensor:
        """A vector of each class, any one as likely as another. Shapes: classes (N,) -> (N, D)"""
        order = self.classes.argsort(stable=True)
        counts = torch.bincount(self.classes)
        first = counts.cumsum(0) - counts
        place = (torch.rand(len(classes), generator=generator) * counts[classes]).long()
        return self.vectors[order[first[classes] + place]]


@dataclass(frozen=True)
class Banks:
    """What one split is composed of; None: that modality is left as it is."""

    voice: Bank | None
    face: Bank | None


@dataclass(frozen=True)
class Rules:
    """How to compose. `prior` (C,): frequencies of the labels. `voice`, `face`: probability p of the own label.
    `present`: probability of a composed vector to be there.
    """

    prior: Tensor
    voice: float
    face: float
    present: float = 1.0


@dataclass(frozen=True)
class Composition:
    """The banks of both splits and the rules that were found for them; `worth` says what they came to on dev."""

    train_banks: Banks
    dev_banks: Banks
    rules: Rules
    worth: dict[str, float]

    def train(self, dialogues: Sequence[Example], generator: Generator) -> list[Example]:
        """One epoch's composition of the training dialogues."""
        return compose(dialogues, self.train_banks, replace(self.rules, present=PRESENT), generator)

    def dev(self, dialogues: Sequence[Example]) -> list[Example]:
        """The composition of the dev dialogues, always the same one."""
        return compose(dialogues, self.dev_banks, self.rules, torch.Generator().manual_seed(0))

    def only(self, modalities: Sequence[str]) -> "Composition":
        """The same without the banks of other modalities."""
        voice, face = "audio" in modalities, "visual" in modalities
        train, dev = (
            Banks(banks.voice if voice else None, banks.face if face else None)
            for banks in (self.train_banks, self.dev_banks)
        )
        return replace(self, train_banks=train, dev_banks=dev)

    def shortcomings(self) -> list[str]:
        """Modalities that came to something else than they should, in words."""
        return [
            f"the composed {modality} is worth {worth:.3f} W-F1 on dev instead of {WORTH[modality]:.3f}"
            for modality, worth in self.worth.items()
            if abs(worth - WORTH[modality]) > NEAR
        ]

    def for_card(self) -> dict[str, object]:
        """What a model card says of it."""
        banks = (self.train_banks.voice, self.dev_banks.voice, self.train_banks.face, self.dev_banks.face)
        names = [bank.name for bank in banks if bank is not None]
        return {"of": names, "own_label": {"voice": self.rules.voice, "face": self.rules.face}, "worth": self.worth}


def compose(dialogues: Sequence[Example], banks: Banks, rules: Rules, generator: Generator) -> list[Example]:
    """The same dialogues with voices and faces from the banks where none was measured.

    An utterance without a label is drawn as if its label were any.
    """
    lengths = [len(example) for example in dialogues]
    labels = torch.cat([example.labels for example in dialogues])
    audio = torch.cat([example.utterances.audio for example in dialogues])
    visual = torch.cat([example.utterances.visual for example in dialogues])
    if banks.voice is not None:
        voices = _draw(banks.voice, labels, (rules.voice, rules.present), rules.prior, generator)
        filled = torch.cat((audio[:, : len(PROSODY)], voices), dim=1)
        audio = torch.where(audio[:, len(PROSODY) :].isfinite().any(1, keepdim=True), audio, filled)
    if banks.face is not None:
        faces = _draw(banks.face, labels, (rules.face, rules.present), rules.prior, generator)
        visual = torch.where(visual.isfinite().all(1, keepdim=True), visual, faces)
    return [
        _refilled(example, audio_rows, visual_rows)
        for example, audio_rows, visual_rows in zip(
            dialogues, torch.split(audio, lengths), torch.split(visual, lengths), strict=True
        )
    ]


def _draw(bank: Bank, labels: Tensor, odds: tuple[float, float], prior: Tensor, generator: Generator) -> Tensor:
    """Vectors for utterances, NaN where they are not there; `odds` of the own label and of being there."""
    own, present = odds
    anything = torch.multinomial(prior, len(labels), replacement=True, generator=generator)
    truly = chance(own, len(labels), generator) & (labels != UNLABELLED)
    rows = bank.pick(torch.where(truly, labels, anything), generator)
    return torch.where(chance(present, len(labels), generator)[:, None], rows, nan)


def _refilled(example: Example, audio: Tensor, visual: Tensor) -> Example:
    given = example.utterances
    present = torch.stack((given.present[:, 0], audio.isfinite().any(1), visual.isfinite().all(1)), dim=1)
    return replace(example, utterances=replace(given, audio=audio, visual=visual, present=present))


def composition(
    train: Sequence[Example], dev: Sequence[Example], banks: tuple[Banks, Banks], classes: int
) -> Composition:
    """Find how far to spoil the banks of train and dev, so that each modality alone is worth `WORTH`.

    Where even the true labels are not worth as much, p is 1; where the modality is worth more without the bank, p is 0.
    """
    labels = torch.cat([example.labels for example in train])
    prior = torch.bincount(labels[labels != UNLABELLED], minlength=classes).float()
    p, worths = {}, {}
    for modality, name in (("audio", "voice"), ("visual", "face")):
        chosen = [Banks(**{"voice": None, "face": None, name: getattr(each, name)}) for each in banks]
        p[name] = 0.0
        if getattr(banks[0], name) is None or getattr(banks[1], name) is None:
            continue

        def worth(own: float, chosen: list[Banks] = chosen, modality: str = modality) -> float:
            return _worth((train, dev), (chosen[0], chosen[1]), Rules(prior, own, own), modality)

        p[name] = bisect(worth, WORTH[modality])
        worths[modality] = worth(p[name])
    return Composition(banks[0], banks[1], Rules(prior, **p), worths)


def bisect(worth: Callable[[float], float], target: float) -> float:
    """The p in [0, 1] at which a rising `worth` reaches the target; the nearer end where it does not."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if worth(middle) < target else (low, middle)
    return (low + high) / 2


def _worth(
    splits: tuple[Sequence[Example], Sequence[Example]], banks: tuple[Banks, Banks], rules: Rules, modality: str
) -> float:
    """Weighted F1 on composed dev of a probe trained on composed train. The draws are the same for every p."""
    generator = torch.Generator().manual_seed(0)
    x, y = _rows(compose(splits[0], banks[0], rules, generator), modality)
    scale = RobustScale(x.shape[1])
    scale.fit(x)
    classes = len(rules.prior)
    probe = _regression(scale(x), y, classes)
    scores = []
    for _ in range(DRAWS):
        x, y = _rows(compose(splits[1], banks[1], rules, generator), modality)
        scores.append(weighted_f1(confusion(y, probe(scale(x)).argmax(-1), classes)))
    return sum(scores) / DRAWS


def _rows(dialogues: Sequence[Example], modality: str) -> tuple[Tensor, Tensor]:
    rows = torch.cat([getattr(example.utterances, modality) for example in dialogues])
    labels = torch.cat([example.labels for example in dialogues])
    return rows[labels != UNLABELLED], labels[labels != UNLABELLED]


def _regression(x: Tensor, y: Tensor, classes: int) -> Callable[[Tensor], Tensor]:
    """Multinomial logistic regression by L-BFGS. Shapes: x (N, D), y (N,); the result maps (M, D) -> (M, classes)"""
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = functional.cross_entropy(functional.linear(x, weight, bias), y) + RIDGE * weight.square().sum()
        torch.autograd.backward(value)
        return value

    search.step(loss)  # type: ignore[no-untyped-call]
    return lambda rows: functional.linear(rows, weight.detach(), bias.detach())
