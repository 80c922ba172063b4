"""Dialogues of a corpus as tensors, text still as words: what training and evaluation share."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.losses import UNLABELLED
from erc_live.models.training.corpora import LABELS, PROSODY, Dialogue


@dataclass(frozen=True)
class Example:
    """One dialogue: its texts, its utterances (their text of width 0 until it is encoded) and its labels (T,)."""

    texts: tuple[str, ...]
    utterances: UtteranceBatch
    labels: Tensor

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.texts)


def examples(dialogues: Sequence[Dialogue]) -> list[Example]:
    """Dialogues as tensors; labels are indices into `LABELS`, `UNLABELLED` where there is none."""
    return [_example(dialogue) for dialogue in dialogues]


def _example(dialogue: Dialogue) -> Example:
    lines = dialogue.lines
    unmeasured = (nan,) * len(PROSODY)
    utterances = UtteranceBatch(
        text=torch.zeros(len(lines), 0),
        audio=torch.tensor([line.prosody or unmeasured for line in lines]),
        visual=torch.zeros(len(lines), 0),
        speakers=torch.tensor([line.speaker for line in lines]),
        present=torch.tensor([[True, line.prosody is not None, False] for line in lines]),
    )
    labels = [UNLABELLED if line.emotion is None else LABELS.index(line.emotion) for line in lines]
    return Example(tuple(line.text for line in lines), utterances, torch.tensor(labels))


def with_text(batch: Sequence[Example], vectors: Tensor) -> list[UtteranceBatch]:
    """The utterances of each dialogue with their text vectors. Shapes: vectors (N, D) of all, one after the other."""
    parts = torch.split(vectors, [len(example) for example in batch])
    return [replace(example.utterances, text=part) for example, part in zip(batch, parts, strict=True)]


def encoded(batch: Sequence[Example], encoder: TextEncoder, cache: Path) -> list[Example]:
    """The same dialogues with text vectors, which are kept in the folder `cache`: a second run is fast."""
    texts = [text for example in batch for text in example.texts]
    key = hashlib.sha256("\n".join((encoder.fingerprint, *texts)).encode()).hexdigest()[:12]
    path = cache / f"text-{key}.safetensors"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        save_file({"vectors": encoder.encode(texts)}, path)
    dialogues = with_text(batch, load_file(path)["vectors"])
    return [replace(example, utterances=d) for example, d in zip(batch, dialogues, strict=True)]


def collate(dialogues: Sequence[UtteranceBatch], labels: Sequence[Tensor]) -> tuple[DialogueBatch, Tensor]:
    """Side by side. Shapes: -> a batch of B dialogues, labels (B, T) with `UNLABELLED` as padding."""
    padded = pad_sequence(list(labels), batch_first=True, padding_value=UNLABELLED)
    return DialogueBatch.pad(dialogues), padded
