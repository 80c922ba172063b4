"""FER+: pictures of faces (FER2013) with the votes of ten people each. For training what sees a face.

What may lie in the folder:
- `train.npz`, `valid.npz`, `test.npz` with `pixels` (N, 48, 48) and `votes` (N, 10), both uint8, in the order of
  `VOTES`;
- or the official `fer2013.csv` (emotion, pixels, Usage) and `fer2013new.csv` (Usage, Image name, the ten votes), a row
  of one for a row of the other. Training, PublicTest and PrivateTest are train, dev and test.

After Barsoum et al. (2016), a picture whose most votes say "unknown" or "NF" (not a face) is left out; a tie goes to
the emotion. The votes come raw: how they become targets is for training to decide.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from erc_live.models.corpora.splits import canonical, find
from erc_live.models.corpora.tables import rows, whole
from erc_live.models.errors import CorpusError

VOTES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
CLASSES = VOTES[:8]
SIDE = 48  # pixels
USAGE = {"train": "Training", "dev": "PublicTest", "test": "PrivateTest"}
PICTURES, LABELS = "fer2013.csv", "fer2013new.csv"

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FerplusFaces:
    """`pixels` (N, 48, 48) grey; `votes` (N, 10) in the order of `VOTES`, of which the first eight are `CLASSES`."""

    pixels: Bytes
    votes: Bytes

    def __len__(self) -> int:
        return len(self.pixels)

    def majority(self) -> npt.NDArray[np.int64]:
        """(N,) the class with most votes; the first of `CLASSES` of several."""
        first: npt.NDArray[np.int64] = np.argmax(self.votes[:, : len(CLASSES)], axis=1)
        return first


def read(folder: Path, split: str) -> FerplusFaces:
    """Read the faces of a split, in the order of the file, without those that most people could not name.

    Raises:
        CorpusError: the split is not there, or its arrays are not as described above.
    """
    name = canonical(split)
    path = find(folder, name, "{}.npz")
    if path is not None:
        pixels, votes = _arrays(path)
    elif (folder / PICTURES).is_file() and (folder / LABELS).is_file():
        pixels, votes = _tables(folder / PICTURES, folder / LABELS, USAGE[name])
    else:
        raise CorpusError(f"{folder}: no {name}.npz of FER+, nor {PICTURES} with {LABELS}")
    named = votes.argmax(axis=1) < len(CLASSES)
    if not named.any():
        raise CorpusError(f"{folder}: no faces with a majority for one of the {len(CLASSES)} classes in {name}")
    return FerplusFaces(pixels[named], votes[named])


def _arrays(path: Path) -> tuple[Bytes, Bytes]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            pixels, votes = arrays["pixels"], arrays["votes"]
    except (OSError, EOFError, TypeError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise CorpusError(f"{path}: not an archive of numpy with pixels and votes: {error}") from error
    shapes = (len(pixels), SIDE, SIDE), (len(pixels), len(VOTES))
    if (pixels.shape, votes.shape) != shapes or pixels.dtype != np.uint8 or votes.dtype != np.uint8:
        raise CorpusError(
            f"{path}: pixels {pixels.dtype}{pixels.shape} and votes {votes.dtype}{votes.shape} "
            f"instead of uint8 (N, {SIDE}, {SIDE}) and (N, {len(VOTES)})"
        )
    return pixels, votes


def _tables(pictures: Path, labels: Path, usage: str) -> tuple[Bytes, Bytes]:
    pixels, votes = [], []
    counted = [
        (row["Usage"], [min(whole(labels, line, row, name), 255) for name in VOTES])
        for line, row in rows(labels, ("Usage", *VOTES))
    ]
    number = 0
    for number, (line, row) in enumerate(rows(pictures, ("pixels", "Usage")), 1):
        if number > len(counted):
            break
        if row["Usage"] != counted[number - 1][0]:
            raise CorpusError(
                f"{pictures}: line {line} is of another part than its row in {labels.name}; fetch both anew"
            )
        if row["Usage"] == usage:
            pixels.append(_picture(pictures, line, row["pixels"]))
            votes.append(counted[number - 1][1])
    if number != len(counted):
        raise CorpusError(f"{pictures}: not as many rows as the {len(counted)} of {labels.name}; fetch both anew")
    return (
        np.array(pixels, dtype=np.uint8).reshape(-1, SIDE, SIDE),
        np.array(votes, dtype=np.uint8).reshape(-1, len(VOTES)),
    )


def _picture(path: Path, line: int, text: str) -> Bytes:
    try:
        return np.array(text.split(), dtype=np.uint8).reshape(SIDE, SIDE)
    except (ValueError, OverflowError) as error:
        raise CorpusError(f"{path}: line {line}: pixels are not {SIDE} times {SIDE} numbers from 0 to 255") from error
