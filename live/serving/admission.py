"""Who may come in: which dialogues, and which of their utterances.

The rule of this file: pure; a refusal says what, why and what to do, in one line. What is let in cannot make the state
of a dialogue, or a record of it, larger than it may be.
"""

from dataclasses import dataclass

import numpy as np

from erc_live.live.tracking.tracker import DialogueMemory
from erc_live.streams.feature_channel import DIALOGUE, DialogueInput, Receipt, Verdict, message_key
from erc_live.streams.messages import SourceEnd, UtteranceFeatures
from erc_live.streams.plural import counted

SPEAKERS = 32  # of one dialogue
NAME_LETTERS = 100
TEXT_LETTERS = 10_000
WORDS = 2_000
VALUE = 1e6  # beyond it, no encoder has made a value


@dataclass(frozen=True)
class Room:
    """How many dialogues may be open at once, and why not more."""

    dialogues: int
    reason: str = "--dialogues"


def receipt(message: DialogueInput, verdict: Verdict, why: str = "") -> Receipt:
    """What becomes of it."""
    utterance, revision = message_key(message)
    return Receipt(
        dialogue=dialogue_of(message)[: NAME_LETTERS * 2],
        utterance=utterance[: NAME_LETTERS * 2],
        revision=revision,
        verdict=verdict,
        why=why,
    )


def dialogue_of(message: DialogueInput) -> str:
    """Which dialogue a message is of."""
    return message.source if isinstance(message, SourceEnd) else message.dialogue


def crowded(dialogues: int, room: Room) -> str:
    """Why no further dialogue can be opened, "" if it can."""
    if dialogues < room.dialogues:
        return ""
    opened = f"{counted(dialogues, 'dialogue')} {'is' if dialogues == 1 else 'are'} open"
    return f"{opened}, and there is room for {room.dialogues} ({room.reason}): try again later"


def objection(features: UtteranceFeatures, memory: DialogueMemory) -> str:
    """Why an utterance is never taken like this, "" if it is. `memory`: of its dialogue."""
    if not DIALOGUE.fullmatch(features.dialogue):
        return "a dialogue is named by 1 to 64 letters, digits, - and _, the first no sign"
    if longest := _too_long(features):
        return longest
    for modality, vector in features.vectors.items():
        if vector.ndim != 1 or vector.dtype != np.float32:
            return f"the {modality} vector is {vector.dtype} of shape {vector.shape}: send float32 of one dimension"
        if not np.vdot(vector, vector) < VALUE**2 / 2 and _peak(vector) > VALUE:  # of most, the first tells enough
            return f"the {modality} vector has values beyond {VALUE:g}: no encoder makes such"
    confidence = features.text_confidence
    if confidence is not None and not 0 <= confidence <= 1:
        return f"text_confidence is {confidence}: send a number from 0 to 1"
    voice = features.speaker_name or features.voice or features.source
    if voice not in memory.speakers and len(memory.speakers) >= SPEAKERS:
        return f"the dialogue has {SPEAKERS} speakers, and {voice!r} is none of them: begin another dialogue"
    return ""


def _peak(vector: np.ndarray) -> float:
    """The greatest of its values that are numbers."""
    return float(np.nanmax(np.abs(vector), initial=0.0, where=np.isfinite(vector)))


def _too_long(features: UtteranceFeatures) -> str:
    names = (features.utterance, features.source, features.speaker_name or "", features.voice or "")
    if max(map(len, names)) > NAME_LETTERS:
        return f"an id or a name has more than {NAME_LETTERS} letters"
    if len(features.text) > TEXT_LETTERS or len(features.words) > WORDS:
        return f"it has more than {TEXT_LETTERS} letters or {WORDS} words: cut the utterance sooner"
    return ""
