"""Colours and glyphs of the screen.

The rule of this file: what was said, or named by somebody, can move neither the cursor nor the columns: it is drawn
through `Glyphs.text` (`printable.py`), and nothing else that is drawn comes from outside. Colour only repeats what the
text beside it says.
"""

from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from typing import Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from erc_live.live.screen.printable import printable

QUIET = "dim"
STRONG = "bold"
ALARM = "bold reverse red"
WARNING = "bold yellow"
CHANGED = "bold reverse"
MARKED = "bold underline"
LIVE = "bold green"
METER = "green"
HOT = "bold red"

_RULER = Console(file=StringIO(), width=80)  # Text.wrap wants a console; nothing is ever written to it


@dataclass(frozen=True)
class Glyphs:
    """What a kind of terminal can show. `bar`: cells of a bar from thinnest to full; `levels`: heights of a share."""

    bar: str
    levels: str
    rule: str
    dot: str
    shift: str
    provisional: str
    more: str
    ascii_only: bool

    def text(self, text: str) -> str:
        """`text` with nothing in it that a terminal obeys or cannot encode."""
        return printable(text, self.ascii_only)

    def fit(self, text: str, width: int, align: Literal["left", "right"] = "left") -> str:
        """`text` in exactly `width` cells: padded, or cut with a sign that more was there."""
        text = self.text(text)
        missing = width - cell_len(text)
        if missing < 0:
            return set_cell_size(set_cell_size(text, width - cell_len(self.more)) + self.more, max(0, width))
        return " " * missing + text if align == "right" else text + " " * missing

    def wrap(self, text: str, width: int, lines: int) -> list[str]:
        """`text` in at most `lines` lines of at most `width` cells; the last one shows it when more was there."""
        wrapped = _wrapped(self.text(text), max(1, width))
        if len(wrapped) <= lines:
            return list(wrapped)
        return [*wrapped[: lines - 1], self.fit(wrapped[lines - 1] + self.more, width).rstrip()]

    def hang(self, text: str, width: int, indent: int) -> list[str]:
        """All of `text` in rows of at most `width` cells, broken at words; all but the first begin with `indent`
        blanks, or with fewer where the rows are too narrow for that.
        """
        text, indent = self.text(text), min(indent, width // 2)
        head = next((n for n in range(len(text)) if cell_len(text[:n]) >= indent), len(text))
        lines = Text(text[head:]).wrap(_RULER, max(1, width - indent), overflow="fold")
        rests = [line.plain.rstrip() for line in lines] or [""]
        return [text[:head] + rests[0], *(" " * indent + rest for rest in rests[1:])]

    def meter(self, share: float, width: int) -> str:
        """A bar of `share` (0..1, NaN counts as 0) of `width` cells, padded; anything above zero shows."""
        units = round(unit_interval(share) * width * len(self.bar))
        whole, part = divmod(max(units, 1 if share > 0 else 0), len(self.bar))
        return (self.bar[-1] * whole + (self.bar[part - 1] if part else "")).ljust(width)[: max(0, width)]

    def level(self, share: float) -> str:
        """One cell for `share` (0..1)."""
        return self.levels[min(len(self.levels) - 1, int(unit_interval(share) * len(self.levels)))]


UNICODE = Glyphs("╸━", "▁▂▃▄▅▆▇█", "─", "●", "›", "~", "…", ascii_only=False)
ASCII = Glyphs("#", "0123456789", "-", "*", ">", "~", "...", ascii_only=True)


def unit_interval(value: float) -> float:
    """`value` clamped to 0..1; NaN becomes 0."""
    return min(1.0, max(0.0, value))


@lru_cache(maxsize=1024)
def _wrapped(text: str, width: int) -> tuple[str, ...]:
    lines = Text(" ".join(text.split())).wrap(_RULER, width, overflow="fold")
    return tuple(line.plain.rstrip() for line in lines)
