"""What a shard says: to those who send, to those who read, and in figures. The rule of this file: data alone."""

from dataclasses import dataclass, field
from typing import NamedTuple

from erc_live.streams.feature_channel import Receipt


class DialogueMessage(NamedTuple):
    """A message of the public stream of a dialogue, as JSON."""

    topic: str
    dialogue: str
    data: bytes


@dataclass
class ShardOutcome:
    """What is to be sent now."""

    receipts: list[tuple[bytes, Receipt]] = field(default_factory=list)
    published: list[DialogueMessage] = field(default_factory=list)


@dataclass
class ShardCounts:
    """What happened since the start: final utterances stored, sent once more, turned away, and those that could not be
    classified; and provisional ones given up.
    """

    stored: int = 0
    repeated: int = 0
    refused: int = 0
    failed: int = 0
    dropped: int = 0
