"""Who talks when: talk time, overlap and interruptions of a conversation, from the spans of its utterances.

The definitions are our own. Talk time of a speaker is the length of the union of their utterances. Overlap is the part
of it in which at least one other person talks. An interruption is an overlap after which somebody else has the floor:
one begins while another talks, and goes on after that one has stopped. Between two people that is what the literature
on turn-taking calls a between-speaker overlap; it does not call it an interruption, for it may be eager agreement. Who
begins and ends while another one goes on (mostly "mhm"; a within-speaker overlap) interrupts nobody.
It counts from `MIN_OVERLAP_NS` on, so that what the detector adds in front of an utterance is none.
The rule of this file: pure, of spans alone; who interrupts whom says nothing about what they meant by it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

_LEAD_NS = 192_000_000  # by which an utterance begins before its first loud window (`segmenter.pre_roll_s`)
_LEAST_NS = 120_000_000  # a syllable or so: less is a change of turns that is only a little too quick
MIN_OVERLAP_NS = _LEAD_NS + _LEAST_NS


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
