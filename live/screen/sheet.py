"""What every panel of the screen is made of: rows of cells, and the sheet that they are drawn on.

The rule of this file: a cell has a known width before it is composed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len

from erc_live.live.label_looks import label_looks
from erc_live.live.screen.interaction import Interaction
from erc_live.live.screen.theme import QUIET, STRONG, Glyphs
from erc_live.live.screen.view import SessionView

WATCHED_LINES = 3
READ_LINES = 40

Cell = tuple[str, str]  # text, style
Row = list[Cell]


@dataclass(frozen=True)
class Sheet:
    """What a panel draws from. `time`, `name`, `label`, `bar`: widths of columns, in cells; `shares`: labels whose
    probability is drawn. `doing`: what the person at the screen is at.
    """

    view: SessionView
    doing: Interaction
    width: int
    now_ns: int
    glyphs: Glyphs
    time: int
    name: int
    label: int
    shares: int
    bar: int

    @property
    def until_label(self) -> int:
        """Cells before the label: a margin, time, name, and the mark of a shift."""
        return 1 + self.time + 1 + self.name + 2

    @property
    def until_shares(self) -> int:
        """Cells before the distribution: label, percentage and a space come between."""
        return self.until_label + self.label + 5 + 1

    @property
    def lines(self) -> int:
        """Of the text of one utterance, at most: all of it where somebody reads, and not only watches."""
        return WATCHED_LINES if self.doing.anchor is None else READ_LINES

    def code(self, label: str) -> str:
        """Two letters for a label; of one that is no label of the model, the first two."""
        look = label_looks(self.view.labels).get(label)
        return label[:2] if look is None else look.letters

    def style(self, label: str) -> str:
        """Its colour."""
        look = label_looks(self.view.labels).get(label)
        return "" if look is None or look.colour.terminal is None else f"color({look.colour.terminal})"


def cells(row: Row) -> int:
    """Width of `row`."""
    return sum(cell_len(text) for text, _ in row)


def clock_text(duration_ns: int) -> str:
    """`m:ss`, from one hour on `h:mm:ss`; never below zero."""
    minutes, seconds = divmod(max(0, duration_ns) // 1_000_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def heading(
    glyphs: Glyphs, width: int, title: str, captions: Iterable[tuple[int, str]] = (), style: str = QUIET
) -> Row:
    """A rule with a title, and captions over the columns (in cells from the left) that they name."""
    row: Row = [(f"{glyphs.rule} ", QUIET), (title, STRONG), (" ", "")]
    for column, caption in captions:
        row += [(glyphs.rule * (column - 1 - cells(row)), QUIET), (f" {glyphs.text(caption)} ", style)]
    row.append((glyphs.rule * (width - cells(row)), QUIET))
    return row


def fitted(row: Row, width: int, glyphs: Glyphs) -> Row:
    """`row` in exactly `width` cells."""
    fitting: Row = []
    for text, style in row:
        text = glyphs.fit(text, min(cell_len(glyphs.text(text)), max(0, width - cells(fitting))))
        fitting.append((text, style))
    return [*fitting, (" " * (width - cells(fitting)), "")]
