"""The panel of the transcript: who said what, the label, and how probable each label is.

The rule of this file: what a person noted stands beside the estimate (`jo>ne`), never in its place; and no meaning is
carried by colour alone.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from erc_live.live.screen.interaction import Item, Span, item_key, items, place_of
from erc_live.live.screen.sheet import Cell, Row, Sheet, clock_text, heading
from erc_live.live.screen.speaker_cells import speaker_cells
from erc_live.live.screen.theme import CHANGED, MARKED, QUIET, STRONG, WARNING, Glyphs, unit_interval
from erc_live.streams.annotations import Annotation
from erc_live.streams.messages import EmotionEvent

SHARE_CELLS = 2  # of each label in a distribution
SKIPPED = "(words skipped: machine too slow)"


def transcript_heading(sheet: Sheet) -> Row:
    """Names the columns of the distribution by the letters of the labels."""
    codes = "".join(sheet.glyphs.fit(sheet.code(label), SHARE_CELLS) for label in sheet.view.labels[: sheet.shares])
    captions = [(sheet.until_shares, codes)] if sheet.view.utterances else []
    return heading(sheet.glyphs, sheet.width, "Transcript", captions)


def transcript(sheet: Sheet, rows: int, compact: bool) -> list[Row]:
    """The transcript up to the item that somebody reads, or the newest; an older item that does not fit shows its end,
    the last its beginning. Above the oldest there is nothing, so there it goes on below.
    """
    listed = items(sheet.view)
    if not listed:
        return _waiting(sheet)[:rows]
    last = _anchor(sheet, listed)
    drawn: list[Row] = []
    for item in reversed(listed[: last + 1]):
        entry = _drawn(sheet, item, compact)
        drawn = entry + drawn if drawn else entry[:rows]
        if len(drawn) >= rows:
            return drawn[-rows:]
    for item in listed[last + 1 :]:
        drawn += _drawn(sheet, item, compact)
        if len(drawn) >= rows:
            break
    return drawn[:rows]


def span(sheet: Sheet, rows: int, compact: bool, place: int) -> Span:
    """Which items can be seen in full, where the transcript ends with the one at `place`."""
    listed = items(sheet.view)
    first = last = max(0, min(place, len(listed) - 1))
    free = rows - len(_drawn(sheet, listed[last], compact))
    while first > 0 and (height := len(_drawn(sheet, listed[first - 1], compact))) <= free:
        first, free = first - 1, free - height
    while first == 0 and last < len(listed) - 1 and (height := len(_drawn(sheet, listed[last + 1], compact))) <= free:
        last, free = last + 1, free - height
    return Span(first, last)


def below(sheet: Sheet, rows: int, compact: bool) -> int:
    """How many items are newer than what is on the screen."""
    listed = items(sheet.view)
    if sheet.doing.anchor is None or not listed:
        return 0
    return len(listed) - 1 - span(sheet, rows, compact, _anchor(sheet, listed)).last


def label_cells(sheet: Sheet, event: EmotionEvent) -> Row:
    """Mark, label, a question mark where the model would rather abstain, and percentage: the same columns in every
    panel.
    """
    style = style_of(sheet, event)
    label = sheet.glyphs.fit(event.label, sheet.label)
    return [
        (_mark(sheet.glyphs, event), WARNING),
        (label, style),
        (f"{doubt(event):1}{probability(event):>4.0%}", style),
    ]


def doubt(event: EmotionEvent) -> str:
    """The sign of a label that is not certain."""
    return "" if event.certain else "?"


def style_of(sheet: Sheet, event: EmotionEvent) -> str:
    """The style of a label; one that is not certain has no colour."""
    return sheet.style(event.label) if event.certain else QUIET


def probability(event: EmotionEvent) -> float:
    """Of the label."""
    return unit_interval(event.probs.get(event.label, 0.0))


def _anchor(sheet: Sheet, listed: Sequence[Item]) -> int:
    place = place_of(sheet.doing.anchor, tuple(listed))
    return len(listed) - 1 if place is None else place


def _mark(glyphs: Glyphs, event: EmotionEvent) -> str:
    if not event.final:
        return glyphs.provisional
    return glyphs.shift if event.shift else " "


def _drawn(sheet: Sheet, item: Item, compact: bool) -> list[Row]:
    if isinstance(item, Annotation):
        return _note(sheet, item, compact)
    return _compact_entry(sheet, item) if compact else _entry(sheet, item)


def _note(sheet: Sheet, mark: Annotation, compact: bool) -> list[Row]:
    """A moment that somebody marked."""
    time = sheet.glyphs.fit(clock_text(mark.t_ns - (sheet.view.start_ns or 0)), sheet.time, "right")
    head: Row = [("" if compact else " ", ""), (f"{time} ", QUIET), ("marked", MARKED), ("  ", "")]
    indent = sum(cell_len(text) for text, _ in head)
    lines = sheet.glyphs.wrap(mark.text, sheet.width - indent - 1, sheet.lines) or [""]
    return [[*head, (lines[0], "")], *([(" " * indent, ""), (line, "")] for line in lines[1:])]


def _corrected(sheet: Sheet, event: EmotionEvent) -> Row:
    """The columns of the label, with what a person noted beside it."""
    noted = sheet.view.corrections.get(event.utterance)
    row = label_cells(sheet, event)
    if noted is None:
        return row
    estimate = sheet.code(event.label)
    both = f"{estimate}>{noted}"
    if cell_len(sheet.glyphs.text(both)) > sheet.label:
        both = f"{estimate}>{sheet.code(noted)}"
    return [row[0], (sheet.glyphs.fit(both, sheet.label), CHANGED), row[2]]


def _entry(sheet: Sheet, event: EmotionEvent) -> list[Row]:
    """An utterance in columns; further lines of its text hang under the first."""
    time = sheet.glyphs.fit(_time(sheet, event), sheet.time, "right")
    head: Row = [
        (_pointer(sheet, event), STRONG),
        (time, QUIET),
        *speaker_cells(sheet.view, event, sheet.name, sheet.now_ns, sheet.glyphs),
        *_corrected(sheet, event),
        (" ", ""),
        *_shares(sheet, event),
        ("  ", ""),
    ]
    indent = sheet.until_shares + sheet.shares * SHARE_CELLS + 2
    texts = _text_cells(sheet, event, sheet.width - indent - 1)
    return [[*head, texts[0]], *([(" " * indent, ""), text] for text in texts[1:])]


def _compact_entry(sheet: Sheet, event: EmotionEvent) -> list[Row]:
    """An utterance in two lines or more, for a terminal without room for columns."""
    noted = sheet.view.corrections.get(event.utterance)
    label = sheet.glyphs.text(event.label if noted is None else f"{sheet.code(event.label)}>{noted}")
    head: Row = [
        (sheet.glyphs.fit(_time(sheet, event), sheet.time, "right"), QUIET),
        *speaker_cells(sheet.view, event, sheet.name, sheet.now_ns, sheet.glyphs),
        (_mark(sheet.glyphs, event), WARNING),
        (f"{label}{doubt(event)} {probability(event):.0%}", style_of(sheet, event) if noted is None else CHANGED),
    ]
    pointer = _pointer(sheet, event) + " "
    return [head, *([(pointer, STRONG), text] for text in _text_cells(sheet, event, sheet.width - 3))]


def _pointer(sheet: Sheet, event: EmotionEvent) -> str:
    """Which utterance is chosen."""
    return ">" if sheet.doing.chosen == item_key(event) else " "


def _time(sheet: Sheet, event: EmotionEvent) -> str:
    return clock_text(event.t_start_ns - (sheet.view.start_ns or 0))


def _text_cells(sheet: Sheet, event: EmotionEvent, width: int) -> Row:
    """The text of an utterance, one cell per line, at least one."""
    lines = sheet.glyphs.wrap(event.text, width, sheet.lines)
    if not any(lines):
        nothing = "(speaking)" if not event.final else "(no words recognised)"
        return [(line, QUIET) for line in sheet.glyphs.wrap(SKIPPED if event.skipped else nothing, width, sheet.lines)]
    return [(line, "" if event.final else "italic dim") for line in lines]


def _shares(sheet: Sheet, event: EmotionEvent) -> Iterable[Cell]:
    """Two cells per label, in their one order, as high as the label is probable."""
    for label in sheet.view.labels[: sheet.shares]:
        style = style_of(sheet, event) if label == event.label else QUIET
        yield sheet.glyphs.level(event.probs.get(label, 0.0)) * SHARE_CELLS, style


def _waiting(sheet: Sheet) -> list[Row]:
    """What is awaited: the first words, or who still loads, and what."""
    view, glyphs = sheet.view, sheet.glyphs
    if view.hello is not None:
        lines = glyphs.wrap("Listening. An utterance appears when it has ended.", max(1, sheet.width - 2), 3)
        return [[(f" {line}", QUIET)] for line in lines]
    rows: list[Row] = [[(" Starting.", QUIET)]]
    for worker in view.workers:
        doing = worker.note or worker.phase
        rows.append([(f" {glyphs.fit(worker.worker + ':', 12)} ", STRONG), (glyphs.text(doing), QUIET)])
    return rows
