"""The utterances of a page, their speakers and their latency, from events and from what people say about them.

The rule of this file: an estimate is never changed. A label by somebody else stands beside it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import TypeVar

from erc_live.live.report.item_store import ItemStore
from erc_live.live.report.page_rows import PageSpeaker, PageUtterance
from erc_live.live.report.stage_latency import latencies
from erc_live.live.report.turn_taking import TalkSpan, turn_taking
from erc_live.streams.annotations import Annotation
from erc_live.streams.conversation_view import effective
from erc_live.streams.messages import EmotionEvent
from erc_live.streams.stage_durations import stage_durations

MAX_UTTERANCES = 30_000  # a day of talk; of more, the oldest are left out
Key = TypeVar("Key", str, int)
_LEAST = 0.0005  # probabilities below are written as none
_NS = 1e9


class UtteranceBook:
    """`seconds` makes session time that of the page."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self._seconds = seconds
        self._events: dict[str, EmotionEvent] = {}
        self._stages: dict[str, tuple[int, ...]] = {}
        self._judged: dict[str, list[Annotation]] = {}  # by utterance, what counts
        self._named: dict[int, list[Annotation]] = {}  # by speaker, alike
        self._changed: set[str] = set()
        self._dropped: list[str] = []
        self._dirty = False

    def __len__(self) -> int:
        return len(self._events)

    def observe(self, event: EmotionEvent) -> None:
        """Take an event, unless a later word on its utterance is known."""
        key = _key(event)
        held = self._events.get(key)
        if held is not None and (event.final, event.revision) < (held.final, held.revision):
            return
        self._events[key] = event
        self._changed.add(key)
        self._dirty = True
        if event.final:
            self._stages.setdefault(key, stage_durations(event))
        if len(self._events) > MAX_UTTERANCES:
            oldest = next(iter(self._events))
            del self._events[oldest]
            self._stages.pop(oldest, None)
            self._dropped.append(oldest)

    def annotate(self, annotation: Annotation) -> None:
        """Somebody takes the expression of an utterance for a label, or calls a speaker by a name."""
        if annotation.kind == "label" and annotation.utterance is not None and annotation.label:
            _add(self._judged, annotation.utterance, annotation)
            self._changed |= {key for key in self._events if key.endswith(f"/{annotation.utterance}")}
        elif annotation.kind == "name" and annotation.speaker is not None:
            _add(self._named, annotation.speaker, annotation)
        self._dirty = True

    def labels(self) -> Iterator[str]:
        """All that occur, in the order in which they first did."""
        for event in self._events.values():
            yield from event.probs
            yield event.label
        for annotations in self._judged.values():
            yield from (each.label for each in annotations if each.label)

    def put_all(self, store: ItemStore) -> None:
        """Write what changed, and the sums of all."""
        if not self._dirty:
            return
        for key in self._dropped:
            store.put("utterances", key, None)
        for key in sorted(self._changed & self._events.keys(), key=lambda k: self._events[k].t_start_ns):
            store.put("utterances", key, self._row(self._events[key]))
        self._changed.clear()
        self._dropped.clear()
        self._dirty = False
        store.replace("speakers", self._speakers())
        store.replace("latency", {row.name: row for row in latencies(self._stages.values())})

    def _row(self, event: EmotionEvent) -> PageUtterance:
        return PageUtterance(
            speaker=_speaker_key(event),
            source=event.source,
            t0=self._seconds(event.t_start_ns),
            t1=self._seconds(event.t_end_ns),
            label=event.label,
            probs={label: round(p, 3) for label, p in event.probs.items() if p >= _LEAST},
            text=event.text,
            words=tuple((w.text, self._seconds(w.t_start_ns), self._seconds(w.t_end_ns)) for w in event.words),
            certain=event.certain,
            final=event.final,
            shift=event.shift is True,
            skipped=event.skipped,
            modalities=event.modalities,
            face=_rounded(event.face_coverage),
            text_confidence=_rounded(event.text_confidence),
            speaker_confidence=_rounded(event.speaker_confidence),
            valence=_rounded(event.valence),
            arousal=_rounded(event.arousal),
            languages=event.engine.languages,
            people=tuple((each.author, each.label or "") for each in self._judged.get(event.utterance, ())),
        )

    def _speakers(self) -> dict[str, PageSpeaker]:
        """In the order of their numbers: nobody is ranked."""
        of: defaultdict[str, list[EmotionEvent]] = defaultdict(list)
        for event in self._events.values():
            of[_speaker_key(event)].append(event)
        finals = [e for e in self._events.values() if e.final]
        turns = turn_taking(TalkSpan(_speaker_key(e), e.t_start_ns, e.t_end_ns) for e in finals)
        in_all_ns = turns.talk_ns.total() or 1
        rows = {}
        for key, events in sorted(of.items(), key=lambda item: (item[1][0].dialogue, item[1][0].speaker)):
            said = [event for event in events if event.final]
            latest = events[-1]
            given = self._named.get(latest.speaker)
            called = given[-1].text if given else ""
            rows[key] = PageSpeaker(
                number=latest.speaker,
                name=latest.speaker_name.strip() or f"Speaker {latest.speaker + 1}",
                called=called if called != latest.speaker_name else "",
                sources=tuple(sorted({event.source for event in events})),
                talk_s=round(turns.talk_ns[key] / _NS, 1),
                share=round(turns.talk_ns[key] / in_all_ns, 3),
                utterances=len(said),
                shifts=sum(event.shift is True for event in said),
                overlap_s=round(turns.overlap_ns[key] / _NS, 1),
                interruptions=turns.interruptions[key],
                interrupted=turns.interrupted[key],
                labels=dict(Counter(event.label for event in said)),
            )
        return rows


def _add(held: dict[Key, list[Annotation]], about: Key, annotation: Annotation) -> None:
    """One more of those that count; what somebody says later takes the place of what they said before."""
    held[about] = effective([*held.get(about, ()), annotation])
    if len(held) > MAX_UTTERANCES:
        del held[next(iter(held))]


def _key(event: EmotionEvent) -> str:
    return f"{event.dialogue}/{event.utterance}"


def _speaker_key(event: EmotionEvent) -> str:
    return f"{event.dialogue}/{event.speaker}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
