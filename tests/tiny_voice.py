"""A voice network of random weights that is less deep than the real one, and its folder."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from erc_live.models.encoders.folder import CARD, WEIGHTS
from erc_live.models.encoders.packing import pack, save_packed, unpack
from erc_live.models.encoders.voice import KIND, VOICE_LABELS
from erc_live.models.encoders.voice_network import Listener, VoiceConfig, VoiceNetwork
from erc_live.models.weights import sha256

TINY = VoiceConfig(blocks=0, layers=1)


def tiny_network(seed: int = 0) -> VoiceNetwork:
    torch.manual_seed(seed)
    return VoiceNetwork(TINY).eval()


def tiny_listener() -> Listener:
    """In 8 bits, as a training begins."""
    listener = tiny_network().listener.requires_grad_(False)
    listener.load_state_dict(unpack(pack(listener.state_dict())))
    return listener


def make_tiny_voice(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_packed(tiny_network(seed).state_dict(), folder / WEIGHTS)
    card = {
        "format": KIND.format,
        "labels": VOICE_LABELS,
        "network": asdict(TINY),
        "sha256": sha256(folder / WEIGHTS),
    }
    (folder / CARD).write_text(json.dumps(card))
    return folder
