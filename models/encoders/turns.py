"""What the text encoder reads of the past: who said what before an utterance.

The rule of this file: no torch, so that who keeps the past of a conversation needs no network.
"""

import re
from collections.abc import Hashable, Sequence
from typing import NamedTuple

PAST = 3  # utterances


class Turn(NamedTuple):
    """What was said before an utterance, and whether the same person said it."""

    same_speaker: bool
    text: str


def turns(speakers: Sequence[Hashable], texts: Sequence[str]) -> list[tuple[Turn, ...]]:
    """What was said before each utterance of a dialogue, oldest first: the last `PAST` of those that have words."""
    past: list[tuple[Hashable, str]] = []
    contexts = []
    for speaker, text in zip(speakers, texts, strict=True):
        contexts.append(tuple(Turn(who == speaker, what) for who, what in past[-PAST:]))
        if text.strip():
            past.append((speaker, text))
    return contexts


def bare(text: str) -> str:
    """What a recogniser without punctuation would write."""
    return " ".join(re.sub(r"[^\w\s'’]", " ", text).lower().split())
