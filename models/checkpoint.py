"""Weights and their model card, together or not at all.

A checkpoint is a folder: `model.safetensors`, `card.json`, and in `text/`, `voice/` and `face/` those encoders that are
not the shipped ones.
The rule of this file: nothing is loaded that its card does not describe. Hashes, names and shapes are compared, and
the card names the encoders of every modality that the model was trained with. Never pickle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from erc_live.models import card as cards
from erc_live.models.card import WEIGHTS, Card
from erc_live.models.ensemble import Ensemble
from erc_live.models.errors import WeightsError
from erc_live.models.files import whole
from erc_live.models.networks import LOADABLE


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to run, its card, the folder of its text encoder, and a fingerprint of its weights."""

    model: Any  # of one of `LOADABLE`, or an `Ensemble` of such
    card: Card
    text_folder: Path
    fingerprint: str

    def check_encoders(self, encoders: Mapping[Any, str]) -> None:
        """As that of the card."""
        self.card.check_encoders(encoders)


def save(folder: Path, model: nn.Module, card: Card) -> None:
    """Write weights and card into `folder`; its own encoders lie there already, if it has any. Raises WeightsError."""
    save_weights(folder, model)
    cards.write(folder, card)


def save_weights(folder: Path, model: nn.Module) -> None:
    """Write the weights alone: the folder is no checkpoint until its card is written. Raises WeightsError."""
    with whole(folder / WEIGHTS) as part:
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, part)


def load(name: str) -> Checkpoint:
    """Read a checkpoint: the name of a shipped one (of `card.SHIPPED`) or the path of a folder.

    Raises:
        WeightsError: it is not there, a file differs from its card, or the weights do not fit the network on the card.
    """
    described = cards.read(name)
    path, card = described.folder / WEIGHTS, described.card
    if card.network not in LOADABLE:
        raise WeightsError(f"{path}: card.json names the network {card.network!r}; there are {', '.join(LOADABLE)}")
    network = LOADABLE[card.network]
    try:
        sizes = network.config(**card.config)
        model = network.model(sizes)
        if card.members > 1:
            model = Ensemble([model, *(network.model(sizes) for _ in range(1, card.members))])
        if len(card.labels) != model.config.classes:
            raise ValueError(f"{len(card.labels)} labels for {model.config.classes} classes")
        model.load_state_dict(load_file(path))
    except (TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} does not fit the network in card.json: {reason}") from error
    return Checkpoint(model.eval(), card, described.encoder_folder("text"), described.fingerprint)
