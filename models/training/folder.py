"""Writes a folder of trained weights: tensors in half precision, and a card with the scores of just these files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from erc_live.models.encoders.folder import CARD, WEIGHTS
from erc_live.models.training.files import whole
from erc_live.models.weights import sha256


def write(network: nn.Module, out: Path, card: Mapping[str, Any], scores: Callable[[], Mapping[str, Any]]) -> None:
    """Write weights, then the card, then the card again with what `scores` measures on the folder as it is then.

    Half precision costs the third decimal of a logit and saves half of the file.

    Raises:
        WeightsError: the folder cannot be written to.
    """
    weights = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    with whole(out / WEIGHTS) as part:
        save_file(weights, part)
    card = {**card, "sha256": sha256(out / WEIGHTS), "scores": {}}
    _write_card(out, card)
    _write_card(out, {**card, "scores": scores()})


def _write_card(out: Path, card: Mapping[str, Any]) -> None:
    with whole(out / CARD) as part:
        part.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
