"""The network that hears how a voice sounds: layers that thousands of people taught, and a linear answer on them.

Twenty actors teach a network their own habits; layers that have heard thousands of people know less of each. So what
listens is frozen: the first blocks of the encoder that was taught to write down what is said (whisper_encoder.py), and
the first layers of the network that was taught to tell speakers apart (speaker.py). An utterance is described by the
mean and the deviation of each of their states over time. What acted emotions teach is the last, linear layer alone.

It would be surest where it is wrong: on languages and machines that no actor resembles. So the network also knows how
its training voices lie in the description, and the farther a voice lies from these, the flatter is its answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from erc_live.models.encoders.speaker import BANDS, Mel
from erc_live.models.encoders.speaker import WIDTH as RECURRENT
from erc_live.models.encoders.whisper_encoder import STATE, WhisperEncoder, WhisperMel

CLASSES = 7
DIRECTIONS = 32  # in which voices differ most; of 32, 64 and 128 the best with the network before this one
LEAST = 1e-3  # of the mean variance: that of the other directions, of a few voices, may be none

SAME = 1e-4  # deviation of a number that tells nobody from anybody, and would be rounding, magnified


@dataclass(frozen=True)
class VoiceConfig:
    """How many blocks of Whisper's encoder listen, and how many layers of the network that tells speakers apart."""

    blocks: int = 4
    layers: int = 2

    @property
    def width(self) -> int:
        """Numbers that describe an utterance: a mean and a deviation of each state, and of the convolutions."""
        return 2 * ((self.blocks + 1) * STATE + self.layers * RECURRENT)


class VoiceNetwork(nn.Module):
    """Log-probabilities of the labels of one utterance, the speech alone at one loudness. `listener` is as others
    taught it; the rest is learnt from descriptions, the first of them the standard by which it measures all.
    """

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__()
        self.config = config
        self.listener = Listener(config)
        self.standard = Standard(config.width)
        self.familiarity = Familiarity(config.width)
        self.head = nn.Linear(config.width, CLASSES)

    def forward(self, wave: Tensor) -> Tensor:
        """The answer, flatter for unfamiliar voices. Shapes: (samples,) -> (7,)"""
        logits, distance = self.answers(self.listener(wave)[None])
        return (logits / self.familiarity.temperature(distance)[:, None]).log_softmax(1)[0]

    def answers(self, descriptions: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as they are, and how far the voices lie from those that were learnt from.

        Shapes: (n, width) -> (n, 7), (n,)
        """
        seen = self.standard(descriptions)
        return self.head(seen), self.familiarity.distance(seen)


class Listener(nn.Module):
    """A wave to the means and deviations of the layers that it passes. Shapes: (samples,) -> (width,)"""

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__()
        self.width = config.width
        self.whisper = WhisperEncoder(config.blocks)
        widths = (BANDS, *[RECURRENT] * (config.layers - 1))[: config.layers]
        self.layers = nn.ModuleList(nn.LSTM(width, RECURRENT, batch_first=True) for width in widths)
        self._log_mel, self._mel = WhisperMel(), Mel(BANDS)

    def forward(self, wave: Tensor) -> Tensor:
        states = self.whisper(self._log_mel(wave[None]))
        seen = self._mel(wave[None]) if self.layers else wave
        for layer in self.layers:
            seen, _ = layer(seen)
            states.append(seen)
        return torch.cat([part for state in states for part in (state[0].mean(0), state[0].std(0, correction=0))])

    def begin_with(self, whisper: Mapping[str, Tensor], speakers: Mapping[str, Tensor]) -> None:
        """Take the weights of a `WhisperEncoder`, and of the layers that tell speakers apart, of which only the first
        are wanted.
        """
        self.whisper.load_state_dict(whisper)
        for place, layer in enumerate(self.layers):
            names = {name: f"{name.removesuffix('0')}{place}" for name in layer.state_dict()}
            layer.load_state_dict({name: speakers[theirs] for name, theirs in names.items()})


class Standard(nn.Module):
    """Descriptions less the mean of those that were learnt from, by their deviations. Shapes: (n, width) twice"""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, descriptions: Tensor) -> Tensor:
        return (descriptions - self.mean) / self.deviation

    def fit(self, learnt: Tensor) -> None:
        """Learn mean and deviation. Shapes: (n, width), n > 1; what is about the same for all counts as it is."""
        deviation = learnt.std(0)
        self.mean.copy_(learnt.mean(0))
        self.deviation.copy_(torch.where(deviation > SAME, deviation, 1.0))


class Familiarity(nn.Module):
    """How far a voice lies from those that were learnt from, and by what its logits are divided for that.

    Distance: that of Mahalanobis from the mean of the training voices (as Lee et al. 2018, with one mean for all
    classes), under the Gaussian of probabilistic principal components (Tipping and Bishop 1999): a variance for each of
    the `DIRECTIONS` in which these voices differ most, one for all others. It is divided by the root of the number of
    dimensions, so 1 is usual among them. Up to `usual`, within which most people lie who taught nothing, the divisor is
    1; beyond, it grows by `slope` for each unit. Before anything is learnt it is always 1.
    """

    centre: Tensor
    directions: Tensor
    variances: Tensor
    rest: Tensor
    usual: Tensor
    slope: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        for name, start in (
            ("centre", torch.zeros(width)),
            ("directions", torch.eye(DIRECTIONS, width)),
            ("variances", torch.ones(DIRECTIONS)),
            ("rest", torch.ones(())),
            ("usual", torch.zeros(())),
            ("slope", torch.zeros(())),
        ):
            self.register_buffer(name, start)

    def fit(self, learnt: Tensor) -> None:
        """Learn where the training voices lie. Shapes: (n, width), n > 1, width > `DIRECTIONS`"""
        away = (learnt - learnt.mean(0)).double()
        _, lengths, directions = torch.linalg.svd(away, full_matrices=False)
        variances = torch.zeros(DIRECTIONS, dtype=torch.float64)
        found = lengths[:DIRECTIONS].square() / (len(learnt) - 1)
        variances[: len(found)] = found
        whole = away.square().sum() / (len(learnt) - 1)
        rest = ((whole - found.sum()) / (learnt.shape[1] - DIRECTIONS)).clamp(min=LEAST * whole / learnt.shape[1])
        self.centre.copy_(learnt.mean(0))
        self.directions.zero_()[: len(found)] = directions[:DIRECTIONS]
        self.variances.copy_(variances.clamp(min=rest))
        self.rest.copy_(rest)

    def distance(self, seen: Tensor) -> Tensor:
        """Shapes: (n, width) -> (n,)"""
        away = seen - self.centre
        along = (away @ self.directions.T).square()
        beside = (away.square().sum(1) - along.sum(1)).clamp(min=0)
        return (((along / self.variances).sum(1) + beside / self.rest) / seen.shape[1]).sqrt()

    def temperature(self, distance: Tensor) -> Tensor:
        """What divides the logits of voices so far away. Shapes: (n,) -> (n,), at least 1"""
        return 1 + self.slope * (distance - self.usual).clamp(min=0)
