"""A folder of weights that this project trained or packed: the tensors, and the card that says what they are.

The rule of this file: weights are taken only when they are the very bytes that the card names, so that a fingerprint
means the same numbers everywhere.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from erc_live.models.encoders.packing import is_packed, load_packed
from erc_live.models.errors import WeightsError
from erc_live.models.weights import sha256

Network = TypeVar("Network", bound=nn.Module)
WEIGHTS, CARD = "model.safetensors", "card.json"


@dataclass(frozen=True)
class Kind:
    """What a folder should hold: `name` as a person calls it, `format` and `labels` as the card writes them."""

    name: str
    format: str
    labels: Sequence[str] | None = None


def load(folder: Path, kind: Kind, build: Callable[[Mapping[str, Any]], Network]) -> tuple[Network, str]:
    """The network of a folder and the SHA-256 of its weights; `build` makes it from the card, its weights come after.

    Raises:
        WeightsError: a file is missing or damaged, of another kind, or the weights are not those of the card.
    """
    card = _card(folder, kind)
    path = folder / WEIGHTS
    if not path.is_file() or sha256(path) != card["sha256"]:
        raise WeightsError(f"{path} is not the file that {CARD} describes: copy the folder again")
    try:
        network = build(card)
        network.load_state_dict(load_packed(path) if is_packed(path) else load_file(path))
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{path} does not fit the network of {CARD}: {_line(error)}") from error
    return network, str(card["sha256"])


def _card(folder: Path, kind: Kind) -> Mapping[str, Any]:
    path = folder / CARD
    if not path.is_file():
        raise WeightsError(f"no {CARD} in {folder}: give a folder of {kind.name} weights")
    try:
        card: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if card["format"] != kind.format:
            raise ValueError(f"its format is {card['format']}, not {kind.format}")
        if kind.labels is not None and tuple(card["labels"]) != tuple(kind.labels):
            raise ValueError(f"its labels are not {' '.join(kind.labels)}")
        if not isinstance(card["sha256"], str):
            raise ValueError("sha256 is missing")
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is no card of {kind.name} weights of this version ({_line(error)}): copy the folder again"
        ) from error
    return card


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
