"""The networks and blocks that the contracts are checked on: name -> how to build a tiny causal instance.

To enter a network, add one line to `NETS`; a block with a step of its own is framed first (`frames.py`). Small windows
matter: dialogues must be many times as long as what the instance remembers.
An instance says in `receptive_field` how many past utterances can change an answer; None says that a recurrence or a
running sum carries the whole past.
"""

from collections.abc import Callable
from typing import Any

import torch
from frames import context_gru, dialogue_rnn
from torch import nn

from erc_live.models.ensemble import Ensemble
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig
from erc_live.models.networks.hgf_milag import HgfMilag, HgfMilagConfig
from erc_live.models.networks.multiemo import MultiEmo, MultiEmoConfig
from erc_live.models.networks.safsd_glnet import SafsdGlnet, SafsdGlnetConfig
from erc_live.models.networks.vuemo import Vuemo, VuemoConfig
from erc_live.models.state import Replay

DIMS = (12, 8, 5)  # text, audio, visual
STIR = 0.2


def _dialogue_graph() -> nn.Module:
    return DialogueGraph(DialogueGraphConfig(7, *DIMS, width=16, layers=3, heads=2, window=4))


def _ensemble() -> nn.Module:
    return Ensemble([_rated_graph() for _ in range(2)])


def _rated_graph() -> nn.Module:
    """One that answers valence and arousal behind its logits."""
    sizes = DialogueGraphConfig(7, *DIMS, width=16, layers=2, heads=2, window=3, valence=True, arousal=True)
    return DialogueGraph(sizes)


NETS: dict[str, Callable[[], nn.Module]] = {
    "context_gru": lambda: context_gru(DIMS),
    "dialogue_graph": _dialogue_graph,
    "dialogue_graph_rated": _rated_graph,
    "dialogue_rnn": lambda: dialogue_rnn(DIMS),
    "ensemble": _ensemble,
    "hgf_milag": lambda: HgfMilag(
        HgfMilagConfig(7, *DIMS, window=4, causal=True, context_width=8, graph_width=6, head_width=6, heads=2, bases=3)
    ),
    "multiemo": lambda: MultiEmo(
        MultiEmoConfig(7, *DIMS, window=4, causal=True, width=8, heads=2, feedforward=12, hidden=6, speakers=3)
    ),
    "replay": lambda: Replay(_dialogue_graph(), window=6),
    "safsd_glnet": lambda: SafsdGlnet(
        SafsdGlnetConfig(7, *DIMS, window=4, causal=True, width=8, graph_width=6, heads=2, num_K=2, speakers=3)
    ),
    "vuemo": lambda: Vuemo(VuemoConfig(7, *DIMS, window=4, causal=True, width=8, num_K=2, num_L=3, speakers=3)),
}


def build(name: str, seed: int = 0) -> Any:
    """The tiny instance, ready to be asked. Every parameter matters, also those that start as zeros or ones."""
    torch.manual_seed(seed)
    return stirred(NETS[name]())


def stirred(model: nn.Module) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += STIR * torch.randn_like(parameter)
    return model.eval()
