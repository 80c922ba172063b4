"""The dialogue models. `NETWORKS` is the registry: name on a model card -> (configuration, model)."""

from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig

NETWORKS = {"dialogue_graph": (DialogueGraphConfig, DialogueGraph)}
