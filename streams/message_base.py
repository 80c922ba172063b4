"""What every message is made of: the two kinds of messages, and the bounds of their numbers.

The rule of this file: frozen and keyword-only. Messages of the public stream tolerate unknown fields, so that a
subscriber written today reads what a later version adds; those inside a session refuse them.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Bipolar = Annotated[float, Meta(ge=-1.0, le=1.0)]
Count = Annotated[int, Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """A message between the processes of one session."""


class PublicMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A message of the public event stream: JSON on the wire, additive changes only within a schema version."""
