"""The panel of the speakers: who takes part, the label of now, the share of the talk, the trend.

The rule of this file: no meaning is carried by colour alone.
"""

from collections.abc import Iterable

from erc_live.live.screen.sheet import Cell, Row, Sheet, heading
from erc_live.live.screen.speaker_cells import short_name
from erc_live.live.screen.theme import QUIET, STRONG, WARNING
from erc_live.live.screen.transcript_panel import SHARE_CELLS, label_cells, probability, style_of
from erc_live.live.screen.view import Mark, SpeakerSummary


def speakers(sheet: Sheet, rows: int) -> list[Row]:
    """Who takes part in the dialogue that was heard last: label, share of the talk, trend. At most `rows` speakers."""
    view = sheet.view
    heard = [s for s in view.speakers if s.dialogue == view.speakers[-1].dialogue]
    talk_ns = sum(s.talk_ns for s in heard)
    known = {s.index for s in heard}
    roster = view.hello.speakers if view.hello else ()
    body = [_speaker(sheet, s, talk_ns) for s in sorted(heard[-rows:], key=lambda s: s.index)]
    body += [
        _unheard(sheet, short_name(name, index)) for index, name in enumerate(roster) if name and index not in known
    ]
    hidden = max(0, len(heard) - rows) + max(0, len(body) - rows)
    body = body or [[(" nobody yet", QUIET)]]
    title = f"Speakers ({hidden} more)" if hidden else "Speakers"
    talk = sheet.until_shares + sheet.bar + 2
    captions = ((sheet.until_label, "now"), (talk, "talk"), (talk + 6, "trend")) if heard else ()
    return [heading(sheet.glyphs, sheet.width, title, captions), *body[:rows]]


def _speaker(sheet: Sheet, speaker: SpeakerSummary, talk_ns: int) -> Row:
    event = speaker.latest
    room = sheet.width - sheet.until_shares - sheet.bar - 9  # talk share 6, its gap 2, right margin 1
    return [
        (" " + sheet.glyphs.fit(short_name(speaker.name, speaker.index), sheet.until_label - 3) + " ", STRONG),
        *label_cells(sheet, event),
        (" " + sheet.glyphs.meter(probability(event), sheet.bar), style_of(sheet, event)),
        ((f"{speaker.talk_ns / talk_ns:>6.0%}" if talk_ns else " " * 6) + "  ", ""),
        *_trend(sheet, speaker.trend[-max(1, room // (SHARE_CELLS + 1)) :]),
    ]


def _unheard(sheet: Sheet, name: str) -> Row:
    return [(" " + sheet.glyphs.fit(name, sheet.until_label - 1), STRONG), ("not heard recently", QUIET)]


def _trend(sheet: Sheet, marks: Iterable[Mark]) -> Iterable[Cell]:
    """The letters of past labels, oldest first; the sign of a shift stands where the label changed."""
    for position, mark in enumerate(marks):
        if position:
            yield sheet.glyphs.shift if mark.shift else " ", WARNING
        yield sheet.glyphs.fit(sheet.code(mark.label), SHARE_CELLS), sheet.style(mark.label)
