"""What a face shows, as eight log-probabilities: a small residual network on 48x48 grey pictures.

Training and live use this same class, so features cannot drift apart. Each face is standardised alone (mean 0,
deviation 1), so that neither brightness nor contrast nor the other faces of a batch matter. The answer is the mean of
those for the face and for its mirror image, since an expression has no side. No state, no I/O but `load`; finding and
cropping faces is the work of the live room. The dialogue graph gets these calibrated log-probabilities and no wide
vector, for the reason that `audio_vector.py` gives. Which faces of an utterance are averaged is no matter of the
encoder: `live/vision/expression.py` has the rule, and that of VisExtNet (`visual.faces = "all"`).

Network: residual blocks (He et al. 2016) with squeeze and excitation (Hu, Shen and Sun 2018).
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from erc_live.models.encoders.folder import Kind, load

FACE_LABELS: tuple[str, ...] = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
FACE_PX = 48
KIND = Kind("face", "erc.face/1", FACE_LABELS)

_AT_ONCE = 64  # faces per step of the network, which bounds its memory to 60 MB
_FLATTEST = 4.0  # grey levels of deviation under which a picture shows nothing; a division by less would show its noise


class FaceNetwork(nn.Module):
    """Logits of the labels. Shapes: (n, 1, px, px) float32, standardised -> (n, 8); px is 48, or less in training."""

    def __init__(self, widths: tuple[int, ...] = (48, 96, 160), depths: tuple[int, ...] = (1, 2, 2)) -> None:
        super().__init__()
        stem = nn.Conv2d(1, widths[0], 5, stride=2, padding=2, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        width = widths[0]
        for stage, (wide, depth) in enumerate(zip(widths, depths, strict=True)):
            for place in range(depth):
                layers.append(_FaceBlock(width, wide, stride=2 if stage > 0 and place == 0 else 1))
                width = wide
        self.layers = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, len(FACE_LABELS))

    def forward(self, pictures: Tensor) -> Tensor:
        seen: Tensor = self.layers(pictures).mean((2, 3))
        logits: Tensor = self.head(self.drop(seen))
        return logits


class _FaceBlock(nn.Module):
    """Two convolutions beside a shortcut; the channels are weighed by what the whole picture shows."""

    def __init__(self, width: int, wide: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, wide, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(wide)
        self.second = nn.Conv2d(wide, wide, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(wide)
        self.squeeze = nn.Linear(wide, wide // 8)
        self.excite = nn.Linear(wide // 8, wide)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or width != wide:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide)
            )

    def forward(self, seen: Tensor) -> Tensor:
        change = F.relu(self.first_norm(self.first(seen)), inplace=True)
        change = self.second_norm(self.second(change))
        weight = torch.sigmoid(self.excite(F.relu(self.squeeze(change.mean((2, 3))))))
        return F.relu(self.shortcut(seen) + change * weight[:, :, None, None], inplace=True)


def standardise(pictures: Tensor) -> Tensor:
    """Each picture to mean 0 and deviation 1. Shapes: (n, px, px) grey levels -> (n, 1, px, px) float32."""
    grey = pictures.float().flatten(1)
    mean, deviation = grey.mean(1, keepdim=True), grey.std(1, keepdim=True, correction=0)
    return ((grey - mean) / deviation.clamp_min(_FLATTEST)).view(len(pictures), 1, *pictures.shape[1:])


class FaceEncoder:
    """`encoder(faces)` reads faces; `fingerprint` names its weights. Other faces beside a face do not matter (1e-5)."""

    labels = FACE_LABELS
    dim = len(FACE_LABELS)

    def __init__(self, network: FaceNetwork, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        last: Any = nn.utils.convert_conv2d_weight_memory_format(network.float().eval(), torch.channels_last)
        self._network = last  # 1.3 times as fast so

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read weights and card in `folder`.

        Raises:
            WeightsError: a file is missing or damaged, or the weights are not those of the card.
        """
        network, digest = load(
            folder, KIND, lambda card: FaceNetwork(**{name: tuple(value) for name, value in card["network"].items()})
        )
        return cls(network, digest[:12])

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """Natural logarithms of the probabilities of the labels, in the order of `FACE_LABELS`.

        Shapes: (n, 48, 48) uint8 grey, n >= 0 -> (n, 8) float32. Raises ValueError for another shape or type.
        """
        if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1:] != (FACE_PX, FACE_PX):
            raise ValueError(f"faces must be uint8 (n, {FACE_PX}, {FACE_PX}), these are {faces.dtype} {faces.shape}")
        pictures = torch.from_numpy(np.ascontiguousarray(faces))
        rows: np.ndarray = self.logits(pictures).log_softmax(1).numpy()
        return rows

    @torch.inference_mode()
    def logits(self, faces: Tensor) -> Tensor:
        """Means over each face and its mirror image. Shapes: (n, 48, 48) uint8 -> (n, 8) float32."""
        device = self._network.head.weight.device
        parts = [self._both(standardise(part.to(device))).cpu() for part in torch.split(faces, _AT_ONCE) if len(part)]
        return torch.cat(parts or [torch.empty(0, self.dim)])

    def _both(self, faces: Tensor) -> Tensor:
        pictures = torch.cat([faces, faces.flip(3)]).contiguous(memory_format=torch.channels_last)
        mean: Tensor = self._network(pictures).view(2, len(faces), self.dim).mean(0)
        return mean
