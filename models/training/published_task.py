"""A dialogue network learns as its release trains it: batches of so many dialogues, one rate and one decay for all
parameters, and the loss on dev beside the score, for a schedule that follows it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator

from erc_live.models.training.dialogue_dataset import EncodedDialogues, Example
from erc_live.models.training.graph_config import TrainConfig
from erc_live.models.training.graph_task import GraphTask, JointNetwork


def schedule(config: TrainConfig) -> dict[str, Any]:
    """What a release wants of the `Recipe`: one rate from the first step on, but for a plateau. Nothing for ours."""
    how = config.published
    return {} if how is None else {"warm_up": 0.0, "fall_from": 1.0, "plateau": how.plateau, "decoupled": how.decoupled}


class PublishedTask(GraphTask):
    """As `GraphTask`; the configuration says what was `published`."""

    def __init__(self, network: JointNetwork, data: EncodedDialogues, config: TrainConfig) -> None:
        super().__init__(network, data, config)
        assert config.published is not None
        self._how = config.published
        everything = list(network.parameters())
        self.groups: list[dict[str, Any]] = [
            {"params": everything, "lr": config.rate, "weight_decay": config.weight_decay}
        ]

    def batches(self, epoch: int, generator: Generator) -> list[list[Example]]:
        """The dialogues of train, so many at a time."""
        train = self._data.train
        if self._how.shuffled:
            train = [train[place] for place in torch.randperm(len(train), generator=generator).tolist()]
        return self._steps(train)

    def score(self, network: JointNetwork) -> dict[str, float]:
        """That of `GraphTask`, and the mean of the objective over dev."""
        steps = self._steps(self._data.dev)
        losses = [self.loss(network, step, Generator()).item() for step in steps]
        return {**super().score(network), "loss": sum(losses) / len(losses)}

    def _steps(self, dialogues: Sequence[Example]) -> list[list[Example]]:
        """In their order, those without any label left out."""
        labelled = [one for one in dialogues if (one.labels >= 0).any()]
        size = self._how.dialogues
        return [labelled[first : first + size] for first in range(0, len(labelled), size)]
