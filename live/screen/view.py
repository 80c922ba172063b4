"""What the screen knows of a session: a value, and the one function that moves it on.

`reduce` is pure and its result is bounded whatever arrives, so a day of talk costs the memory of an hour, and every
screen can be rebuilt from a log. The rule of this file: no terminal, no clock, no style; what arrives is kept as it
came (cut in length only), and made harmless where it is drawn (`theme.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import (
    SUPERVISOR,
    AnyMessage,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    SessionEnd,
    SessionState,
    WorkerStatus,
)

MAX_UTTERANCES = 2000  # two hours of lively talk, some 4 MB
MAX_TREND = 30
MAX_SPEAKERS = 32
MAX_WORKERS = 64
MAX_GAPS = 20  # remembered one by one, to know them again; the counts go on
MAX_WARNINGS = 8
MAX_MARKS = 200
MAX_CORRECTIONS = 2000
MAX_ALERTS = 16
MAX_CHANGES = 100  # as many as a `Relabel` reaches back
CHANGE_NS = 5_000_000_000  # a change of speaker is marked for so long
STAMPS = ("t_closed_ns", "t_text_ns", "t_features_ns", "t_logits_ns", "t_published_ns")
MAX_TEXT = 1000  # characters of one utterance; 15 s of speech have about 250


class Mark(NamedTuple):
    """One step of a speaker's trend: the label of an utterance, and whether it differs from the one before."""

    label: str
    shift: bool


@dataclass(frozen=True, kw_only=True)
class SpeakerSummary:
    """One voice of a dialogue. `trend`, `talk_ns` and `counts` (utterances per label) are of final events alone."""

    dialogue: str
    index: int
    name: str
    latest: EmotionEvent
    trend: tuple[Mark, ...] = ()
    talk_ns: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SpeakerChange:
    """An utterance that had been given to `before`, and since `t_ns` is somebody else's."""

    dialogue: str
    utterance: str
    before: EmotionEvent
    t_ns: int


