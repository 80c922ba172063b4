"""What a run learns from, and how an epoch of it is drawn.

No two epochs see the same: what live use does to data (`augment.py`) and what is composed (`compose.py`) is drawn anew.
The rule of this file: an epoch depends on its generator alone, so a run that was interrupted goes on as if it had not
been.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import CorpusError
from erc_live.models.modalities import MODALITIES
from erc_live.models.training.augment import Disturbance, bare, chance, disturb
from erc_live.models.training.compose import Composition
from erc_live.models.training.config import Run
from erc_live.models.training.evaluate import only
from erc_live.models.training.examples import AUDIO_DIM, VISUAL_DIM, Example, encoded, vectors


@dataclass(frozen=True)
class Material:
    """Labelled dialogues of both splits, all of whose labels are in `labels`; `corpora` are their names.

    `encoders` are the fingerprints of what the audio and visual vectors were measured with. `composition` fills in the
    voices and faces that the corpus lacks.
    """

    corpora: tuple[str, ...]
    labels: tuple[str, ...]
    train: Sequence[Example]
    dev: Sequence[Example]
    encoders: Mapping[str, str]
    composition: Composition | None = None

    def counts(self) -> Tensor:
        """How often each label occurs in train. Shapes: -> (C,) int64"""
        return label_counts(self.train, len(self.labels))

    def check(self) -> list[str]:
        """What makes a poor corpus, in words. Raises CorpusError when nothing at all can be learnt from it."""
        notes = []
        for name, split in (("train", self.train), ("dev", self.dev)):
            counts = label_counts(split, len(self.labels))
            if not counts.any():
                raise CorpusError(f"{' and '.join(self.corpora)}: no utterance of {name} has a label")
            empty = [label for label, count in zip(self.labels, counts.tolist(), strict=True) if not count]
            if empty:
                notes.append(f"no utterance of {name} is labelled {', '.join(empty)}")
            if len(split) == 1:
                notes.append(f"{name} is a single dialogue: its scores say little")
        return notes + ([] if self.composition is None else self.composition.shortcomings())

    def digest(self) -> str:
        """Names what is learnt from: 16 hex digits."""
        digest = hashlib.sha256(
            repr((self.labels, dict(self.encoders), self.composition and self.composition.described())).encode()
        )
        for example in (*self.train, *self.dev):
            digest.update(repr((example.name, example.texts, example.labels.tolist())).encode())
            digest.update(example.utterances.audio.numpy().tobytes())
            digest.update(example.utterances.visual.numpy().tobytes())
        return digest.hexdigest()[:16]

    def only(self, modalities: Sequence[str]) -> "Material":
        """The same without the other modalities. Raises CorpusError when none of these is in the corpus."""
        composition = self.composition and self.composition.only(modalities)
        kept = replace(
            self, train=only(self.train, modalities), dev=only(self.dev, modalities), composition=composition
        )
        if not any(kept.present()):
            raise CorpusError(f"{' and '.join(self.corpora)}: no utterance of train has {' or '.join(modalities)}")
        return kept

    def shown(self) -> list[Example]:
        """Train with all that is composed for it."""
        if self.composition is None:
            return list(self.train)
        return self.composition.train(self.train, torch.Generator().manual_seed(0))

    def judged(self, dev: Sequence[Example]) -> list[Example]:
        """What epochs are chosen on: dev as it is and, if there is a composition, once more with that."""
        return [*dev, *([] if self.composition is None else self.composition.dev(dev))]

    def present(self) -> tuple[bool, bool, bool]:
        """Whether train has any text, audio, visual."""
        text, audio, visual = torch.cat([example.utterances.present for example in self.shown()]).any(0).tolist()
        return text, audio, visual

    def dims(self, text_dim: int) -> dict[str, int]:
        """Widths of a network for it; a modality that train lacks is of width 0, for nothing can be learnt about it."""
        widths = (text_dim, AUDIO_DIM, VISUAL_DIM)
        return {
            f"{name}_dim": width if there else 0
            for name, width, there in zip(MODALITIES, widths, self.present(), strict=True)
        }


@dataclass(frozen=True)
class Lesson:
    """What one learner is given: training dialogues to draw epochs from, dev dialogues to be judged by.

    `bare` are the text vectors of train without punctuation, one row for each utterance; None where texts are encoded
    anew in each step, because their encoder is tuned. `offsets` (C,) are on the logits while they learn.
    """

    train: Sequence[Example]
    bare: Sequence[Tensor] | None
    dev: Sequence[Example]
    offsets: Tensor
    how: Disturbance
    composition: Composition | None

    def draw(self, generator: Generator) -> list[Example]:
        """One epoch of train, in the order of the corpus."""
        dialogues = self.train
        if self.composition is not None:
            dialogues = self.composition.train(dialogues, generator)
        drawn = []
        for place, example in enumerate(dialogues):
            unmarked = chance(self.how.unpunctuated, len(example), generator)
            utterances, texts = example.utterances, example.texts
            if self.bare is None:
                texts = tuple(bare(text) if un else text for text, un in zip(texts, unmarked.tolist(), strict=True))
            else:
                text = torch.where(unmarked[:, None], self.bare[place], utterances.text)
                utterances = replace(utterances, text=text)
            drawn.append(replace(example, texts=texts, utterances=disturb(utterances, self.how, generator)))
        return drawn


def with_vectors(dialogues: Sequence[Example], encoder: TextEncoder, run: Run) -> tuple[list[Example], list[Tensor]]:
    """Dialogues with their text vectors, and the vectors of their bare texts."""
    unmarked = [replace(example, texts=tuple(map(bare, example.texts))) for example in dialogues]
    plain = vectors(unmarked, encoder, run.cache, run.encoding)
    return encoded(dialogues, encoder, run.cache, run.encoding), list(
        torch.split(plain, [len(one) for one in unmarked])
    )


def label_counts(dialogues: Sequence[Example], classes: int) -> Tensor:
    """How often each label occurs. Shapes: -> (classes,) int64"""
    labels = torch.cat([example.labels for example in dialogues])
    return torch.bincount(labels[labels >= 0], minlength=classes)
