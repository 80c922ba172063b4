"""The one table of what travels on the bus and on the public stream."""

from dataclasses import dataclass
from typing import Literal

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import (
    AudioChunk,
    EmotionEvent,
    Gap,
    Heartbeat,
    Hello,
    Overload,
    Relabel,
    SessionCommand,
    SessionEnd,
    SessionState,
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
    rate_hz: float
    late: Literal["keep", "newest"]
    recorded: bool


TOPICS = (
    Topic("audio", AudioChunk, 31.25, "keep", True),
    Topic("video", VideoFrame, 10.0, "keep", True),
    Topic("end", SourceEnd, 0.0, "keep", True),
    Topic("features", UtteranceFeatures, 0.5, "keep", True),
    Topic("status", WorkerStatus, 4.0, "newest", False),
    Topic("event", EmotionEvent, 0.5, "keep", True),
    Topic("hello", Hello, 0.0, "keep", True),
    Topic("annotation", Annotation, 0.0, "keep", True),
    Topic("alert", Alert, 0.0, "keep", True),
    Topic("gap", Gap, 0.0, "keep", True),
    Topic("relabel", Relabel, 0.0, "keep", True),
    Topic("overload", Overload, 0.0, "keep", True),
    Topic("worker_lost", WorkerLost, 0.0, "keep", True),
    Topic("heartbeat", Heartbeat, 1.0, "newest", False),
    Topic("command", SessionCommand, 0.0, "keep", False),
    Topic("session_state", SessionState, 0.0, "keep", True),
    Topic("session_end", SessionEnd, 0.0, "keep", True),
)

BY_NAME = {topic.name: topic for topic in TOPICS}
BY_MESSAGE = {topic.message: topic for topic in TOPICS}
