"""Valence and arousal as people rated them: whether they are learnt, and as tensors.

The rule of this file: what is learnt is decided once for a run, on all dialogues that teach it, so that every fold and
what is kept learn the same. Few ratings teach nothing that holds elsewhere; the places of the labels
(`models/dimensions.py`) are better then.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import nan

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from erc_live.models.dimensions import DIMENSIONS
from erc_live.models.errors import CorpusError
from erc_live.models.networks import NETWORKS
from erc_live.models.training.dialogue_dataset import FEW, Example
from erc_live.models.training.graph_config import TrainConfig


def with_dimensions(config: TrainConfig, taught: Sequence[Example]) -> TrainConfig:
    """How to train on some dialogues: the dimensions of which there are `FEW` ratings or more are learnt by a network
    that can, unless the sizes say otherwise.

    Raises:
        CorpusError: the sizes ask for a dimension that nobody rated.
    """
    counts = rating_counts(taught)
    for name, count in counts.items():
        if config.sizes.get(name) and not count:
            raise CorpusError(f"--size {name}=true: the corpus has no rating of {name}: leave it out, or add them")
    network = NETWORKS.get(config.network)
    able = [name for name in DIMENSIONS if network is not None and hasattr(network.config, name)]
    learnt = {name: True for name in able if counts[name] >= FEW}
    return replace(config, sizes={**learnt, **config.sizes})


def few_ratings(taught: Sequence[Example]) -> list[str]:
    """In words, which dimensions were rated too rarely to be learnt."""
    return [
        f"train has {count} ratings of {name}: {FEW} are needed to learn it, and until then it follows the labels; "
        f"--size {name}=true learns it all the same"
        for name, count in rating_counts(taught).items()
        if 0 < count < FEW
    ]


def rating_counts(dialogues: Sequence[Example]) -> dict[str, int]:
    """How many utterances were rated on each dimension."""
    return dict(zip(DIMENSIONS, ratings(dialogues).isfinite().sum(0).tolist(), strict=True))


def ratings(dialogues: Sequence[Example]) -> Tensor:
    """Of all utterances, dialogue after dialogue. Shapes: -> (N, 2) in the order of `DIMENSIONS`, NaN: not rated"""
    return torch.cat([torch.empty(0, len(DIMENSIONS)), *(_rows(example) for example in dialogues)])


def padded_ratings(batch: Sequence[Example]) -> Tensor:
    """Side by side. Shapes: -> (B, T, 2), NaN where not rated and as padding"""
    return pad_sequence([_rows(example) for example in batch], batch_first=True, padding_value=nan)


def _rows(example: Example) -> Tensor:
    none = torch.full((len(example.labels), len(DIMENSIONS)), nan)
    return none if example.ratings is None else example.ratings
