"""Whatever is printed, and wherever it comes from, is text to a terminal: no command, no markup, no line of its own."""

import ast
import io
import os
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from erc_live.live import screen
from erc_live.live.screen import console, progress
from erc_live.live.screen.console import PlainConsole, print_line
from erc_live.live.screen.printable import printable

LIVE = Path(screen.__file__).parent.parent
EVIL = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x9d\x07\r\n\x08\u202e\u2066\u200b\u2028\ufe0f\U0001f3fb[]m;0\U000e0041"),
    ),
    max_size=40,
)


def clean(text: str) -> bool:
    return not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for letter in text)


@given(EVIL, st.booleans())
def test_what_passes_is_one_line_of_text(text: str, ascii_only: bool) -> None:
    once = printable(text, ascii_only)
    assert clean(once)
    assert printable(once, ascii_only) == once
    assert not ascii_only or once.isascii()


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"), max_codepoint=0x2FF), max_size=40))
def test_what_people_write_passes(text: str) -> None:
    plain = "".join(" " if letter.isspace() else letter for letter in unicodedata.normalize("NFC", text))
    assert printable(text) == plain


@given(EVIL)
def test_a_console_obeys_nothing(text: str) -> None:
    to = PlainConsole()
    to.file = io.StringIO()
    table = Table(text, box=None)
    table.add_row(text)
    for thing in (text, Text(text), table):
        to.print(thing)
    print_line(text, to)
    assert all(map(clean, to.file.getvalue().split("\n")))


def test_a_reader_that_goes_away_ends_nothing() -> None:
    """`erc-live annotate BUNDLE | head -1`: what is left to do is done, and the exit code is that of the work."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as gone:
        to = PlainConsole()
        to.file = gone
        for _ in range(2):
            print_line("x" * 100_000, to)
    assert to.quiet


def test_markup_is_text() -> None:
    to = PlainConsole()
    to.file = io.StringIO()
    to.print("[bold]Ann[/] :smile: [/wrong]")
    assert to.file.getvalue() == "[bold]Ann[/] :smile: [/wrong]\n"


def test_a_bar_shows_what_it_is_given() -> None:
    to = PlainConsole()
    to.file = io.StringIO()
    bar = progress.plain()
    bar.add_task("\x1b]0;owned\x07[/wrong]\x9bAnn")
    to.print(bar.get_renderable())
    assert "[/wrong]" in to.file.getvalue()
    assert all(map(clean, to.file.getvalue().split("\n")))


def test_an_ordinary_screen_is_drawn_as_before() -> None:
    assert isinstance(console.out, PlainConsole)
    assert isinstance(console.err, PlainConsole)
    for text in ("naïve Zoë 東京 ┃━╸ ⠋ ▁▂▃ ± σ", "C:\\talks\\[monday]", "a  b"):
        assert printable(text) == text


# A console of its own: what is drawn with it goes through `Glyphs.text`, or nowhere.
OWN_CONSOLES = {
    "screen/dashboard.py",
    "screen/theme.py",
    "session/workers.py",
    "screen/console.py",
    "screen/lines.py",  # a ruler
}


def test_nobody_else_writes_to_a_terminal() -> None:
    makers = set()
    for path in LIVE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Console", "PlainConsole"):
                makers.add(path.relative_to(LIVE).as_posix())
    assert makers == OWN_CONSOLES
