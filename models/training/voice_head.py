"""What acted emotions teach the voice network: a linear layer on the descriptions of clips, and how unsure it is.

The layer is a logistic regression. Two things are then fitted on people who taught it nothing: one temperature, and the
distance from the training voices at which they usually lie. Beyond that distance the answer becomes flatter, so that a
language, a machine or a line that nobody taught gets an unsure answer instead of a wrong one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from erc_live.models.encoders.voice_network import CLASSES, VoiceNetwork
from erc_live.models.training.calibration import temperature
from erc_live.models.training.logistic_regression import logistic_regression
from erc_live.models.training.voice_dataset import DescribedVoices

USUAL = 0.9  # quantile of the distances of people who taught nothing, up to which the answer stays as it is
SLOPE = 4.0  # of the temperature beyond it


@dataclass(frozen=True)
class Unheard:
    """What was said of n clips under each condition, NaN where nothing is usable, before any temperature.

    Shapes: labels (n,) int64, logits (conditions, n, 7), distances (conditions, n).
    """

    labels: Tensor
    logits: Tensor
    distances: Tensor


def fit_head(network: VoiceNetwork, voices: DescribedVoices, pull: float) -> None:
    """Learn the answer to the clips, as they are and as copies, and where these voices lie.

    `pull`: of the layer's weights towards 0 (logistic_regression.py).
    """
    clean = voices.conditions[0]
    learnt = torch.cat((clean[None], voices.copies)).flatten(0, 1)
    network.standard.fit(learnt)
    labels = voices.labels.repeat(1 + len(voices.copies))
    weight, bias = logistic_regression(network.standard(learnt), labels, CLASSES, pull)
    network.head.load_state_dict({"weight": weight, "bias": bias})
    every = len(voices.conditions)
    known = torch.cat([rows[at::every] for at, rows in enumerate(voices.conditions)])  # each clip under one of them
    with torch.no_grad():
        network.familiarity.fit(network.standard(known[known.isfinite().all(1)]))


@torch.no_grad()
def answers_of(network: VoiceNetwork, voices: DescribedVoices) -> Unheard:
    """What a network says of people who taught it nothing."""
    said = [network.answers(rows) for rows in voices.conditions]
    logits, distances = (torch.stack(part) for part in zip(*said, strict=True))
    return Unheard(voices.labels, logits, distances)


def calibrate(network: VoiceNetwork, unheard: Unheard) -> dict[str, float]:
    """Fit the temperature and the usual distance on clean clips of people who taught nothing; for the card."""
    softness = clean_temperature(unheard)
    with torch.no_grad():
        network.head.weight.div_(softness)
        network.head.bias.div_(softness)
    network.familiarity.usual.fill_(usual := usual_distance(unheard))
    network.familiarity.slope.fill_(SLOPE)
    return {"temperature": softness, "usual_distance": usual, "slope": SLOPE}


def clean_temperature(unheard: Unheard) -> float:
    """The temperature that makes the labels of the clean clips likeliest."""
    return temperature(unheard.logits[0], unheard.labels)


def usual_distance(unheard: Unheard) -> float:
    """Within which most clean clips lie."""
    return float(torch.nanquantile(unheard.distances[0], USUAL))
