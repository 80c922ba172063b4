"""What people say about a session that runs: checked, stamped, and the names that they give, laid over what follows.

A name counts from where it is given; who shows what came before renames it there. It outlives every process but the
one that keeps this. The rule of this file: what is said about somebody or something that is not there is refused in a
line, and an estimate stays what it is.
"""

import time
from collections import OrderedDict
from typing import Any

from msgspec import structs

from erc_live.streams.annotations import Annotation, AnnotationKind
from erc_live.streams.clock import Clock
from erc_live.streams.control_channel import LabelRequest, MarkRequest, NameRequest, NoteRequest
from erc_live.streams.messages import EmotionEvent

MOST_UTTERANCES = 20_000  # that can still be corrected; more than a day of talk


class SessionNotes:
    """`named` passes each event on under the name that somebody gave; `check` and `stamped` take an annotation."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._names: dict[int, str] = {}
        self._speakers: dict[int, str] = {}  # as they are called now
        self._begins_ns: OrderedDict[str, int] = OrderedDict()

    def named(self, event: EmotionEvent) -> EmotionEvent:
        """The event, with the name that its speaker was given."""
        name = self._names.get(event.speaker)
        self._speakers[event.speaker] = name or event.speaker_name
        self._begins_ns[event.utterance] = event.t_start_ns
        if len(self._begins_ns) > MOST_UTTERANCES:
            self._begins_ns.popitem(last=False)
        return event if name is None else structs.replace(event, speaker_name=name)

    def check(self, annotation: Annotation) -> str:
        """Why it cannot be; "" where it can."""
        match annotation.kind:
            case "name" if annotation.speaker not in self._speakers:
                return f"there is no such speaker: {self._known}"
            case "name" if not annotation.text.strip():
                return "a name is needed"
            case "label" if annotation.utterance not in self._begins_ns:
                return f"there is no utterance {annotation.utterance!r}: take the field `utterance` of an event"
            case "label" if not (annotation.label or "").strip():
                return "a label is needed"
        return ""

    def stamped(self, annotation: Annotation) -> Annotation:
        """As it is published: of this session, made now, and about the moment of what it is about. The names of those
        who speak from now on are in it.
        """
        fields: dict[str, object] = {"session": self._session, "wall_ns": time.time_ns()}
        if annotation.kind == "name" and annotation.speaker is not None:
            name = " ".join(annotation.text.split())
            self._names[annotation.speaker] = self._speakers[annotation.speaker] = name
            fields |= {"text": name}
        if annotation.kind == "label":
            fields |= {"t_ns": self._begins_ns[annotation.utterance or ""]}
        return structs.replace(annotation, **fields)

    @property
    def _known(self) -> str:
        """In the order of their numbers, and without these: programs count from 0, people from 1."""
        people = ", ".join(name for _, name in sorted(self._speakers.items()))
        return f"those who have spoken are, in this order, {people}" if people else "nobody has spoken yet"


def annotation_of(request: MarkRequest | NameRequest | LabelRequest, clock: Clock | None) -> Annotation:
    """What a program asked to be noted, as of now where it does not say when. `clock`: None before a session begins."""
    now_ns = 0 if clock is None else clock.now_ns()
    match request:
        case MarkRequest():
            t_ns = now_ns if request.t_ns is None else request.t_ns
            return _of(request, "mark", t_ns, text=request.text)
        case NameRequest():
            return _of(request, "name", now_ns, text=request.text, speaker=request.speaker)
        case LabelRequest():
            return _of(request, "label", now_ns, utterance=request.utterance, label=request.label)


def _of(request: NoteRequest, kind: AnnotationKind, t_ns: int, **fields: Any) -> Annotation:
    return Annotation(session="", t_ns=t_ns, wall_ns=0, author=request.author, kind=kind, **fields)
