"""Who talks when: talk time, overlap and interruptions of a conversation, from the spans of its utterances.

Talk time of a speaker is the length of the union of their utterances. Overlap is the part of it in which at least one
other person talks. An interruption is an overlap with a change of the floor, a between-speaker overlap in the terms of
Heldner & Edlund (2010), "Pauses, gaps and overlaps in conversations", Journal of Phonetics 38: somebody begins while
another one talks, and goes on after that one has stopped. Who begins and ends while another one goes on (mostly "mhm")
interrupts nobody. An overlap counts from `MIN_OVERLAP_NS` on: an utterance begins with 192 ms of lead (the pre-roll of
the segmenter), and an overlap below 120 ms is not perceived (Heldner 2011, JASA 130).
The rule of this file: pure, of spans alone; who interrupts whom says nothing about what they meant by it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

MIN_OVERLAP_NS = 312_000_000  # 192 ms + 120 ms


class TalkSpan(NamedTuple):
    """One stretch of talk; times in ns."""

    speaker: str
    t0_ns: int
    t1_ns: int


@dataclass(frozen=True)
class TurnTaking:
    """By speaker; who has none of a kind is not in it. Times in ns."""

    talk_ns: Counter[str]
    overlap_ns: Counter[str]
    interruptions: Counter[str]
    interrupted: Counter[str]


def turn_taking(spans: Iterable[TalkSpan]) -> TurnTaking:
    """What the spans say, in any order; those of one speaker may overlap, and count once."""
    merged = _merged(spans)
    return TurnTaking(*_times(merged), *_interruptions(merged))


def _merged(spans: Iterable[TalkSpan]) -> list[TalkSpan]:
    """In order of their start; the spans of one speaker neither overlap nor touch."""
    open_spans: dict[str, TalkSpan] = {}
    merged: list[TalkSpan] = []
    for span in sorted((s for s in spans if s.t1_ns > s.t0_ns), key=lambda s: (s.t0_ns, s.t1_ns)):
        last = open_spans.get(span.speaker)
        if last is not None and span.t0_ns <= last.t1_ns:
            span = last._replace(t1_ns=max(last.t1_ns, span.t1_ns))
        elif last is not None:
            merged.append(last)
        open_spans[span.speaker] = span
    return sorted([*merged, *open_spans.values()], key=lambda s: (s.t0_ns, s.t1_ns, s.speaker))


def _times(merged: list[TalkSpan]) -> tuple[Counter[str], Counter[str]]:
    """Talk time, and the part of it in which others talk."""
    talk_ns: Counter[str] = Counter()
    overlap_ns: Counter[str] = Counter()
    edges = sorted([(s.t0_ns, 1, s.speaker) for s in merged] + [(s.t1_ns, 0, s.speaker) for s in merged])
    talking: set[str] = set()
    before_ns = 0
    for t_ns, begins, speaker in edges:
        for one in talking:
            talk_ns[one] += t_ns - before_ns
            if len(talking) > 1:
                overlap_ns[one] += t_ns - before_ns
        before_ns = t_ns
        if begins:
            talking.add(speaker)
        else:
            talking.remove(speaker)
    return talk_ns, overlap_ns


def _interruptions(merged: list[TalkSpan]) -> tuple[Counter[str], Counter[str]]:
    """How often each speaker interrupted somebody, and was interrupted."""
    by: Counter[str] = Counter()
    of: Counter[str] = Counter()
    talking: list[TalkSpan] = []
    for span in merged:
        talking = [other for other in talking if other.t1_ns > span.t0_ns]
        for other in talking:
            if span.t0_ns > other.t0_ns and span.t1_ns > other.t1_ns >= span.t0_ns + MIN_OVERLAP_NS:
                by[span.speaker] += 1
                of[other.speaker] += 1
        talking.append(span)
    return by, of
