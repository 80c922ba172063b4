"""The first layers of Whisper's encoder (Radford et al. 2022), as `tiny.en` has them: what they make of an utterance.

They were learnt from hundreds of thousands of hours of speech by many people, to write down what is said; on the way
they keep how it is said. Nothing is padded to the 30 s that the recogniser reads: positions begin at the utterance and
end with it, so a second costs what a second is worth. The mel spectrogram is Whisper's, but for the edges of the sound,
where silence is taken to go on, and not the sound in a mirror.
The rule of this file: it computes and reads no file. `published` names the weights as the conversion for CTranslate2
calls them.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from erc_live.models.encoders.speaker import Mel

MEL_BANDS, STATE, HEADS = 80, 384, 6  # of `tiny.en`
LAYERS = 4  # that there are
LONGEST = 3_000  # mel frames, 30 s: for more there are no positions
LEAST_POWER, RANGE = 1e-10, 8.0  # of the mel power; powers of ten below the loudest, under which all is one


class WhisperMel:
    """Waves to the log-mel that Whisper reads."""

    def __init__(self) -> None:
        self._mel = Mel(MEL_BANDS)

    def __call__(self, waves: Tensor) -> Tensor:
        """Shapes: waves (n, samples) float32 in [-1, 1] at 16 kHz -> (n, MEL_BANDS, frames), 10 ms each, `LONGEST` at
        most.
        """
        power = self._mel(waves)[:, : min(waves.shape[1] // Mel.HOP, LONGEST)].transpose(1, 2)
        log = power.clamp(min=LEAST_POWER).log10()
        return (torch.maximum(log, log.amax((1, 2), keepdim=True) - RANGE) + 4) / 4


class WhisperEncoder(nn.Module):
    """The convolutions and the first `layers` blocks."""

    def __init__(self, layers: int = LAYERS) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(MEL_BANDS, STATE, 3, padding=1)
        self.conv2 = nn.Conv1d(STATE, STATE, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(_EncoderBlock() for _ in range(layers))
        self.register_buffer("positions", sinusoids(LONGEST // 2), persistent=False)
        self.positions: Tensor

    def forward(self, logmel: Tensor) -> list[Tensor]:
        """What the convolutions and then each block hand on.

        Shapes: (n, MEL_BANDS, frames), frames <= LONGEST -> layers + 1 times (n, ceil(frames / 2), STATE)
        """
        seen = F.gelu(self.conv2(F.gelu(self.conv1(logmel)))).transpose(1, 2)
        states = [seen + self.positions[: seen.shape[1]]]
        for block in self.blocks:
            states.append(block(states[-1]))
        return states


class _EncoderBlock(nn.Module):
    """Attention over the whole utterance, then two linear layers; each beside a shortcut. Shapes: (n, T, STATE)"""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(STATE)
        self.queries_keys_values = nn.Linear(STATE, 3 * STATE)
        self.attended = nn.Linear(STATE, STATE)
        self.widening_norm = nn.LayerNorm(STATE)
        self.widen = nn.Linear(STATE, 4 * STATE)
        self.narrow = nn.Linear(4 * STATE, STATE)

    def forward(self, states: Tensor) -> Tensor:
        three = self.queries_keys_values(self.attention_norm(states))
        queries, keys, values = three.unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        states = states + self.attended(mixed)
        handed_on: Tensor = states + self.narrow(F.gelu(self.widen(self.widening_norm(states))))
        return handed_on


def sinusoids(length: int) -> Tensor:
    """Where a frame stands: sines and cosines of wavelengths from 2 pi to 20,000 pi. Shapes: (length, STATE)"""
    rates = torch.exp(-math.log(10_000) / (STATE // 2 - 1) * torch.arange(STATE // 2, dtype=torch.float64))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), 1).float()


def published(variables: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The weights of a `WhisperEncoder` from the variables `encoder/...` of a conversion for CTranslate2.

    Raises KeyError when there is no such variable.
    """
    weights = {f"{conv}.{part}": variables[f"encoder/{conv}/{part}"] for conv in ("conv1", "conv2") for part in _PARTS}
    for place in range(layers):
        for ours, theirs in _BLOCK.items():
            parts = zip(_PARTS, ("gamma", "beta") if "norm" in ours else _PARTS, strict=True)
            for part, their_part in parts:
                weights[f"blocks.{place}.{ours}.{part}"] = variables[f"encoder/layer_{place}/{theirs}/{their_part}"]
    return {name: values.float() for name, values in weights.items()}


_PARTS = ("weight", "bias")
_BLOCK = {
    "attention_norm": "self_attention/layer_norm",
    "queries_keys_values": "self_attention/linear_0",
    "attended": "self_attention/linear_1",
    "widening_norm": "ffn/layer_norm",
    "widen": "ffn/linear_0",
    "narrow": "ffn/linear_1",
}
