"""All weights that a session needs, tiny and random: the real code runs on them, without a network and in little
time.
"""

from pathlib import Path

import torch
from tiny_bert import make_tiny_bert
from tiny_face import make_tiny_face
from tiny_voice import make_tiny_voice

from erc_live.models import checkpoint
from erc_live.models.card import Card
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.models.encoders.audio_vector import SoundEncoder
from erc_live.models.encoders.face import FaceEncoder
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.encoders.voice import VoiceEncoder
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig

LABELS = ("neutral", "joy", "anger")


def make_tiny_world(folder: Path) -> dict[str, str]:
    """Build it in `folder`; the configuration keys that use it."""
    weights = folder / "weights"
    TextEncoder.load(make_tiny_bert(folder / "bert")).save(weights / "text")
    text = TextEncoder.load(weights / "text")
    sound = SoundEncoder(ProsodyEncoder(), VoiceEncoder.load(make_tiny_voice(weights / "voice")))
    face = FaceEncoder.load(make_tiny_face(weights / "face"))
    torch.manual_seed(0)
    dims = {"text_dim": text.dim, "audio_dim": sound.dim, "visual_dim": face.dim}
    size = {"classes": len(LABELS), **dims, "width": 16, "heads": 2, "window": 4}
    encoders = {"text": text.fingerprint, "audio": sound.fingerprint, "visual": face.fingerprint}
    card = Card("dialogue_graph", size, LABELS, encoders, {}, {}, abstain_below=0.4)
    checkpoint.save(weights, answering(DialogueGraphConfig(**size)), card)
    return {
        "models.folder": str(folder / "models"),
        "tracker.weights": str(weights),
        "events.endpoint": f"ipc://{folder / 'e'}",
        "perception.turn_detector": "none",
        "visual.face_finder": "haar",
    }


def answering(config: DialogueGraphConfig) -> DialogueGraph:
    """Random weights, of which all count: those of a new graph have no say before it has learnt."""
    model = DialogueGraph(config)
    model.head[-1].reset_parameters()
    return model


def options(keys: dict[str, str]) -> list[str]:
    """The keys as options of the command line."""
    return [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
