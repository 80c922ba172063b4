"""Labelled faces and the votes of a crowd on them.

What is learnt is the share of the crowd that would choose each label (Barsoum, Zhang, Ferrer and Zhang 2016: "Training
deep networks for facial expression recognition with crowd-sourced label distribution"; as there, single votes are noise
and dropped).

FER2013 was gathered by search engines, and holds some pictures more than once, also in several of its splits. So people
cannot be kept apart, for nobody knows who they are; but what is learnt from and what is scored can share no picture.
"""

import hashlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from erc_live.models.encoders.face import FACE_LABELS, standardise

NEAR = 0.98  # correlation of two pictures, at half their size, from which on they count as one
AT_ONCE = 1_000  # pictures that are compared with all others, which bounds the memory


@dataclass(frozen=True)
class FaceDataset:
    """Labelled faces: grey levels, the share of the votes for each label, the label with most votes, and whether that
    has more than half of the votes that count, those for "unknown" and "not a face" among them.

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
        counted = torch.where(votes > 1, votes, 0.0)
        chosen = (votes.argmax(1) < len(FACE_LABELS)) & (counted[:, : len(FACE_LABELS)].sum(1) > 0)
        counted = counted[chosen]
        named = counted[:, : len(FACE_LABELS)]
        most, labels = named.max(1)
        return cls(pictures[chosen], named / named.sum(1, keepdim=True), labels, most * 2 > counted.sum(1))

    def apart_from(self, others: Tensor) -> "FaceDataset":
        """Those without a near copy among other pictures. Shapes: others (m, 48, 48) uint8"""
        kept = ~copied(self.pictures, others)
        return FaceDataset(self.pictures[kept], self.shares[kept], self.labels[kept], self.clear[kept])

    def digest(self) -> str:
        """Names what is learnt from: 16 hex digits."""
        return hashlib.sha256(self.pictures.numpy().tobytes() + self.shares.numpy().tobytes()).hexdigest()[:16]


def copied(pictures: Tensor, others: Tensor) -> Tensor:
    """Which pictures have a near copy among others. Shapes: (n, px, px) and (m, px, px) grey levels -> (n,) bool"""
    theirs = _unit(others)
    return torch.cat([(part @ theirs.T >= NEAR).any(1) for part in torch.split(_unit(pictures), AT_ONCE)])


def pictures_alike(pictures: Tensor) -> list[int]:
    """A number for each picture, one for all that are near copies of each other, or of copies of these.

    Shapes: (n, px, px) grey levels -> n numbers, each the place of the first of its like.
    """
    unit = _unit(pictures)
    near = [(part @ unit.T >= NEAR).nonzero() for part in torch.split(unit, AT_ONCE)]
    pairs = torch.cat([pair + torch.tensor([step * AT_ONCE, 0]) for step, pair in enumerate(near)])
    first = torch.arange(len(pictures))
    while True:
        lower = first.scatter_reduce(0, pairs[:, 0], first[pairs[:, 1]], "amin")
        if torch.equal(lower, first):
            return [int(place) for place in first]
        first = lower


def _unit(pictures: Tensor) -> Tensor:
    """Vectors whose products are correlations, of pictures at half their size. Shapes: (n, px, px) -> (n, px² / 4)"""
    return F.normalize(F.avg_pool2d(standardise(pictures), 2).flatten(1), dim=1)
