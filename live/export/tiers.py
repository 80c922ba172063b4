"""Utterances in tiers, as programs of linguists have them: one tier for each speaker, in which nothing overlaps.

The rule of this file: nothing is cut to fit. What one speaker says while saying something else (on two microphones, or
by a wrong attribution) gets a tier of its own, `Ann +1`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from erc_live.live.export.plain_text import UniqueNames, one_line, span_ms
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView, SpeakerKey


@dataclass(frozen=True)
class Interval:
    """An utterance and when it is, in ms from the start of the session; never empty."""

    start_ms: int
    end_ms: int
    utterance: AnnotatedUtterance


@dataclass(frozen=True)
class Tier:
    """Intervals in order that do not overlap. `name` is unique, `speaker_name` is not."""

    name: str
    speaker_name: str
    intervals: tuple[Interval, ...]


def tiers(view: ConversationView, names: UniqueNames) -> list[Tier]:
    """All utterances of all speakers, in the order in which they first spoke."""
    out: list[Tier] = []
    spoken = speaker_names(view, names)
    for key, name in spoken.items():
        own = [_interval(view, each) for each in view.utterances if each.speaker == key]
        for depth, layer in enumerate(_layers(own)):
            tier_name = name if depth == 0 else names.take(f"{name} +{depth}")
            out.append(Tier(tier_name, one_line(view.speakers[key]) or name, tuple(layer)))
    return out


def speaker_names(view: ConversationView, names: UniqueNames) -> dict[SpeakerKey, str]:
    """A name of one line for each speaker, that no other has."""
    return {key: names.take(one_line(name) or f"Speaker {key[1] + 1}") for key, name in view.speakers.items()}


def _interval(view: ConversationView, utterance: AnnotatedUtterance) -> Interval:
    event = utterance.event
    start_ms, end_ms = span_ms(event.t_start_ns - view.start_ns, event.t_end_ns - view.start_ns)
    return Interval(start_ms, end_ms, utterance)


def _layers(intervals: Sequence[Interval]) -> list[list[Interval]]:
    """The intervals in as few rows without overlaps as there can be: each in the first that is free."""
    layers: list[list[Interval]] = []
    for interval in sorted(intervals, key=lambda each: (each.start_ms, each.end_ms)):
        free = next((layer for layer in layers if layer[-1].end_ms <= interval.start_ms), None)
        if free is None:
            layers.append([interval])
        else:
            free.append(interval)
    return layers
