"""TextGrid of Praat, long text format, UTF-8: for each speaker a tier of words, one of labels, one of annotations.

Marks of people are points of a tier of their own. A double quote in a text is written twice.
The rule of this file: the intervals of a tier follow each other without holes or overlaps, from 0 to the end.
"""

from collections.abc import Callable, Iterator

from erc_live.live.export.exported import Export
from erc_live.live.export.plain_text import (
    UniqueNames,
    annotated_text,
    label_text,
    milliseconds,
    one_line,
)
from erc_live.live.export.tiers import Interval, Tier, tiers
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView

TextOf = Callable[[AnnotatedUtterance], str]


def write(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    view, names = export.view, UniqueNames()
    spoken = tiers(view, names)
    marks = _marks(view)
    ends = [interval.end_ms for tier in spoken for interval in tier.intervals]
    end_ms = max([1, milliseconds(view.end_ns - view.start_ns), *ends, *marks])
    blocks = [block for tier in spoken for block in _of_speaker(tier, end_ms, names)]
    if marks:
        blocks.append(_point_tier(names.take("marks"), marks, end_ms))
    head = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {_s(end_ms)}\n'
    if blocks:
        head += f"tiers? <exists>\nsize = {len(blocks)}\nitem []:\n"
        body = "".join(f"    item [{number}]:\n{block}" for number, block in enumerate(blocks, 1))
    else:
        body = "tiers? <absent>\n"
    export.write_text(f"{export.stem}.TextGrid", head + body)


def _of_speaker(tier: Tier, end_ms: int, names: UniqueNames) -> Iterator[str]:
    yield _interval_tier(tier.name, tier, lambda each: each.event.text, end_ms)
    yield _interval_tier(names.take(f"{tier.name} label"), tier, label_text, end_ms)
    if any(interval.utterance.annotations for interval in tier.intervals):
        yield _interval_tier(names.take(f"{tier.name} annotated"), tier, annotated_text, end_ms)


def _interval_tier(name: str, tier: Tier, text: TextOf, end_ms: int) -> str:
    rows = list(_without_holes(tier.intervals, text, end_ms))
    lines = [f'        class = "IntervalTier"\n        name = {_quoted(name)}\n        xmin = 0\n']
    lines.append(f"        xmax = {_s(end_ms)}\n        intervals: size = {len(rows)}\n")
    for number, (start_ms, until_ms, content) in enumerate(rows, 1):
        lines.append(f"        intervals [{number}]:\n            xmin = {_s(start_ms)}\n")
        lines.append(f"            xmax = {_s(until_ms)}\n            text = {_quoted(content)}\n")
    return "".join(lines)


def _without_holes(intervals: tuple[Interval, ...], text: TextOf, end_ms: int) -> Iterator[tuple[int, int, str]]:
    """Start, end and text of each interval, and of the silences between them."""
    at_ms = 0
    for interval in intervals:
        if interval.start_ms > at_ms:
            yield at_ms, interval.start_ms, ""
        yield interval.start_ms, interval.end_ms, text(interval.utterance)
        at_ms = interval.end_ms
    if at_ms < end_ms:
        yield at_ms, end_ms, ""


def _marks(view: ConversationView) -> dict[int, str]:
    """By time in ms; those of one instant are one point."""
    marks: dict[int, str] = {}
    for mark in view.marks:
        at_ms = milliseconds(mark.t_ns - view.start_ns)
        text = f"{mark.text} ({mark.author})"
        marks[at_ms] = f"{marks[at_ms]}; {text}" if at_ms in marks else text
    return dict(sorted(marks.items()))


def _point_tier(name: str, marks: dict[int, str], end_ms: int) -> str:
    lines = [f'        class = "TextTier"\n        name = {_quoted(name)}\n        xmin = 0\n']
    lines.append(f"        xmax = {_s(end_ms)}\n        points: size = {len(marks)}\n")
    for number, (at_ms, text) in enumerate(marks.items(), 1):
        lines.append(
            f"        points [{number}]:\n            number = {_s(at_ms)}\n            mark = {_quoted(text)}\n"
        )
    return "".join(lines)


def _quoted(text: str) -> str:
    return '"' + one_line(text).replace('"', '""') + '"'


def _s(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03}"
