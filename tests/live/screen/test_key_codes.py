"""Keys: whatever pieces the bytes come in, the same keys; and what is not understood is no key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.screen.key_codes import MOST_PASTED, Key, decode, flush

SEQUENCES = {
    b"\x1b[A": Key("up"), b"\x1bOA": Key("up"), b"\x1b[1;5A": Key("up"), b"\x1b[B": Key("down"),
    b"\x1b[5~": Key("page_up"), b"\x1b[6~": Key("page_down"), b"\x1b[H": Key("home"), b"\x1b[1~": Key("home"),
    b"\x1bOF": Key("end"), b"\x1b[4~": Key("end"), b"\x1b[8;2~": Key("end"),
    b"\r": Key("enter"), b"\n": Key("enter"), b"\x7f": Key("backspace"), b"\x08": Key("backspace"),
    b"\x15": Key("clear"),
}  # fmt: skip
LETTERS = st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Cn")).filter(str.isprintable)
TYPED = st.one_of(
    LETTERS.map(lambda letter: (letter.encode(), Key("text", letter))),
    st.sampled_from(sorted(SEQUENCES.items())),
    st.text(LETTERS, max_size=9).map(lambda text: (b"\x1b[200~" + text.encode() + b"\x1b[201~", Key("paste", text))),
)


def in_pieces(data: bytes, cuts: list[int]) -> tuple[list[Key], bytes]:
    keys, pending, begin = [], b"", 0
    for end in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        new, pending = decode(pending, data[begin:end])
        keys += new
        begin = end
    return keys, pending


@given(st.lists(TYPED, max_size=12), st.lists(st.integers(0, 100), max_size=12))
def test_any_split_gives_the_keys_that_were_typed(typed: list[tuple[bytes, Key]], cuts: list[int]) -> None:
    keys, pending = in_pieces(b"".join(data for data, _ in typed), cuts)
    assert keys == [key for _, key in typed]
    assert pending == b""


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_whatever_comes_any_split_gives_the_same(data: bytes, cuts: list[int]) -> None:
    assert in_pieces(data, cuts) == in_pieces(data, [])
    keys, pending = in_pieces(data, [])
    assert len(keys) <= len(data)
    assert all(len(key.text) == 1 for key in keys if key.name == "text")
    flush(pending)


def test_an_escape_is_a_key_when_nothing_follows() -> None:
    assert decode(b"", b"\x1b") == ([], b"\x1b")
    assert flush(b"\x1b") == [Key("escape")]
    assert flush(b"\x1b[") == []
    assert decode(b"", b"\x1bx") == ([Key("escape"), Key("text", "x")], b"")


@pytest.mark.parametrize(
    "data", [b"\x1b[99~", b"\x1b[Z", b"\x1bOP", b"\x1b[<0;1;1M", b"\x00", b"\xff", b"\xc3\x28"[:1] + b"\x1b[Z"]
)
def test_what_is_not_understood_is_no_key(data: bytes) -> None:
    assert decode(b"", data) == ([], b"")


def test_a_paste_without_an_end_is_not_waited_for_for_ever() -> None:
    keys, pending = decode(b"", b"\x1b[200~" + b"x" * MOST_PASTED)
    assert [key.name for key in keys] == ["paste"]
    assert pending == b""
