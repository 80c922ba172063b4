"""Taking one person out of a bundle: their sound, words, features and events, and their name wherever it stands.

The rule of this file: the bundle is written anew beside the old one, by the recorder, and takes its place when it is
whole. So no instant leaves half of a person, and what stays is as sound as any recording. What cannot be told apart is
said (`Trace.stays`), not guessed.
"""

import re
import shutil
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.bundle_limits import LOG_BYTES
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.bundle_losses import LOSSES
from erc_live.streams.conversation_view import conversation_view
from erc_live.streams.errors import SessionError
from erc_live.streams.journal import read_whole, write_whole
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import (
    AnyMessage,
    AudioChunk,
    EmotionEvent,
    Gap,
    Hello,
    Relabel,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
)
from erc_live.streams.plural import counted
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import Manifest, RecordedSession, open_session
from erc_live.streams.spans import Span, merged

REMOVED = "[removed]"  # instead of the name
_MARGIN_NS = 250_000_000  # around an utterance: the breath before it, and what the detector took for silence


@dataclass(frozen=True)
class Trace:
    """What a bundle holds of a person. `spans` (ns): where each source is silent afterwards."""

    names: frozenset[str]  # as it is spelt there
    own: frozenset[str]  # sources that are this person's alone
    utterances: frozenset[str]
    spans: dict[str, tuple[Span, ...]]
    seen: tuple[Span, ...]  # in which cameras lose their pictures
    numbers: frozenset[int]  # as a speaker
    annotated: int  # annotations and alerts that are about the person
    named: int  # messages that name the person otherwise
    cameras: tuple[str, ...]
    noted: bool  # there are marks of people

    @property
    def removed(self) -> list[str]:
        """What goes, one line each."""
        shared = {source: spans for source, spans in self.spans.items() if source not in self.own}
        lines = [f"all sound of {source}, which is theirs" for source in sorted(self.own)]
        lines += [f"{_seconds(spans)} s of the sound of {source}" for source, spans in sorted(shared.items())]
        if self.cameras and self.seen:
            lines.append(f"{_seconds(self.seen)} s of the pictures of {', '.join(self.cameras)}, while they speak")
        lines += (
            [f"{counted(len(self.utterances), 'utterance')}, with words, vectors and events"] if self.utterances else []
        )
        lines += ["vectors of what others said after them, which depend on their words"] if self.utterances else []
        lines += [f"annotations and alerts about them: {self.annotated}"] if self.annotated else []
        return [*lines, *([f"their name in {counted(self.named, 'other place')}"] if self.named else [])]

    @property
    def stays(self) -> list[str]:
        """What nobody can tell apart, one line each."""
        lines = ["what other microphones picked up of their voice cannot be told apart, and stays"]
        lines += ["notes of people that do not name them stay"] if self.noted else []
        return [*lines, "pictures in which they are silent cannot, either"] if self.cameras else lines


def trace(session: RecordedSession, name: str) -> Trace | None:
    """Where somebody of that name is in the bundle; None if nowhere."""
    own = frozenset(source.name for source in session.manifest.sources if alike(source.speaker, name))
    said = [
        message
        for message in (*session.features, *session.events)
        if isinstance(message, UtteranceFeatures | EmotionEvent)
    ]
    theirs = [
        each.event
        for each in conversation_view(session).utterances
        if each.event.source in own or alike(each.event.speaker_name, name) or alike(each.speaker_name, name)
    ]
    numbers = frozenset(event.speaker for event in theirs)
    utterances = frozenset(m.utterance for m in said if m.source in own or alike(m.speaker_name, name))
    utterances |= {event.utterance for event in theirs}
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for message in said:
        if message.utterance in utterances:
            spans[message.source].append((message.t_start_ns - _MARGIN_NS, message.t_end_ns + _MARGIN_NS))
    seen = merged(span for each in spans.values() for span in each)
    recorded = {source for _, source in session.tracks()}
    messages = [*session.events, *session.gaps, *session.ends, *session.features, session.manifest]
    annotated = [m for m in session.events if _is_about(m, utterances, numbers)]
    stay = [m for m in messages if getattr(m, "utterance", None) not in utterances and m not in annotated]
    given = {each.text.strip() for each in _given(session) if each.speaker in numbers}
    names = {name.strip(), *given, *(each for each in _names(session) if alike(each, name))} - {""}
    named = sum(_redacted(m, names) is not m for m in stay)
    if not (own or utterances or named or annotated):
        return None
    return Trace(
        names=frozenset(names),
        own=own,
        utterances=utterances,
        spans={source: merged(each) for source, each in spans.items()}
        | {source: _spans_of(session, source) for source in own & recorded},
        seen=seen,
        numbers=numbers,
        annotated=len(annotated),
        named=named,
        cameras=tuple(source for kind, source in session.tracks() if kind == "video"),
        noted=any(isinstance(event, Annotation) and event.kind == "mark" for event in session.events),
    )


