"""Tensors of many utterances: side by side (`UtteranceBatch`) or as padded dialogues (`DialogueBatch`).

A dialogue is an `UtteranceBatch` whose rows follow each other in time, so the encoders and the fusion see only this
one type; `pack` and `unpack` are the only code that regroups between padded dialogues and graph nodes.
The rule of this file: absence is in the mask `present` alone. A modality of width 0 is absent everywhere. Values under
an absent mark and behind the end of a dialogue are never read, so they may be anything, NaN included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from erc_live.models.modalities import MODALITIES


@dataclass(frozen=True)
class UtteranceBatch:
    """Utterances, one per row.

    Shapes: text (N, D_t), audio (N, D_a) prosody in raw units with NaN where a value could not be measured,
    visual (N, D_v), speakers (N,) int64, present (N, 3) bool in the order of `MODALITIES`.
    """

    text: Tensor
    audio: Tensor
    visual: Tensor
    speakers: Tensor
    present: Tensor

    @classmethod
    def of(cls, text: Tensor | None, audio: Tensor | None, visual: Tensor | None, speaker: int) -> Self:
        """One live utterance. Shapes: text (D_t,), audio (D_a,), visual (D_v,); None when the modality is missing."""
        vectors = (text, audio, visual)
        rows = [torch.zeros(1, 0) if vector is None else vector.float().reshape(1, -1) for vector in vectors]
        present = torch.tensor([[vector is not None for vector in vectors]])
        return cls(rows[0], rows[1], rows[2], torch.tensor([speaker]), present)

    def __len__(self) -> int:
        """Number of rows."""
        return self.speakers.shape[0]

    def to(self, device: str) -> "UtteranceBatch":
        """The same utterances on another device."""
        return UtteranceBatch(*(value.to(device) for value in vars(self).values()))

    def rows(self, index: Tensor | slice) -> "UtteranceBatch":
        """The utterances that `index` selects."""
        return UtteranceBatch(
            self.text[index], self.audio[index], self.visual[index], self.speakers[index], self.present[index]
        )

    def vectors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three modalities in the order of `MODALITIES`."""
        return self.text, self.audio, self.visual

    def widened(self, dims: Sequence[int]) -> "UtteranceBatch":
        """The same utterances as a model of these widths takes them: every modality at its full width.

        A modality that is of width 0 here or in `dims` (in the order of `MODALITIES`) is absent.

        Raises:
            ValueError: a modality has another width than the model, and neither is 0.
        """
        given = [vectors.shape[1] for vectors in self.vectors()]
        for name, width, dim in zip(MODALITIES, given, dims, strict=True):
            if width != dim and width and dim:
                raise ValueError(f"{name} vectors have width {width}, the model takes {dim}")
        text, audio, visual = (
            vectors if vectors.shape[1] == dim else vectors.new_zeros(len(self), dim)
            for vectors, dim in zip(self.vectors(), dims, strict=True)
        )
        both = torch.tensor([bool(width and dim) for width, dim in zip(given, dims, strict=True)])
        present = self.present & both.to(self.present.device)
        return UtteranceBatch(text, audio, visual, self.speakers, present)


@dataclass(frozen=True)
class DialogueBatch:
    """Dialogues padded to the longest of them.

    Shapes: text (B, T, D_t), audio (B, T, D_a), visual (B, T, D_v), lengths (B,) int64 in 1..T, speakers (B, T) int64,
    present (B, T, 3) bool. Speakers are numbered from 0 in the order of their first appearance in the dialogue.
    """

    text: Tensor
    audio: Tensor
    visual: Tensor
    lengths: Tensor
    speakers: Tensor
    present: Tensor

    @classmethod
    def pad(cls, dialogues: Sequence[UtteranceBatch]) -> Self:
        """Put dialogues of different length side by side; the rows of each are its utterances in time order.

        Raises:
            ValueError: there is no dialogue, or one without utterances.
        """
        lengths = [len(dialogue) for dialogue in dialogues]
        if not lengths or min(lengths) < 1:
            raise ValueError(f"every dialogue needs an utterance, the lengths are {lengths}")
        return cls(
            text=pad_sequence([d.text for d in dialogues], batch_first=True),
            audio=pad_sequence([d.audio for d in dialogues], batch_first=True),
            visual=pad_sequence([d.visual for d in dialogues], batch_first=True),
            lengths=torch.tensor(lengths),
            speakers=pad_sequence([d.speakers for d in dialogues], batch_first=True),
            present=pad_sequence([d.present for d in dialogues], batch_first=True),
        )

    def utterances(self) -> UtteranceBatch:
        """All utterances as graph nodes, padding left out: dialogue after dialogue, each in time order."""
        return UtteranceBatch(
            text=pack(self.text, self.lengths),
            audio=pack(self.audio, self.lengths),
            visual=pack(self.visual, self.lengths),
            speakers=pack(self.speakers, self.lengths),
            present=pack(self.present, self.lengths),
        )


def pack(padded: Tensor, lengths: Tensor) -> Tensor:
    """Padded rows to nodes. Shapes: padded (B, T, ...), lengths (B,) -> (N, ...), N = lengths.sum()."""
    return padded[_inside(padded.shape[1], lengths)]


def unpack(nodes: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """Nodes to zero-padded rows, the inverse of `pack`. Shapes: nodes (N, ...), lengths (B,) -> (B, steps, ...)."""
    padded = nodes.new_zeros(len(lengths), steps, *nodes.shape[1:])
    padded[_inside(steps, lengths)] = nodes
    return padded


def _inside(steps: int, lengths: Tensor) -> Tensor:
    return torch.arange(steps, device=lengths.device) < lengths[:, None]
