"""The model card beside the weights: what the model is, and which files belong to it.

It can be read without loading a network: whoever needs only the text adapter does not load torch-geometric.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from erc_live.models.errors import WeightsError
from erc_live.models.weights import sha256

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
class Described:
    """A folder of weights whose files are those that its card describes."""

    folder: Path
    card: Card
    hashes: Mapping[str, str]

    @property
    def adapter(self) -> Path | None:
        """The adapter of the text encoder; None for the plain encoder."""
        return self.folder / ADAPTER if ADAPTER in self.hashes else None


def read(name: str) -> Described:
    """Read a card and compare its files: the name of shipped weights ("default") or the path of a folder.

    Raises:
        WeightsError: it is not there, or a file differs from its card.
    """
    folder = PRETRAINED / name if (PRETRAINED / name / CARD).is_file() else Path(name)
    if not (folder / CARD).is_file():
        raise WeightsError(f"no {CARD} in {folder}: give the name of shipped weights (default) or the folder of a run")
    card, hashes = _parse(folder / CARD)
    for file, expected in hashes.items():
        if not (folder / file).is_file() or sha256(folder / file) != expected:
            raise WeightsError(f"{folder / file} is not the file that {CARD} describes: copy the folder again")
    return Described(folder, card, hashes)


def write(folder: Path, card: Card) -> None:
    """Write the card of the files that lie in `folder`."""
    hashes = {name: sha256(folder / name) for name in (WEIGHTS, ADAPTER) if (folder / name).is_file()}
    content = {"format": FORMAT, **asdict(card), "sha256": hashes}
    (folder / CARD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _parse(path: Path) -> tuple[Card, Mapping[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        hashes = content.pop("sha256")
        if content.pop("format") != FORMAT or WEIGHTS not in hashes:
            raise ValueError(f"not of format {FORMAT}")
        card = Card(**{**content, "labels": tuple(content["labels"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is no model card of this version ({error}): copy the folder again") from error
    return card, hashes
