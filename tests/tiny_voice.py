"""A voice network of a few thousand random weights, as a folder like the real one."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from erc_live.models.encoders.folder import CARD, WEIGHTS
from erc_live.models.encoders.voice import KIND, VOICE_LABELS
from erc_live.models.encoders.voice_network import VoiceConfig, VoiceNetwork
from erc_live.models.weights import sha256


def make_tiny_voice(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    config = VoiceConfig(bands=16, widths=(2, 2, 4), width=8)
    save_file(VoiceNetwork(config).state_dict(), folder / WEIGHTS)
    card = {
        "format": KIND.format,
        "labels": VOICE_LABELS,
        "network": asdict(config),
        "sha256": sha256(folder / WEIGHTS),
    }
    (folder / CARD).write_text(json.dumps(card))
    return folder
