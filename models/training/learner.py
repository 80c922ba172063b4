"""What is trained: a dialogue network and, if it is tuned, the text encoder before it.

It is one module whose `forward` is the loss, so that gradients, averages, checkpoints and several processes deal with
one thing. The text encoder runs in bfloat16, which costs it nothing that can be measured on dev; the graph, which is
small and adds up many terms, in float32.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from erc_live.models.batch import DialogueBatch
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import WeightsError
from erc_live.models.networks import NETWORKS
from erc_live.models.training.examples import Example, collate, fitting, read_with, with_text
from erc_live.models.training.metrics import confusion, weighted_f1


class Learner(nn.Module):
    """A network by its name in the registry; `encoder` is given if it is tuned, else texts are vectors already."""

    def __init__(self, name: str, sizes: dict[str, Any], encoder: TextEncoder | None) -> None:
        super().__init__()
        self.model = build(name, sizes)
        self.text: nn.Module | None = encoder.network if encoder else None
        self._encoder = encoder
        self._objective = NETWORKS[name].objective

    def forward(self, batch: Sequence[Example]) -> Tensor:
        """The loss of some dialogues."""
        return self._objective(self.model, *self.inputs(batch))

    def inputs(self, batch: Sequence[Example]) -> tuple[DialogueBatch, Tensor]:
        """What the network is given, and the labels (B, T)."""
        device = next(self.model.parameters()).device
        if self._encoder is not None:
            tokens = self._encoder.tokens(*read_with(batch))
            with torch.autocast(device.type, dtype=torch.bfloat16):
                vectors = self._encoder.embed(tokens)
            batch = with_text(batch, vectors)
        dialogues, labels = collate(fitting(batch, self.model))
        return DialogueBatch(*(value.to(device) for value in vars(dialogues).values())), labels.to(device)

    @torch.no_grad()
    def score(self, dialogues: Sequence[Example], utterances: int) -> float:
        """Weighted F1, computed in batches of about so many utterances."""
        self.eval()
        classes: int = self.model.config.classes
        counts = torch.zeros(classes, classes, dtype=torch.int64)
        for batch in batches(dialogues, utterances):
            padded, labels = self.inputs(batch)
            known = labels >= 0
            counts += confusion(labels[known], self.model(padded)[known].argmax(-1), classes).cpu()
        return weighted_f1(counts)


def build(name: str, sizes: dict[str, Any]) -> Any:
    """A new network of the registry. Raises WeightsError when there is none of the name, or none of such sizes."""
    if name not in NETWORKS:
        raise WeightsError(f"no network is called {name!r}: choose from {', '.join(NETWORKS)}")
    try:
        return NETWORKS[name].model(NETWORKS[name].config(**sizes))
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{name} cannot have these sizes: {error}") from error


def batches(dialogues: Sequence[Example], utterances: int) -> Iterator[list[Example]]:
    """Whole dialogues in their order, as many as it takes to have so many utterances; none without any label."""
    batch: list[Example] = []
    for dialogue in dialogues:
        if not (dialogue.labels >= 0).any():
            continue
        batch.append(dialogue)
        if sum(len(example) for example in batch) >= utterances:
            yield batch
            batch = []
    if batch:
        yield batch
