"""The one table of what travels on the bus and on the public stream."""

from dataclasses import dataclass
from typing import Literal

from erc_live.streams.messages import (
    AudioChunk,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionEnd,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
    WorkerLost,
    WorkerStatus,
)


@dataclass(frozen=True)
class Topic:
    """`rate_hz`: expected per source. `late`: every message is kept for a reader that falls behind, or only the newest
    counts.
    """

    name: str
    message: type
    encoding: Literal["frames", "json"]
    rate_hz: float
    late: Literal["keep", "newest"]
    recorded: bool


TOPICS = (
    Topic("audio", AudioChunk, "frames", 31.25, "keep", True),
    Topic("video", VideoFrame, "frames", 10.0, "keep", True),
    Topic("end", SourceEnd, "frames", 0.0, "keep", True),
    Topic("features", UtteranceFeatures, "frames", 0.5, "keep", True),
    Topic("status", WorkerStatus, "frames", 4.0, "newest", False),
    Topic("event", EmotionEvent, "json", 0.5, "keep", True),
    Topic("hello", Hello, "json", 0.0, "keep", True),
    Topic("gap", Gap, "json", 0.0, "keep", True),
    Topic("relabel", Relabel, "json", 0.0, "keep", True),
    Topic("overload", Overload, "json", 0.0, "keep", True),
    Topic("worker_lost", WorkerLost, "json", 0.0, "keep", True),
    Topic("session_end", SessionEnd, "json", 0.0, "keep", True),
)

BY_NAME = {topic.name: topic for topic in TOPICS}
BY_MESSAGE = {topic.message: topic for topic in TOPICS}
