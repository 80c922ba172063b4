"""What the text encoder reads of a conversation: who said what, in order.

The rule of this file: no torch, so that who keeps the past of a conversation needs no network.
"""

import re
from collections.abc import Hashable, Sequence
from typing import NamedTuple

PAST = 24  # utterances with words before one that are read with it, as far as they fit (`text.PAST_TOKENS`)


class Turn(NamedTuple):
    """Who said what; a speaker is told from others, and nothing more is known of them."""

    speaker: Hashable
    text: str


def turns(speakers: Sequence[Hashable], texts: Sequence[str]) -> tuple[Turn, ...]:
    """The utterances of a dialogue, first to last. Raises ValueError when there are more of one than of the other."""
    return tuple(Turn(*pair) for pair in zip(speakers, texts, strict=True))


def bare(text: str) -> str:
    """What a recogniser without punctuation would write."""
    return " ".join(re.sub(r"[^\w\s'’]", " ", text).lower().split())
