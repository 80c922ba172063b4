"""The dialogue models. `NETWORKS` is the registry: the name on a model card -> how to build it and what it learns by.
`LOADABLE` has beside them what is made of examples and not trained.

Every network has the same door: `forward(DialogueBatch) -> logits`; in causal form also `initial_state` and `step`. Its
logits come out of the heads of `blocks/heads.py`, which scale and shift them. `steppable` gives the two-sided ones that
door, too, at the price of running again over a window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from erc_live.models.batch import DialogueBatch
from erc_live.models.networks import dialogue_graph, hgf_milag, multiemo, prototypes, safsd_glnet, vuemo
from erc_live.models.state import Replay


@dataclass(frozen=True)
class Architecture:
    """`config` is a frozen dataclass of sizes, `model` the module it builds."""

    config: Callable[..., Any]
    model: Callable[[Any], Any]


@dataclass(frozen=True)
class Network(Architecture):
    """One that can be trained: `objective` is what training makes small."""

    objective: Callable[[Any, DialogueBatch, Tensor], Tensor]


NETWORKS = {
    "dialogue_graph": Network(
        dialogue_graph.DialogueGraphConfig, dialogue_graph.DialogueGraph, dialogue_graph.objective
    ),
    "multiemo": Network(multiemo.MultiEmoConfig, multiemo.MultiEmo, multiemo.objective),
    "vuemo": Network(vuemo.VuemoConfig, vuemo.Vuemo, vuemo.objective),
    "hgf_milag": Network(hgf_milag.HgfMilagConfig, hgf_milag.HgfMilag, hgf_milag.objective),
    "safsd_glnet": Network(safsd_glnet.SafsdGlnetConfig, safsd_glnet.SafsdGlnet, safsd_glnet.objective),
}
PROTOTYPES = "prototypes"
LOADABLE: Mapping[str, Architecture] = {
    **NETWORKS,
    PROTOTYPES: Architecture(prototypes.PrototypesConfig, prototypes.Prototypes),
}


def steppable(model: Any) -> Any:
    """The model itself if it is causal, else the same model over the last utterances (`Replay`)."""
    return model if model.config.causal else Replay(model, model.config.window + 1)
