"""A face network of a few thousand random weights, as a folder like the real one."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from erc_live.models.encoders.face import FACE_LABELS, KIND, FaceNetwork
from erc_live.models.encoders.folder import CARD, WEIGHTS
from erc_live.models.weights import sha256


def make_tiny_face(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    size = {"widths": (8, 8, 16), "depths": (1, 1, 1)}
    save_file(FaceNetwork(**size).state_dict(), folder / WEIGHTS)
    card = {"format": KIND.format, "labels": FACE_LABELS, "network": size, "sha256": sha256(folder / WEIGHTS)}
    (folder / CARD).write_text(json.dumps(card))
    return folder
