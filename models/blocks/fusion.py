"""Three modalities, any of them missing, to one vector per utterance.

Each modality is projected to the same width and the projections are added; a missing one contributes a learned vector
instead, so the network knows that it is missing, and no zero ever means "absent".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from erc_live.models.batch import UtteranceBatch
from erc_live.models.modalities import MODALITIES

CLIP = 4.0  # robust standard deviations; some MELD clips are cut wrongly and their prosody is nonsense


class RobustScale(nn.Module):
    """Raw measurements to numbers near 0, by median and quartiles of the training corpus, kept with the weights.

    out = [clip((x - median) / spread, +-4), measured], with 0 for the value and for `measured` where x is NaN. What the
    corpus never measured (its median is NaN) counts as not measured ever after: nothing was learnt about it.
    Statistics of the speaker or of the whole call would be better scaled but would look into the future.

    Shapes: (N, D) -> (N, 2 D)
    """

    median: Tensor
    spread: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("median", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))

    def fit(self, values: Tensor) -> None:
        """Take the statistics of a corpus.

        Shapes: values (N, D), NaN where not measured.
        """
        if not values.shape[1]:
            return  # nothing is measured at all
        low, middle, high = torch.nanquantile(values, torch.tensor([0.25, 0.5, 0.75], dtype=values.dtype), dim=0)
        self.median.copy_(middle)
        spread = (high - low) / 1.349  # the quartiles of a normal law are 1.349 standard deviations apart
        self.spread.copy_(spread.clamp(min=1e-6).nan_to_num(1.0))

    def forward(self, values: Tensor) -> Tensor:
        measured = values.isfinite() & self.median.isfinite()
        scaled = ((values - self.median) / self.spread).clamp(-CLIP, CLIP)
        return torch.cat((torch.where(measured, scaled, 0.0), measured.to(scaled.dtype)), dim=-1)


class Fusion(nn.Module):
    """fused = sum over modalities m of (project_m(x_m) if present else missing_m)

    Text and visual vectors: linear projection of the normalised vector. Prosody: a small network on `RobustScale`.
    A modality of width 0 is always missing.

    Shapes: UtteranceBatch of N rows -> (N, width)

    Args:
        dims: width of the vectors of each modality, in the order of `MODALITIES`.
        width: width of the fused vector.
        dropout: on the vectors and inside the prosody network.
    """

    def __init__(self, dims: Sequence[int], width: int, dropout: float) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.scale = RobustScale(dims[1])
        self.project = nn.ModuleDict(
            {
                "text": _linear(dims[0], width, dropout),
                "audio": _small(2 * dims[1], width, dropout),
                "visual": _linear(dims[2], width, dropout),
            }
        )
        self.missing = nn.Parameter(torch.zeros(len(MODALITIES), width))

    def forward(self, utterances: UtteranceBatch) -> Tensor:
        return self.modalities(utterances).sum(1)

    def modalities(self, utterances: UtteranceBatch) -> Tensor:
        """Each modality by itself, projected or missing. Shapes: N rows -> (N, 3, width)"""
        projections = [
            self._project(m, values, utterances.present[:, m, None]) for m, values in enumerate(utterances.vectors())
        ]
        return torch.stack(projections, dim=1)

    def _project(self, m: int, values: Tensor, present: Tensor) -> Tensor:
        require_width(m, values.shape[-1], self.dims[m])
        if values.shape[-1] == 0:
            return self.missing[m].expand(len(values), -1)
        clean = torch.where(present, values, 0.0)  # behind an absent mark may be NaN, which would spoil the gradients
        if MODALITIES[m] == "audio":
            clean = self.scale(clean)
        return torch.where(present, self.project[MODALITIES[m]](clean), self.missing[m])


def require_width(m: int, width: int, dim: int) -> None:
    """Refuse vectors of modality `m` that have another width than the model takes, unless there are none. Raises
    ValueError.
    """
    if width not in (0, dim):
        raise ValueError(f"{MODALITIES[m]} vectors have width {width}, the model takes {dim}")


def _linear(dim: int, width: int, dropout: float) -> nn.Module:
    if dim == 0:
        return nn.Identity()
    return nn.Sequential(nn.LayerNorm(dim), nn.Dropout(dropout), nn.Linear(dim, width))


def _small(dim: int, width: int, dropout: float) -> nn.Module:
    if dim == 0:
        return nn.Identity()
    return nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
