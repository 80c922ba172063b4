"""Who a voice belongs to, as a unit vector: a recurrent network on the mel spectrogram.

Vectors of one voice point one way, whatever is said. The network was trained by others to tell thousands of people
apart by the generalised end-to-end loss (Wan et al. 2018) on windows of `WINDOW_S`; it is shipped, because one shared
microphone is what most people have: 2.8 MB in half precision, in which the least cosine with the published weights is
above 0.9999. The network sees raw power, so each window is brought to one loudness first: who speaks must not depend on
how near the microphone is.

Anger and fear move a voice, and much the same way for everybody. The few directions in which voices of the same people
differ most (`moods`) are therefore taken out of every vector: nuisance attribute projection (Solomonoff et al. 2005).
All vectors have most of their length in common; `centre` is that part, the mean of many people, for comparisons that
should not count it. The network is under Apache-2.0 and its card names the source; directions and centre were learnt on
RAVDESS, for research only.
No state, no I/O but `load`, `pack` and `read_original`.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from erc_live.models.encoders.folder import CARD, WEIGHTS, Kind, load
from erc_live.models.errors import WeightsError
from erc_live.models.weights import sha256, weight

RATE_HZ = 16_000
WINDOW_S = 1.6
KIND = Kind("speaker", "erc.speaker/3")  # to be counted up with every change that moves a value
SOURCE = "speaker"  # row of `weights.py`

BANDS, WIDTH, LAYERS = 40, 256, 3
MOODS = 3  # directions taken out: of 0 to 8, the best for actors who were not learnt from (RAVDESS, 1 to 12 in turn)
POINTS = 400  # samples, 25 ms
LEVEL = 10 ** (-30 / 20)  # root mean square of a window in [-1, 1] before it is heard: what the network was trained on
SILENT = 2.0**-30  # mean square below which there is nothing but steps of 16 bit


class Mel:
    """Samples to what networks of others see: power in mel bands, not its logarithm."""

    HOP = 160  # samples, 10 ms

    def __init__(self, bands: int) -> None:
        self._bank = _slaney_bank(bands)
        self._window = torch.hann_window(POINTS)

    def __call__(self, waves: Tensor) -> Tensor:
        """Shapes: waves (n, samples) float32 in [-1, 1] -> (n, frames, bands), a frame for each `HOP` and one more."""
        spectrum = torch.stft(waves, POINTS, self.HOP, POINTS, self._window, pad_mode="constant", return_complex=True)
        return (self._bank @ spectrum.abs().square()).transpose(1, 2)


def _slaney_bank(bands: int) -> Tensor:
    """Triangles of equal area on Slaney's mel scale, linear below 1 kHz. Shapes: (bands, POINTS / 2 + 1)"""
    corner_hz, per_hz, step = 1_000.0, 3 / 200, math.log(6.4) / 27
    top = corner_hz * per_hz + math.log(RATE_HZ / 2 / corner_hz) / step
    mel = torch.linspace(0, top, bands + 2, dtype=torch.float64)
    above = corner_hz * torch.exp(step * (mel - corner_hz * per_hz))
    corners = torch.where(mel < corner_hz * per_hz, mel / per_hz, above)
    hertz = torch.linspace(0, RATE_HZ / 2, POINTS // 2 + 1, dtype=torch.float64)
    low, middle, high = (part[:, None] for part in (corners[:-2], corners[1:-1], corners[2:]))
    weight = torch.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)).clamp(min=0)
    return (weight * 2 / (high - low)).float()


