"""What live use does to data, done to the training data: missing modalities, bare transcripts, wrong speakers, gain.

The rule of this file: everything is drawn from the generator that is given, so an epoch can be drawn again.
"""

import re
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from erc_live.models.batch import UtteranceBatch
from erc_live.models.corpora.dialogue import PROSODY


@dataclass(frozen=True)
class Disturbance:
    """How much to disturb. All but `gain_db`, a standard deviation, are probabilities per utterance."""

    missing_text: float = 0.05
    missing_audio: float = 0.15
    missing_visual: float = 0.15
    unpunctuated: float = 0.1  # recognisers write few exclamation marks, some no marks at all
    wrong_speaker: float = 0.05
    gain_db: float = 6.0  # the level of a dialogue depends on the microphone


def bare(text: str) -> str:
    """What a recogniser without punctuation would write."""
    return " ".join(re.sub(r"[^\w\s'’]", " ", text).lower().split())


def chance(probability: float, count: int, generator: Generator) -> Tensor:
    """Independent draws. Shapes: -> (count,) bool"""
    return torch.rand(count, generator=generator) < probability


def disturb(utterances: UtteranceBatch, how: Disturbance, generator: Generator) -> UtteranceBatch:
    """A dialogue with some modalities hidden (never the last of an utterance), some speakers mistaken, another gain."""
    n = len(utterances)
    missing = (how.missing_text, how.missing_audio, how.missing_visual)
    hidden = torch.stack([chance(probability, n, generator) for probability in missing], dim=1)
    present = utterances.present & ~hidden
    present = torch.where(present.any(1, keepdim=True), present, utterances.present)
    anybody = torch.randint(int(utterances.speakers.max()) + 1, (n,), generator=generator)
    speakers = torch.where(chance(how.wrong_speaker, n, generator), anybody, utterances.speakers)
    gain = torch.zeros(utterances.audio.shape[1])
    if len(gain):
        gain[PROSODY.index("avg_intensity")] = how.gain_db * torch.randn((), generator=generator)
    return replace(utterances, audio=utterances.audio + gain, speakers=speakers, present=present)
