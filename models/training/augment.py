"""What live use does to data, done to the training data: missing modalities, bare transcripts, wrong speakers, gain."""

import re
from dataclasses import dataclass, replace

import torch

from erc_live.models.batch import UtteranceBatch
from erc_live.models.training.corpora import PROSODY


@dataclass(frozen=True)
class Disturbance:
    """How much to disturb. The first four are probabilities per utterance; `gain_db` is a standard deviation."""

    missing_text: float = 0.05
    missing_audio: float = 0.15
    unpunctuated: float = 0.1  # recognisers write few exclamation marks, some no marks at all
    wrong_speaker: float = 0.05
    gain_db: float = 6.0  # the level of a dialogue depends on the microphone


def transcribed(text: str, how: Disturbance) -> str:
    """The text, or by chance what a recogniser without punctuation would write."""
    if torch.rand(()) >= how.unpunctuated:
        return text
    return " ".join(re.sub(r"[^\w\s'’]", " ", text).lower().split())


def disturb(utterances: UtteranceBatch, how: Disturbance) -> UtteranceBatch:
    """A dialogue with some texts or prosodies hidden (never both), some speakers mistaken, and another gain."""
    n = len(utterances)
    draw = torch.rand(n)
    no_text, no_audio = draw < how.missing_text, draw > 1.0 - how.missing_audio
    present = utterances.present & ~torch.stack((no_text, no_audio, torch.zeros_like(no_text)), dim=1)
    present = torch.where(present.any(1, keepdim=True), present, utterances.present)
    anybody = torch.randint(int(utterances.speakers.max()) + 1, (n,))
    speakers = torch.where(torch.rand(n) < how.wrong_speaker, anybody, utterances.speakers)
    gain = torch.zeros(len(PROSODY))
    gain[PROSODY.index("avg_intensity")] = how.gain_db * torch.randn(())
    return replace(utterances, audio=utterances.audio + gain, speakers=speakers, present=present)
