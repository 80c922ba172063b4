"""The one table of what travels on the bus.

A topic on the wire is the name in the table, plus `.<source>` where several workers publish the same kind, so that each
full topic has one publisher and one unbroken sequence of numbers.
"""

from dataclasses import dataclass
from typing import Literal

from erc_live.streams.messages import (
    AudioChunk,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionCommand,
    SessionEnd,
    SessionState,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
    WorkerStatus,
)


@dataclass(frozen=True)
class Topic:
    """`rate_hz`: expected per source. `late`: keep every message, or only the newest when the reader falls behind.
    `queue`: messages a socket holds for a slow reader before it drops, which becomes a `Gap`.
    """

    name: str
    message: type
    encoding: Literal["frames", "json"]
    rate_hz: float
    late: Literal["keep", "newest"]
    queue: int
    recorded: bool


TOPICS = (
    Topic("audio", AudioChunk, "frames", 31.25, "keep", 1000, True),  # 32 s
    Topic("video", VideoFrame, "frames", 10.0, "newest", 32, True),  # a burst fits; 1.3 MB of 40 kB pictures
    Topic("end", SourceEnd, "frames", 0.0, "keep", 100, True),
    Topic("features", UtteranceFeatures, "frames", 0.5, "keep", 1000, True),
    Topic("status", WorkerStatus, "frames", 4.0, "newest", 10, False),
    Topic("event", EmotionEvent, "json", 0.5, "keep", 1000, True),
    Topic("hello", Hello, "json", 0.0, "keep", 100, True),
    Topic("gap", Gap, "json", 0.0, "keep", 1000, True),
    Topic("relabel", Relabel, "json", 0.0, "keep", 1000, True),
    Topic("overload", Overload, "json", 0.0, "keep", 1000, True),
    Topic("command", SessionCommand, "frames", 0.0, "keep", 100, False),
    Topic("session_state", SessionState, "json", 0.0, "keep", 100, True),
    Topic("session_end", SessionEnd, "json", 0.0, "keep", 100, True),
)

BY_NAME = {topic.name: topic for topic in TOPICS}
BY_MESSAGE = {topic.message: topic for topic in TOPICS}
