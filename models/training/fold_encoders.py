"""Text encoders that did not learn from the dialogue that they read, beside the one that is kept.

What an encoder makes of utterances whose labels it has seen is too easy to learn from, and too good to be scored. So
where an encoder was trained with folds (`text_folds.py`), each dialogue is read by the encoder of its own fold, in
learning as in scoring. They start from the same weights and are averaged to the one that is kept, so their vectors lie
in about the same space as those of live use.
"""

import json
from pathlib import Path

import torch
from torch import device

from erc_live.models.card import CARD
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import WeightsError

FOLD = "fold-{fold}"  # folder of the encoder that did not learn from it


class FoldEncoders:
    """The encoder in a folder, `whole`, and for each group of dialogues that it learnt from the one that did not."""

    def __init__(self, folder: Path) -> None:
        self.whole = TextEncoder.load(folder)
        self._parts = parts_of(folder)
        folds = sorted(set(self._parts.values()))
        self._folds = {fold: TextEncoder.load(fold_folder(folder, fold)) for fold in folds}

    def of(self, group: str) -> TextEncoder:
        """Who reads the dialogues of a group."""
        fold = self._parts.get(group)
        return self.whole if fold is None else self._folds[fold]

    def to(self, where: device) -> None:
        """Move all of them."""
        for text in (self.whole, *self._folds.values()):
            text.network.to(where)


def open_encoders(folder: Path, where: device | str = "cpu") -> TextEncoder | FoldEncoders:
    """The encoder in a folder, on a device, with those of its folds if it has any.

    Raises:
        WeightsError: it cannot be read.
    """
    if parts_of(folder):
        encoders = FoldEncoders(folder)
        encoders.to(torch.device(where))
        return encoders
    text = TextEncoder.load(folder)
    text.network.to(where)
    return text


def fold_folder(encoder: Path, fold: int) -> Path:
    """Where the encoder lies that did not learn from a fold; the encoder itself, if it has none."""
    return encoder / FOLD.format(fold=fold) if parts_of(encoder) else encoder


def parts_of(encoder: Path) -> dict[str, int]:
    """The fold of each group that an encoder was trained in; empty if it was not, or if it came without its folds.

    Raises:
        WeightsError: there are folds, and no card that tells of them.
    """
    if not (encoder / FOLD.format(fold=0)).is_dir():
        return {}
    try:
        card = json.loads((encoder / CARD).read_text(encoding="utf-8"))
        return {str(group): int(fold) for group, fold in card["training"]["parts"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{encoder} has folds, but no {CARD} that tells which dialogues they left out: let its training end"
        ) from error
