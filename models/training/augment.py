"""What live use does to data, done to the training data: missing modalities, bare transcripts, wrong speakers, gain.

No two epochs are the same: this is drawn anew for each, and so is what is composed (`composition.py`).
The rule of this file: everything is drawn from the generator that is given, so an epoch can be drawn again, and a run
that was interrupted goes on as if it had not been.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from erc_live.models.batch import UtteranceBatch
from erc_live.models.corpora.dialogue import PROSODY
from erc_live.models.encoders.turns import bare
from erc_live.models.training.dialogue_dataset import Example


@dataclass(frozen=True)
class Disturbance:
    """How much to disturb. All but `gain_db`, a standard deviation, are probabilities per utterance. A gain is for
    audio vectors that begin with the prosody.
    """

    missing_text: float = 0.2
    missing_audio: float = 0.15
    missing_visual: float = 0.15
    unpunctuated: float = 0.1  # recognisers write few exclamation marks, some no marks at all
    wrong_speaker: float = 0.05
    gain_db: float = 6.0  # the level of a dialogue depends on the microphone


UNDISTURBED = Disturbance(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


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
    if len(gain) and how.gain_db:
        gain[PROSODY.index("avg_intensity")] = how.gain_db * torch.randn((), generator=generator)
    return replace(utterances, audio=utterances.audio + gain, speakers=speakers, present=present)


def augmented(
    dialogues: Sequence[Example], bare_vectors: Sequence[Tensor] | None, how: Disturbance, generator: Generator
) -> list[Example]:
    """One epoch of dialogues, in their order.

    `bare_vectors` are the text vectors of the dialogues without punctuation, one row for each utterance; None where
    texts are encoded anew in each step, because their encoder is tuned.
    """
    epoch = []
    for place, example in enumerate(dialogues):
        unmarked = chance(how.unpunctuated, len(example.texts), generator)
        utterances, texts = example.utterances, example.texts
        if bare_vectors is None:
            texts = tuple(bare(text) if un else text for text, un in zip(texts, unmarked.tolist(), strict=True))
        else:
            text = torch.where(unmarked[:, None], bare_vectors[place], utterances.text)
            utterances = replace(utterances, text=text)
        epoch.append(replace(example, texts=texts, utterances=disturb(utterances, how, generator)))
    return epoch
