"""The public names: what another program needs to follow a session."""

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.errors import StreamLost
from erc_live.streams.messages import (
    SCHEMA,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionEnd,
    SessionState,
    Word,
    WorkerLost,
)
from erc_live.streams.schema import event_schema
from erc_live.streams.subscribe import subscribe

__all__ = [
    "SCHEMA",
    "Alert",
    "Annotation",
    "EmotionEvent",
    "Gap",
    "Hello",
    "Overload",
    "Relabel",
    "SessionEnd",
    "SessionState",
    "StreamLost",
    "Word",
    "WorkerLost",
    "event_schema",
    "subscribe",
]
