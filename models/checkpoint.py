"""Weights and their model card, together or not at all.

A checkpoint is a folder: `model.safetensors`, `card.json`, and `adapter.safetensors` if the text encoder is tuned.
The rule of this file: nothing is loaded that its card does not describe. Hashes, names and shapes are compared, and
the card names the text encoder that the model was trained with. Never pickle.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from erc_live.models.errors import WeightsError
from erc_live.models.networks import NETWORKS
from erc_live.models.networks.dialogue_graph import DialogueGraph

PRETRAINED = Path(__file__).parent / "pretrained"
FORMAT = "erc.model/1"
WEIGHTS, ADAPTER, CARD = "model.safetensors", "adapter.safetensors", "card.json"


@dataclass(frozen=True)
class Card:
    """What a model is: `network` and `config` build it, `labels` are its classes in order, `encoder` is the
    fingerprint of the text encoder (with its adapter), `scores` what it reached, `training` where it comes from (data,
    command, seeds).
    """

    network: str
    config: Mapping[str, Any]
    labels: tuple[str, ...]
    encoder: str
    scores: Mapping[str, Any]
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to run, its card, its adapter file (None: plain encoder) and a fingerprint of its weights."""

    model: DialogueGraph
    card: Card
    adapter: Path | None
    fingerprint: str

    def check_encoder(self, fingerprint: str) -> None:
        """Refuse text vectors of another encoder.

        Raises:
            WeightsError: the fingerprint is not the one on the card.
        """
        if fingerprint != self.card.encoder:
            raise WeightsError(
                f"the model expects text vectors of encoder {self.card.encoder}, these are of {fingerprint}: "
                "load the encoder with the adapter of this checkpoint, or train a model for that encoder"
            )


def save(folder: Path, model: DialogueGraph, card: Card) -> None:
    """Write weights and card into `folder`; the adapter, if the encoder has one, lies there already as `ADAPTER`."""
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS)
    hashes = {name: _sha256(folder / name) for name in (WEIGHTS, ADAPTER) if (folder / name).is_file()}
    content = {"format": FORMAT, **asdict(card), "sha256": hashes}
    (folder / CARD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(name: str) -> Checkpoint:
    """Read a checkpoint: the name of a shipped one ("default") or the path of a folder.

    Raises:
        WeightsError: it is not there, a file differs from its card, or the weights do not fit the network on the card.
    """
    folder = PRETRAINED / name if (PRETRAINED / name / CARD).is_file() else Path(name)
    if not (folder / CARD).is_file():
        raise WeightsError(f"no {CARD} in {folder}: give the name of shipped weights (default) or the folder of a run")
    card, hashes = _read_card(folder / CARD)
    for file, expected in hashes.items():
        if not (folder / file).is_file() or _sha256(folder / file) != expected:
            raise WeightsError(f"{folder / file} is not the file that {CARD} describes: copy the folder again")
    config, network = NETWORKS[card.network]
    try:
        model = network(config(**card.config))
        if len(card.labels) != model.config.classes:
            raise ValueError(f"{len(card.labels)} labels for {model.config.classes} classes")
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{folder / WEIGHTS} does not fit the network in {CARD}: {reason}") from error
    adapter = folder / ADAPTER if ADAPTER in hashes else None
    return Checkpoint(model.eval(), card, adapter, hashes[WEIGHTS][:12])


def _read_card(path: Path) -> tuple[Card, Mapping[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        hashes = content.pop("sha256")
        if content.pop("format") != FORMAT or content["network"] not in NETWORKS or WEIGHTS not in hashes:
            raise ValueError(f"not of format {FORMAT}")
        card = Card(**{**content, "labels": tuple(content["labels"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is no model card of this version ({error}): copy the folder again") from error
    return card, hashes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
