"""A recorded session as who looks back at it wants it: each utterance once, with what people said of it beside.

Final events at their highest revision, corrections of speakers applied, provisional ones left out; annotations, of
which a later one of the same author about the same thing takes the place of an earlier one; gaps, alerts and marks in
the order of time.
The rule of this file: an estimate is never changed. What people call a label stands in `label_annotated`, beside
`event.label`; a name that people gave stands in `speaker_name`, and the one of the event stays in the event.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import EmotionEvent, Gap, Hello, Relabel, SessionEnd, UtteranceFeatures
from erc_live.streams.session import RecordedSession, SessionEvent

SpeakerKey = tuple[str, int]  # dialogue, number of the speaker in it
_Key = tuple[str, str]  # dialogue, utterance


@dataclass(frozen=True)
class AnnotatedUtterance:
    """One utterance: the event that counts, whose it is, and what people take it for, one annotation per author."""

    event: EmotionEvent
    speaker_name: str
    annotations: tuple[Annotation, ...] = ()

    @property
    def speaker(self) -> SpeakerKey:
        """Tells speakers of one name apart."""
        return self.event.dialogue, self.event.speaker

    @property
    def label_annotated(self) -> str | None:
        """The label that most authors gave, of several the latest; None where nobody gave any."""
        if not self.annotations:
            return None
        votes = Counter(each.label for each in self.annotations)
        return max(reversed(self.annotations), key=lambda each: votes[each.label]).label

    @property
    def authors(self) -> tuple[str, ...]:
        """Who gave `label_annotated`."""
        return tuple(each.author for each in self.annotations if each.label == self.label_annotated)


@dataclass(frozen=True)
class ConversationView:
    """A session, whole or cut off. Times are those of its clock; `start_ns` and `end_ns` enclose all of it.

    `labels`: those of the model, then any that only events or people name. `speakers`: the name of each, in the order
    of first appearance; two may have one name. `names` are the annotations that give names, one per speaker.
    """

    start_ns: int
    end_ns: int
    start_wall_ns: int
    hello: Hello | None
    labels: tuple[str, ...]
    utterances: tuple[AnnotatedUtterance, ...]
    speakers: Mapping[SpeakerKey, str]
    marks: tuple[Annotation, ...]
    names: tuple[Annotation, ...]
    alerts: tuple[Alert, ...]
    gaps: tuple[Gap, ...]
    end: SessionEnd | None

    @property
    def estimated_labels(self) -> tuple[str, ...]:
        """Those of `labels` that events have probabilities of."""
        probable = {label for each in self.utterances for label in each.event.probs}
        return tuple(label for label in self.labels if label in probable)

    def wall_ns(self, t_ns: int) -> int:
        """Unix time of an instant of the session."""
        return self.start_wall_ns + t_ns - self.start_ns


def conversation_view(session: RecordedSession) -> ConversationView:
    """What is known of a session at its end."""
    finals = _settled(session.events, session.features)
    annotations = effective(message for message in session.events if isinstance(message, Annotation))
    names = {each.speaker: each for each in annotations if each.kind == "name" and each.speaker is not None}
    judged = [each for each in annotations if each.kind == "label" and each.label]
    known: dict[SpeakerKey, str] = {}
    for event in finals:
        given = names.get(event.speaker)
        name = given.text if given is not None else event.speaker_name
        known[event.dialogue, event.speaker] = name.strip() or f"Speaker {event.speaker + 1}"
    utterances = tuple(
        AnnotatedUtterance(
            event=event,
            speaker_name=known[event.dialogue, event.speaker],
            annotations=tuple(by_utterance),
        )
        for event, by_utterance in zip(finals, _of_each(finals, judged), strict=True)
    )
    start_ns, end_ns = _extent(session, finals)
    hellos = [message for message in session.events if isinstance(message, Hello)]
    return ConversationView(
        start_ns=start_ns,
        end_ns=end_ns,
        start_wall_ns=session.manifest.wall_ns + start_ns - session.manifest.t_ns,
        hello=hellos[0] if hellos else None,
        labels=_labels(session, utterances),
        utterances=utterances,
        speakers=known,
        marks=tuple(sorted((each for each in annotations if each.kind == "mark"), key=lambda mark: mark.t_ns)),
        names=tuple(names.values()),
        alerts=tuple(sorted((m for m in session.events if isinstance(m, Alert)), key=lambda alert: alert.t_ns)),
        gaps=tuple(sorted(session.gaps, key=lambda gap: (gap.t_start_ns, gap.t_end_ns, gap.source))),
        end=next((message for message in reversed(session.events) if isinstance(message, SessionEnd)), None),
    )


def effective(annotations: Iterable[Annotation]) -> list[Annotation]:
    """Those that count, in the order in which they were made: each mark, and of names and labels the last of an author
    about a speaker or an utterance.
    """
    counting: dict[object, Annotation] = {}
    for number, each in enumerate(sorted(annotations, key=lambda annotation: annotation.wall_ns)):
        about = each.utterance if each.kind == "label" else each.speaker
        key = number if each.kind == "mark" else (each.kind, each.author, about)
        counting.pop(key, None)  # so that it goes to the end
        counting[key] = each
    return list(counting.values())


def _settled(events: Sequence[SessionEvent], features: Sequence[UtteranceFeatures]) -> list[EmotionEvent]:
    """The final events that count, in the order of time."""
    latest: dict[_Key, EmotionEvent] = {}
    pending: dict[_Key, Relabel] = {}  # moved, and not said again since: a crash came between
    for message in events:
        if isinstance(message, EmotionEvent) and message.final:
            key = message.dialogue, message.utterance
            if key not in latest or message.revision >= latest[key].revision:
                latest[key] = message
                pending.pop(key, None)
        elif isinstance(message, Relabel):
            pending |= {(message.dialogue, moved): message for moved in message.moved}
    for key, relabel in pending.items():
        if key in latest:
            latest[key] = _moved(latest[key], relabel, latest, features)
    return sorted(latest.values(), key=lambda event: (event.t_start_ns, event.t_end_ns, event.index))


def _moved(
    event: EmotionEvent, relabel: Relabel, latest: Mapping[_Key, EmotionEvent], features: Sequence[UtteranceFeatures]
) -> EmotionEvent:
    """The event as somebody else's, where another utterance tells which number that voice or name has."""
    same_voice = {each.utterance for each in features if each.voice == relabel.voice} - set(relabel.moved)
    for other in latest.values():
        if other.dialogue == event.dialogue and (
            other.utterance in same_voice or (relabel.speaker_name and other.speaker_name == relabel.speaker_name)
        ):
            return msgspec.structs.replace(event, speaker=other.speaker, speaker_name=other.speaker_name)
    return event


def _of_each(finals: Sequence[EmotionEvent], judged: Sequence[Annotation]) -> list[list[Annotation]]:
    by_utterance: dict[str | None, list[Annotation]] = {}
    for each in judged:
        by_utterance.setdefault(each.utterance, []).append(each)
    return [by_utterance.get(event.utterance, []) for event in finals]


def _extent(session: RecordedSession, finals: Sequence[EmotionEvent]) -> tuple[int, int]:
    starts = [session.manifest.t_ns, session.t_first_ns, *(event.t_start_ns for event in finals)]
    ends = [segment.t_end_ns for segment in session.segments] + [event.t_end_ns for event in finals]
    return min(starts), max([*starts, *ends])


def _labels(session: RecordedSession, utterances: Sequence[AnnotatedUtterance]) -> tuple[str, ...]:
    labels = dict.fromkeys(session.manifest.labels)
    for message in session.events:
        if isinstance(message, Hello):
            labels |= dict.fromkeys(message.labels)
    for each in utterances:
        labels |= dict.fromkeys((*each.event.probs, each.event.label))
    for each in utterances:
        labels |= dict.fromkeys(annotation.label for annotation in each.annotations if annotation.label)
    return tuple(labels)
