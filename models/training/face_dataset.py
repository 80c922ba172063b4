"""Labelled faces and the votes of a crowd on them.

What is learnt is the share of the crowd that would choose each label (Barsoum, Zhang, Ferrer and Zhang 2016: "Training
deep networks for facial expression recognition with crowd-sourced label distribution"; as there, single votes are noise
and dropped).
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from erc_live.models.encoders.face import FACE_LABELS


@dataclass(frozen=True)
class FaceDataset:
    """Labelled faces: grey levels, the share of the votes for each label, the label with most votes, and whether that
    has more than half of all votes.

    Shapes: pictures (n, 48, 48) uint8, shares (n, 8) float32, labels (n,) int64, clear (n,) bool.
    """

    pictures: Tensor
    shares: Tensor
    labels: Tensor
    clear: Tensor

    @classmethod
    def of(cls, pictures: Tensor, votes: Tensor) -> "FaceDataset":
        """Those of which most votes are for one of the labels, and not for "unknown" or "not a face".

        Shapes: (n, 48, 48) uint8; votes (n, 10), first the labels, then those two.
        """
        votes = votes.float()
        counted = torch.where(votes > 1, votes, 0.0)[:, : len(FACE_LABELS)]
        chosen = (votes.argmax(1) < len(FACE_LABELS)) & (counted.sum(1) > 0)
        counted, votes = counted[chosen], votes[chosen]
        most, labels = votes[:, : len(FACE_LABELS)].max(1)
        return cls(pictures[chosen], counted / counted.sum(1, keepdim=True), labels, most * 2 > votes.sum(1))

    def digest(self) -> str:
        """Names what is learnt from: 16 hex digits."""
        return hashlib.sha256(self.pictures.numpy().tobytes() + self.shares.numpy().tobytes()).hexdigest()[:16]