def forget(path: Path, name: str) -> None:
    """Take a person out of the bundle. Raises SessionError where it is not whole, or is being recorded."""
    path = path.resolve()
    new, old = (path.with_name(f".{path.name}.forgetting.{which}") for which in ("new", "old"))
    try:
        _finish(path, new, old)
        if findings := verify(path):
            raise SessionError(f"{path}: {findings[0]}: 'erc-live session recover {path}' first")
        with BundleLock(path):
            session = open_session(path)
            person = trace(session, name)
            if person is None:
                return
            _rewrite(session, person, new)
            path.rename(old)
            _finish(path, new, old)
    except OSError as error:
        raise SessionError(f"{path}: cannot be written anew: {error.strerror}") from error


def _finish(path: Path, new: Path, old: Path) -> None:
    """Go on from wherever this ended before: nothing that is half done stays. Raises OSError."""
    if old.exists() and not path.exists():
        new.rename(path)
    for folder in (new, old):
        if folder.exists():
            shutil.rmtree(folder)


def _rewrite(session: RecordedSession, person: Trace, new: Path) -> None:
    """The bundle without the person, sealed. Raises OSError, SessionError."""
    with Recorder(new, _manifest(session.manifest, person)) as recorder:
        for media in _media(session, person):
            recorder.write(media)
        for message in _messages(session, person):
            recorder.write(_redacted(message, person.names))
        losses = session.path / LOSSES
        if losses.exists():
            write_whole(new / LOSSES, read_whole(losses, LOG_BYTES))


def _manifest(manifest: Manifest, person: Trace) -> Manifest:
    sources = tuple(
        msgspec.structs.replace(source, speaker="") if source.name in person.own else source
        for source in manifest.sources
    )
    changed: Manifest = _redacted(msgspec.structs.replace(manifest, sources=sources, closed=False), person.names)
    return changed


def _media(session: RecordedSession, person: Trace) -> Iterator[AnyMessage]:
    """Sound and pictures that stay, and the ends of the sources."""
    ended = {end.source for end in session.ends}
    for message in bundle_messages(session.path, session.t_first_ns):
        match message:
            case AudioChunk():
                stays = not _overlaps(person.spans.get(message.source, ()), message.t_ns, message.t_end_ns)
            case VideoFrame():
                stays = not _overlaps(person.seen, message.t_ns, message.t_ns + 1)
            case SourceEnd():
                stays = message.source in ended
            case Gap():
                stays = False  # they have a log of their own
        if stays:
            yield _redacted(message, person.names) if isinstance(message, SourceEnd) else message


def _messages(session: RecordedSession, person: Trace) -> Iterator[AnyMessage | PublicMessage]:
    """What the logs say that stays, and what was taken out."""
    spoke = False
    for features in session.features:
        if features.utterance in person.utterances:
            spoke = True
        else:
            yield _without_context(features) if spoke else features
    yield from (stays for event in session.events if (stays := _event(event, person)) is not None)
    yield from session.gaps
    for source, spans in (*person.spans.items(), *((camera, person.seen) for camera in person.cameras)):
        for t_start_ns, t_end_ns in spans:
            yield Gap(source=source, t_start_ns=t_start_ns, t_end_ns=t_end_ns, lost=0, cause="forgotten")


