"""The public names: what another program needs to follow a session."""

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
)
from erc_live.streams.schema import event_schema
from erc_live.streams.subscribe import subscribe

__all__ = [
    "SCHEMA",
    "EmotionEvent",
    "Gap",
    "Hello",
    "Overload",
    "Relabel",
    "SessionEnd",
    "SessionState",
    "Word",
    "event_schema",
    "subscribe",
]