class SpeakerNetwork(nn.Module):
    """Mel frames to a unit vector. Shapes: (n, frames, BANDS) -> (n, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, WIDTH, LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.moods: Tensor  # orthonormal columns; 0 as published
        self.register_buffer("moods", torch.zeros(WIDTH, MOODS))
        self.centre: Tensor  # the mean vector of many people; no part of `forward`
        self.register_buffer("centre", torch.zeros(WIDTH))

    def forward(self, mel: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mel)
        rows = F.normalize(F.relu(self.linear(hidden[-1])), dim=1)
        return F.normalize(rows - rows @ self.moods @ self.moods.T, dim=1)


class SpeakerEncoder:
    """Windows of 16-bit samples to unit vectors. `fingerprint` names recipe and weights."""

    dim = WIDTH

    def __init__(self, network: SpeakerNetwork, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self._network = network.float().eval()
        self._mel = Mel(BANDS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read weights and card in `folder`.

        Raises:
            WeightsError: a file is missing or damaged, or the weights are not those of the card.
        """
        network, digest = load(folder, KIND, lambda _: SpeakerNetwork())
        return cls(network, f"{KIND.format}@{digest[:12]}")

    @property
    def recurrent(self) -> nn.LSTM:
        """The layers from mel frames on, for networks that begin with them."""
        layers: nn.LSTM = self._network.lstm
        return layers

    @property
    def centre(self) -> np.ndarray:
        """The mean vector of many people. Shapes: (256,) float32."""
        centre: np.ndarray = self._network.centre.numpy()
        return centre

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """Hear windows of one length; a row depends on its own samples only.

        Shapes: (n, samples) int16 at `RATE_HZ`, samples >= POINTS -> (n, 256) float32 of length 1, NaN for silence.
        """
        if not len(windows):
            return np.empty((0, WIDTH), np.float32)
        with torch.inference_mode():
            waves = torch.from_numpy(windows.astype(np.float32) / 32_768.0)
            waves = waves - waves.mean(1, keepdim=True)
            power = waves.square().mean(1, keepdim=True)
            rows = self._network(self._mel(waves * (LEVEL / power.clamp(min=SILENT).sqrt())))
            rows[power[:, 0] <= SILENT] = torch.nan
        heard: np.ndarray = rows.numpy()
        return heard


def read_original(path: Path) -> dict[str, Tensor]:
    """The tensors of the published checkpoint that the network needs, in float32; `moods` and `centre` are zero.

    Raises:
        WeightsError: it is not the file of the table.
    """
    if not path.is_file() or sha256(path) != weight(SOURCE).files[0].sha256:
        raise WeightsError(f"{path} is not the published file: erc-live models fetch {SOURCE}")
    published = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    network = SpeakerNetwork()
    return {name: published[name].float() for name, _ in network.named_parameters()} | dict(network.named_buffers())


def moods(vectors: np.ndarray, people: Sequence[int]) -> Tensor:
    """The directions in which vectors of the same people differ most.

    Shapes: vectors (n, 256) of clips in all emotions, people (n,) whose each is -> (256, MOODS), orthonormal columns.
    """
    whose = np.asarray(people)
    within = np.concatenate([vectors[whose == one] - vectors[whose == one].mean(0) for one in np.unique(whose)])
    _, _, directions = np.linalg.svd(within.astype(np.float64), full_matrices=False)
    return torch.from_numpy(directions[:MOODS].T.astype(np.float32))


def pack(original: Path, moods: Tensor, centre: Tensor, folder: Path) -> None:
    """Write the published checkpoint anew into `folder` as it is shipped: the network alone, in half precision.

    `moods`: those of the means of windows of 1 s, every 0.2 s, of the clips of twelve actors without silence around.
    `centre`: the mean over these actors, each as recorded, by telephone and in simulated rooms.

    Raises:
        WeightsError: `original` is not the file of the table.
    """
    row = weight(SOURCE)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: values.half().contiguous() for name, values in read_original(original).items()}
    save_file(tensors | {"moods": moods.contiguous(), "centre": centre.contiguous()}, folder / WEIGHTS)
    card = {
        "format": KIND.format,
        "sha256": sha256(folder / WEIGHTS),
        "source": f"{row.files[0].path} of {row.sources[0]}",
        "source_sha256": row.files[0].sha256,
        "licence": row.licence,
        "changes": "the network's tensors alone, without the optimiser's, in float16; `moods` and `centre` added",
        "moods": "and `centre`, learnt from RAVDESS speech, actors 1-12 (CC BY-NC-SA 4.0: research only)",
        "limits": [
            "a print of a voice: personal data in most countries; kept in memory only, unless the person agreed",
            "trained on English speech of adults; strong emotion, a bad line and less than a second still confuse it",
        ],
    }
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
