import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from erc_live.live.screen.theme import ASCII, UNICODE

GLYPHS = st.sampled_from((UNICODE, ASCII))
ANYTHING = st.text(st.characters(), max_size=60)  # lone surrogates and control characters included
WIDTHS = st.integers(0, 50)


@given(GLYPHS, ANYTHING, WIDTHS, st.sampled_from(("left", "right")))
def test_fitted_text_has_exactly_the_width(glyphs, text, width, align):
    assert cell_len(glyphs.fit(text, width, align)) == width


@given(GLYPHS, ANYTHING, st.integers(1, 50), st.integers(1, 4))
def test_wrapped_text_stays_within_its_lines(glyphs, text, width, lines):
    wrapped = glyphs.wrap(text, width, lines)
    assert len(wrapped) <= lines
    assert all(cell_len(line) <= width for line in wrapped)


@given(st.text(st.characters(categories=("L", "N", "P"), max_codepoint=0x2FF), max_size=60), st.integers(1, 50))
def test_wrapping_loses_no_letter_where_there_is_room(text, width):
    shown = "".join(UNICODE.wrap(text, width, 100))
    assert shown.replace(" ", "") == unicodedata.normalize("NFC", text).replace(" ", "")


@given(GLYPHS, ANYTHING)
def test_nothing_that_a_terminal_obeys_is_left(glyphs, text):
    shown = glyphs.text(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in shown)
    assert glyphs is UNICODE or shown.isascii()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b2Jgone", "gone"),
        ("\x1b]0;a title\x07said", "said"),
        ("\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("one\ntwo\tthree\r\n", "one two three  "),
        ("back\x08wards\x7f", "backwards"),
        ("left\u202eright\u200b", "leftright"),
        ("\U0001f469\u200d\U0001f52c\ufe0f", "\U0001f469\U0001f52c"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("שלום 你好", "שלום 你好"),
    ],
)
def test_what_is_taken_out_and_what_is_kept(text, shown):
    assert UNICODE.text(text) == shown


def test_letters_lose_their_accents_where_they_cannot_be_shown():
    assert ASCII.text("Zoë Łukasz — 你") == "Zoe ?ukasz ? ?"


def test_cut_text_says_so():
    assert UNICODE.fit("conversation", 8) == "convers…"
    assert ASCII.fit("conversation", 8) == "conve..."
    assert UNICODE.wrap("one two three four", 9, 2) == ["one two", "three…"]
    assert UNICODE.wrap("one two conversation four", 9, 2) == ["one two", "conversa…"]


@given(GLYPHS, st.floats(), WIDTHS)
def test_a_bar_fits_and_grows_with_its_share(glyphs, share, width):
    bar = glyphs.meter(share, width)
    assert cell_len(bar) == width
    less = 0.0 if math.isnan(share) else share / 2
    assert len(glyphs.meter(less, width).rstrip()) <= len(bar.rstrip())
    assert bool(bar.strip()) == (share > 0 and width > 0)


def test_the_height_of_a_level_is_its_share():
    assert [UNICODE.level(share) for share in (-1.0, math.nan, 0.0, 0.49, 0.5, 0.99, 1.0)] == list("▁▁▁▄▅██")
    assert [ASCII.level(share) for share in (0.0, 0.49, 0.5, 1.0)] == list("0459")