@dataclass(frozen=True, kw_only=True)
class SessionView:
    """Everything that is drawn. `state` is None where the session did not say what it does.

    `utterances` are in the order in which they were first heard of, `speakers` in the order in which they last spoke,
    `workers` by name. `changes`: utterances that turned out to be another speaker's, the newest last. `marks`: moments
    with a note; `corrections`: the label that a person gave last, by utterance; `alerts`: those that hold. `gaps` and
    `lost` (messages) count the whole session. `warnings`: what people are to be told, the newest last. `last_seq`: the
    newest event, -1 for none.
    """

    hello: Hello | None = None
    utterances: tuple[EmotionEvent, ...] = ()
    speakers: tuple[SpeakerSummary, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    changes: tuple[SpeakerChange, ...] = ()
    marks: tuple[Annotation, ...] = ()
    corrections: Mapping[str, str] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()
    gaps: int = 0
    lost: int = 0
    recent_gaps: tuple[Gap, ...] = ()
    overload: Overload | None = None
    state: SessionState | None = None
    warnings: tuple[str, ...] = ()
    end: SessionEnd | None = None
    last_seq: int = -1

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels in their one order; those of the newest event where no Hello was heard."""
        if self.hello is not None:
            return self.hello.labels
        return tuple(self.utterances[-1].probs) if self.utterances else ()

    @property
    def devices(self) -> tuple[WorkerStatus, ...]:
        """The workers that capture, microphones first."""
        return tuple(worker for kind in ("mic", "camera") for worker in self.workers if worker.worker.startswith(kind))

    @property
    def finishing(self) -> bool:
        """Nothing is captured any more, and what was said last is still being worked on."""
        return bool(self.devices) and all(worker.phase in ("done", "failed") for worker in self.devices)

    @property
    def recorder(self) -> WorkerStatus | None:
        """The worker that writes the session to disk, where there is one; its note is the folder."""
        return next((worker for worker in self.workers if worker.worker == "recorder"), None)

    @property
    def recording(self) -> bool:
        """Whether the session is being written to disk now: as the recorder says, else the session."""
        if self.recorder is None:
            return self.state is not None and self.state.recording
        return self.recorder.phase not in ("done", "failed")

    @property
    def paused(self) -> bool:
        """Whether nothing is listened to or looked at now."""
        return self.state is not None and self.state.paused

    @property
    def start_ns(self) -> int | None:
        """Session time zero of the display: that of Hello, or of the first utterance where none was heard."""
        if self.hello is not None:
            return self.hello.t_ns
        return self.utterances[0].t_start_ns if self.utterances else None


def reduce(view: SessionView, message: AnyMessage) -> SessionView:
    """The view after `message`; the same object where it changes nothing. A message heard twice counts once."""
    match message:
        case EmotionEvent():
            return _observe(view, message)
        case WorkerStatus():
            workers = view.workers if message.worker == SUPERVISOR else _workers(view.workers, message)
            return replace(view, workers=workers, warnings=_warnings(view.warnings, message))
        case Hello():
            return _greet(view, message)
        case Gap():
            return _miss(view, message)
        case Annotation():
            return _annotate(view, message)
        case _:
            return _reduce_state(view, message)


def _reduce_state(view: SessionView, message: AnyMessage) -> SessionView:
    """What the session as a whole does."""
    match message:
        case Alert():
            others = tuple(a for a in view.alerts if (a.rule, a.speaker) != (message.rule, message.speaker))
            return replace(view, alerts=(*others, message)[-MAX_ALERTS:] if message.on else others)
        case Overload():
            return replace(view, overload=message if message.level else None)
        case SessionState():
            return replace(view, state=message)
        case SessionEnd():
            return replace(view, end=message)
        case _:
            return view


def _greet(view: SessionView, hello: Hello) -> SessionView:
    if view.hello is not None and view.hello.session != hello.session:
        view = SessionView(workers=view.workers)
    # A publisher that knows fewer events than we have seen has started anew: its numbers begin again.
    return replace(view, hello=hello, last_seq=min(view.last_seq, hello.last_seq))


def _annotate(view: SessionView, annotation: Annotation) -> SessionView:
    """A mark or label is laid beside the rest; a name is that of the speaker from now on and before."""
    match annotation.kind:
        case "mark" if annotation not in view.marks:
            return replace(view, marks=(*view.marks, annotation)[-MAX_MARKS:])
        case "label" if annotation.utterance is not None and annotation.label is not None:
            corrections = {**view.corrections, annotation.utterance: annotation.label}
            return replace(view, corrections=dict([*corrections.items()][-MAX_CORRECTIONS:]))
        case "name" if annotation.speaker is not None:
            return _rename(view, annotation.speaker, annotation.text)
        case _:
            return view


def _rename(view: SessionView, speaker: int, name: str) -> SessionView:
    def named(event: EmotionEvent) -> EmotionEvent:
        return msgspec.structs.replace(event, speaker_name=name) if event.speaker == speaker else event

    hello = view.hello
    if hello is not None and speaker < len(hello.speakers):
        roster = tuple(name if index == speaker else other for index, other in enumerate(hello.speakers))
        hello = msgspec.structs.replace(hello, speakers=roster)
    return replace(
        view,
        hello=hello,
        utterances=tuple(map(named, view.utterances)),
        speakers=tuple(
            replace(s, name=name, latest=named(s.latest)) if s.index == speaker else s for s in view.speakers
        ),
        changes=tuple(replace(change, before=named(change.before)) for change in view.changes),
    )


def _miss(view: SessionView, gap: Gap) -> SessionView:
    if gap.cause == "paused":
        return view  # people wanted it: nothing is wrong
    if gap in view.recent_gaps:  # who noticed it and who passed it on both tell us
        return view
    recent = (*view.recent_gaps, gap)[-MAX_GAPS:]
    lost = 0 if gap.cause == "overload" else gap.lost  # those are utterances, and are told at the end
    return replace(view, gaps=view.gaps + 1, lost=view.lost + lost, recent_gaps=recent)


def _observe(view: SessionView, event: EmotionEvent) -> SessionView:
    if event.seq <= view.last_seq:
        return view
    view = replace(view, last_seq=event.seq)
    event = msgspec.structs.replace(event, text=event.text[:MAX_TEXT])
    utterances = list(view.utterances)
    held: EmotionEvent | None = None
    for position in range(len(utterances) - 1, -1, -1):
        if _same_utterance(utterances[position], event):
            held = utterances[position]
            if not _supersedes(event, held):
                return view
            utterances[position] = _with_stamps(event, held)
            break
    else:
        utterances.append(event)
    speakers = _speakers(
        view.speakers if held is None else _without(view.speakers, held, utterances), event, utterances
    )
    changes = view.changes if held is None else _changes(view.changes, held, event)
    return replace(view, utterances=tuple(utterances[-MAX_UTTERANCES:]), speakers=speakers, changes=changes)


def _same_utterance(one: EmotionEvent, other: EmotionEvent) -> bool:
    return one.utterance == other.utterance and one.dialogue == other.dialogue


def _supersedes(new: EmotionEvent, held: EmotionEvent) -> bool:
    """A later word on the same utterance: a final one after drafts, and a revised one after that."""
    return (new.final, new.revision) > (held.final, held.revision)


def _changes(changes: tuple[SpeakerChange, ...], held: EmotionEvent, event: EmotionEvent) -> tuple[SpeakerChange, ...]:
    """With what a final event says of the speaker that the final one before did not. Two changes within `CHANGE_NS`
    are one; one that is taken back is none.
    """
    if not (held.final and event.final) or held.speaker == event.speaker:
        return changes
    t_ns = event.t_published_ns or event.t_logits_ns
    key = (event.dialogue, event.utterance)
    last = next((c for c in changes if (c.dialogue, c.utterance) == key), None)
    before = last.before if last is not None and t_ns - last.t_ns < CHANGE_NS else held
    others = tuple(c for c in changes if c is not last)
    if before.speaker == event.speaker:
        return others
    change = SpeakerChange(dialogue=event.dialogue, utterance=event.utterance, before=before, t_ns=t_ns)
    return (*others, change)[-MAX_CHANGES:]


def _with_stamps(event: EmotionEvent, held: EmotionEvent) -> EmotionEvent:
    """With the times of the final event before, if there was one: for a correction nobody has waited."""
    return msgspec.structs.replace(event, **{name: getattr(held, name) for name in STAMPS}) if held.final else event


def _without(
    speakers: tuple[SpeakerSummary, ...], event: EmotionEvent, utterances: Sequence[EmotionEvent]
) -> tuple[SpeakerSummary, ...]:
    """What is known without an event that is said anew, as is `utterances`; who has said nothing else is not known."""
    kept: list[SpeakerSummary] = []
    for speaker in speakers:
        key = (speaker.dialogue, speaker.index)
        if key != (event.dialogue, event.speaker):
            kept.append(speaker)
            continue
        if event.final:
            counts = {label: n - (label == event.label) for label, n in speaker.counts.items()}
            talk_ns = speaker.talk_ns - max(0, event.t_end_ns - event.t_start_ns)
            counts = {label: n for label, n in counts.items() if n}
            speaker = replace(speaker, talk_ns=talk_ns, counts=counts, trend=_trend(key, utterances))
        if speaker.counts:
            kept.append(speaker)
    return tuple(kept)


def _speakers(
    speakers: tuple[SpeakerSummary, ...], event: EmotionEvent, utterances: Sequence[EmotionEvent]
) -> tuple[SpeakerSummary, ...]:
    key = (event.dialogue, event.speaker)
    name = event.speaker_name or f"speaker {event.speaker + 1}"
    speaker = next((s for s in speakers if (s.dialogue, s.index) == key), None)
    if speaker is None:
        speaker = SpeakerSummary(dialogue=event.dialogue, index=event.speaker, name=name, latest=event)
    speaker = replace(speaker, name=name, latest=event)
    if event.final:
        speaker = replace(
            speaker,
            trend=_trend(key, utterances),
            talk_ns=speaker.talk_ns + max(0, event.t_end_ns - event.t_start_ns),
            counts={**speaker.counts, event.label: speaker.counts.get(event.label, 0) + 1},
        )
    others = [s for s in speakers if (s.dialogue, s.index) != key]
    return (*others, speaker)[-MAX_SPEAKERS:]


def _trend(speaker: tuple[str, int], utterances: Sequence[EmotionEvent]) -> tuple[Mark, ...]:
    finals = [e for e in utterances if e.final and (e.dialogue, e.speaker) == speaker]
    return tuple(Mark(e.label, e.shift is True) for e in finals[-MAX_TREND:])


def _warnings(warnings: tuple[str, ...], status: WorkerStatus) -> tuple[str, ...]:
    """With what this worker warns of, unless it is known."""
    if not status.warning or status.warning[:MAX_TEXT] in warnings:
        return warnings
    return (*warnings, status.warning[:MAX_TEXT])[-MAX_WARNINGS:]


def _workers(workers: tuple[WorkerStatus, ...], status: WorkerStatus) -> tuple[WorkerStatus, ...]:
    """With `status` in place of what its worker said before."""
    newest = {worker.worker: worker for worker in workers} | {status.worker: status}
    return tuple(newest[name] for name in sorted(newest))[:MAX_WORKERS]
