"""The help of the screen: what each key does, what the signs mean, and the letters of the labels.

The rule of this file: all that can be seen or pressed is explained here, in lines that fit a small terminal.
"""

from collections.abc import Iterable

from erc_live.live.screen.sheet import Row, Sheet
from erc_live.live.screen.theme import QUIET, STRONG
from erc_live.streams.plural import counted

KEYS = (
    ("p", "pause: nothing is listened to; again: resume"),
    ("m", "mark this moment with a note"),
    ("n", "name a speaker"),
    ("c", "correct a label; the estimate stays beside it"),
    ("up, down", "scroll; also PgUp, PgDn, Home"),
    ("End, Esc", "back to the newest"),
    ("q", "end the session; twice: at once"),
    ("?", "this help; any key closes it"),
)
KEY_CELLS = 11  # of a key or sign
MOST_LINES = 9  # of one explanation
LEGEND_CELLS = 16  # of each label in the legend


def help_rows(sheet: Sheet, rows: int) -> list[Row]:
    """What fits into `rows`, from the line that somebody scrolled to."""
    lines = _lines(sheet)
    if len(lines) <= rows:
        return lines
    room = max(1, rows - 1)
    top = min(sheet.doing.top, len(lines) - room)
    more = len(lines) - room - top
    return [
        *lines[top : top + room],
        [(f" up, down: {counted(more, 'line')} more" if more else " the end; up goes back", QUIET)],
    ][:rows]


def last_top(sheet: Sheet, rows: int) -> int:
    """The line with which `rows` begin where somebody has scrolled to the end."""
    lines = _lines(sheet)
    return 0 if len(lines) <= rows else len(lines) - max(1, rows - 1)


def _lines(sheet: Sheet) -> list[Row]:
    """All of the help."""
    lines = _explained(sheet, KEYS)
    lines += [[], [(" Labels, and how probable each is:", QUIET)], *legend(sheet)]
    signs = (
        (sheet.glyphs.shift, "another label than this speaker had before"),
        (sheet.glyphs.provisional, "still being said: may change"),
        ("?", "too uncertain to count as a label, or who speaks"),
        ("Jo>Ne", "estimated joy, neutral by somebody's word"),
    )
    return [*lines, [], *_explained(sheet, signs)]


def _explained(sheet: Sheet, table: Iterable[tuple[str, str]]) -> list[Row]:
    """What is explained, and how, in as many lines as that takes."""
    rows: list[Row] = []
    for what, means in table:
        lines = sheet.glyphs.wrap(means, sheet.width - KEY_CELLS - 1, MOST_LINES)
        heads = [f" {sheet.glyphs.text(what)}".ljust(KEY_CELLS), *([" " * KEY_CELLS] * (len(lines) - 1))]
        rows += [[(head, STRONG), (line, "")] for head, line in zip(heads, lines, strict=True)]
    return rows


def legend(sheet: Sheet) -> list[Row]:
    """Letters and names of the labels, in their colours."""
    columns = max(1, (sheet.width - 1) // LEGEND_CELLS)
    labels = sheet.view.labels
    return [
        [
            (" ", ""),
            *((sheet.glyphs.fit(f"{sheet.code(label)} {label}", LEGEND_CELLS), sheet.style(label)) for label in row),
        ]
        for row in (labels[n : n + columns] for n in range(0, len(labels), columns))
    ]
