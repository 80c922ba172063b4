"""What people add to a session, and what rules make of it: annotations and alerts, messages of the public stream.

The rule of this file: neither ever changes an estimate. Who shows or exports a session lays them over it.
"""

from typing import Annotated, Literal

from msgspec import Meta

from erc_live.streams.message_base import Count, PublicMessage

NOTE_LENGTH = 2_000  # characters of a note or name, at most

AnnotationKind = Literal["mark", "name", "label"]
Note = Annotated[str, Meta(max_length=NOTE_LENGTH)]


class Annotation(PublicMessage, frozen=True, kw_only=True):
    """What a person said about a session, while it ran or later. Stays beside the estimate, never in its place.

    `t_ns`: the moment it is about, on the clock of the session; `wall_ns` (Unix time): when it was made. `author`: who
    made it, a name or the program that sent it. By `kind`: a "mark" is a moment with a note (`text`); a "name" says
    that `speaker` is called `text` from here on and was before; a "label" says that `label` is what `author` takes the
    expression of `utterance` for, a word of `Hello.labels` or one of their own. A later one of the same kind about the
    same speaker or utterance by the same author takes the place of an earlier one.
    """

    session: str
    t_ns: int
    wall_ns: int
    author: Note
    kind: AnnotationKind
    text: Note = ""
    speaker: Count | None = None
    utterance: str | None = None
    label: Note | None = None


class Alert(PublicMessage, frozen=True, kw_only=True):
    """A rule of the configuration came true, or ceased to be.

    `rule`: its name. `on`: whether it holds from `t_ns` on. `value`: the number that the rule compares, None where it
    compares none (a shift). `speaker`: whom it is about, None where it is about the session. `text`: one line for
    people.
    """

    session: str
    t_ns: int
    rule: str
    on: bool
    text: str
    value: float | None = None
    speaker: Count | None = None
    speaker_name: str | None = None
