"""What a voice network says of people who taught it nothing, and what follows from it: how sure it may be of others.

Two things are fitted on such people: one temperature, and the distance from the training voices at which they usually
lie. Beyond that distance the answer becomes flatter, so that a language, a machine or a line that nobody taught gets
an unsure answer instead of a wrong one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from erc_live.models.encoders.voice import LogMel, samples
from erc_live.models.encoders.voice_network import CLASSES, VoiceNetwork
from erc_live.models.training.calibration import temperature
from erc_live.models.training.sounds import DEGRADATIONS, degrade
from erc_live.models.training.voice_dataset import VoiceClip, classes_of

CONDITIONS: tuple[tuple[str, ...], ...] = ((), *((name,) for name in DEGRADATIONS))  # under which voices are heard
USUAL = 0.9  # quantile of the distances of people who taught nothing, up to which the answer stays as it is
SLOPE = 4.0  # of the temperature beyond it


@dataclass(frozen=True)
class Unheard:
    """What was said of n clips under each of `CONDITIONS`, NaN where nothing is usable, before any temperature.

    Shapes: labels (n,) int64, logits (conditions, n, 7), distances (conditions, n).
    """

    labels: Tensor
    logits: Tensor
    distances: Tensor


def know_voices(network: VoiceNetwork, clips: Sequence[VoiceClip]) -> None:
    """Let the network learn where its training voices lie: each clip under one of the conditions, in turn."""
    every = len(CONDITIONS)
    pooled = torch.cat([_encoded(network, clips[at::every], names)[1] for at, names in enumerate(CONDITIONS)])
    network.familiarity.fit(pooled[pooled.isfinite().all(1)])


def answers_of(network: VoiceNetwork, clips: Sequence[VoiceClip]) -> Unheard:
    """What a network, which knows its voices, says of other people."""
    logits, pooled = zip(*(_encoded(network, clips, names) for names in CONDITIONS), strict=True)
    distances = torch.stack([network.familiarity.distance(each) for each in pooled])
    return Unheard(classes_of(clips), torch.stack(logits), distances)


def calibrate(network: VoiceNetwork, unheard: Unheard) -> dict[str, float]:
    """Fit the temperature and the usual distance on clean clips of people who taught nothing; for the card."""
    softness = clean_temperature(unheard)
    with torch.no_grad():
        for head in (network.convolutional.head, network.recurrent.head):
            head.weight.div_(softness)
            head.bias.div_(softness)
    network.familiarity.usual.fill_(usual := usual_distance(unheard))
    network.familiarity.slope.fill_(SLOPE)
    return {"temperature": softness, "usual_distance": usual, "slope": SLOPE}


def clean_temperature(unheard: Unheard) -> float:
    """The temperature that makes the labels of the clean clips likeliest."""
    return temperature(unheard.logits[0], unheard.labels)


def usual_distance(unheard: Unheard) -> float:
    """Within which most clean clips lie."""
    return float(torch.nanquantile(unheard.distances[0], USUAL))


@torch.no_grad()
def _encoded(network: VoiceNetwork, clips: Sequence[VoiceClip], names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Logits and descriptions, a clip by itself as in live use. Shapes: -> (n, 7), (n, D)"""
    logmel = LogMel(network.config.bands)
    logits = torch.full((len(clips), CLASSES), torch.nan)
    pooled = torch.full((len(clips), len(network.familiarity.centre)), torch.nan)
    for row, clip in enumerate(clips):
        seen = logmel(samples(degrade(clip.pcm, names)))
        if seen is not None:
            both, pooled[row] = (part[0] for part in network.described(seen[None]))
            logits[row] = both.mean(0)
    return logits, pooled