def _event(event: PublicMessage, person: Trace) -> PublicMessage | None:
    """What stays of an event."""
    if _is_about(event, person.utterances, person.numbers):
        return None
    match event:
        case EmotionEvent():
            return None if event.utterance in person.utterances else event
        case Hello():
            speakers = tuple(each for each in event.speakers if each not in person.names)
            return msgspec.structs.replace(event, speakers=speakers)
        case Annotation():
            theirs = event.utterance in person.utterances or (event.kind == "name" and event.text in person.names)
            return None if theirs else event
        case Alert():
            return None if event.speaker_name in person.names else event
        case Relabel():
            moved = tuple(each for each in event.moved if each not in person.utterances)
            stays = moved and event.speaker_name not in person.names
            return msgspec.structs.replace(event, moved=moved) if stays else None
    return event


def _given(session: RecordedSession) -> list[Annotation]:
    """The names that people gave to speakers."""
    return [each for each in session.events if isinstance(each, Annotation) and each.kind == "name"]


def _is_about(message: PublicMessage, utterances: Collection[str], numbers: Collection[int]) -> bool:
    """Whether somebody, or a rule, says it of the person."""
    if isinstance(message, Annotation):
        return message.utterance in utterances or message.speaker in numbers
    return isinstance(message, Alert) and message.speaker in numbers


def _without_context(features: UtteranceFeatures) -> UtteranceFeatures:
    """The vector of the words was made from those before them, too."""
    vectors = {modality: vector for modality, vector in features.vectors.items() if modality != "text"}
    encoders = {modality: encoder for modality, encoder in features.encoders.items() if modality != "text"}
    return msgspec.structs.replace(features, vectors=vectors, encoders=encoders)


def _spans_of(session: RecordedSession, source: str) -> tuple[Span, ...]:
    """All the time of a source, from its first sample or picture to its last."""
    segments = [segment for segment in session.segments if segment.source == source]
    return ((min(each.t_first_ns for each in segments), max(each.t_end_ns for each in segments)),)


def _overlaps(spans: Sequence[Span], start: int, end: int) -> bool:
    before = bisect_left(spans, (end,))  # they do not overlap each other
    return before > 0 and spans[before - 1][1] > start


def alike(one: str | None, other: str) -> bool:
    """Whether two names are one, however they are written."""
    return one is not None and one.strip().casefold() == other.strip().casefold()


def _seconds(spans: Iterable[Span]) -> int:
    return round(sum(end - start for start, end in spans) / 1e9)


def _names(session: RecordedSession) -> Iterator[str]:
    """Everybody's."""
    yield from (source.speaker for source in session.manifest.sources)
    yield from (each.text for each in _given(session))
    for message in (*session.features, *session.events):
        yield getattr(message, "speaker_name", None) or ""
        yield from getattr(message, "speakers", ())
        if isinstance(message, Annotation) and message.kind == "name":
            yield message.text


def _redacted(value: Any, names: Collection[str]) -> Any:
    """The same without the names, as words of their own, in any text; the very same object where none is in it."""
    pattern = "|".join(map(re.escape, sorted(names)))
    return _replaced(value, re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"))


def _replaced(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(REMOVED, value) if pattern.search(value) else value
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        new = {name: _replaced(field, pattern) for name, field in fields.items()}
        changed = {name: field for name, field in new.items() if field is not fields[name]}
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, dict):
        items = {_replaced(key, pattern): _replaced(inner, pattern) for key, inner in value.items()}
        return value if all(items.get(key) is inner for key, inner in value.items()) else items
    if isinstance(value, list | tuple):
        inner = [_replaced(each, pattern) for each in value]
        return value if all(a is b for a, b in zip(value, inner, strict=True)) else type(value)(inner)
    return value
