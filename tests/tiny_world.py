"""All weights that a session needs, tiny and random: the real code runs on them, without a network and in little
time.
"""

from pathlib import Path

import torch
from tiny_bert import DIM, make_tiny_bert

from erc_live.models import checkpoint
from erc_live.models.card import Card
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig

LABELS = ("neutral", "joy", "anger")


def make_tiny_world(folder: Path) -> dict[str, str]:
    """Build it in `folder`; the configuration keys that use it."""
    encoder = TextEncoder.load(make_tiny_bert(folder / "models" / "minilm"))
    torch.manual_seed(0)
    size = {"classes": len(LABELS), "text_dim": DIM, "width": 16, "heads": 2, "window": 4}
    weights = folder / "weights"
    weights.mkdir()
    card = Card("dialogue_graph", size, LABELS, encoder.fingerprint, {}, {})
    checkpoint.save(weights, DialogueGraph(DialogueGraphConfig(**size)), card)
    return {
        "models.folder": str(folder / "models"),
        "tracker.weights": str(weights),
        "events.endpoint": f"ipc://{folder / 'e'}",
        "visual.face_finder": "haar",
    }


def options(keys: dict[str, str]) -> list[str]:
    """The keys as options of the command line."""
    return [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
