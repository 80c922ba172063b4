"""What a terminal sends -> keys. Pure: bytes come in any pieces, and give the same keys.

An arrow is several bytes that may arrive one by one, a letter of most scripts is more than one, and what is pasted
comes between two marks, where the terminal knows how (bracketed paste), so that nothing in it is taken for a command.
The rule of this file: what is not understood gives no key, and never a letter that nobody typed.
"""

import re
from dataclasses import dataclass
from typing import Literal

Name = Literal[
    "text", "paste", "enter", "escape", "backspace", "clear", "up", "down", "page_up", "page_down", "home", "end"
]  # fmt: skip

PASTES_MARKED, PASTES_UNMARKED = "\x1b[?2004h", "\x1b[?2004l"  # orders to the terminal
MOST_PASTED = 64 << 10  # bytes that are waited for; a paste without an end is one that ends there

_PASTE, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")  # ECMA-48 control sequence, or what SS3 introduces
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?$")
_FINAL: dict[bytes, Name] = {b"A": "up", b"B": "down", b"H": "home", b"F": "end"}  # of arrows, with any modifier
_TILDE: dict[bytes, Name] = {b"1": "home", b"7": "home", b"4": "end", b"8": "end", b"5": "page_up", b"6": "page_down"}
_CONTROL: dict[bytes, Name] = {b"\r": "enter", b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace"}
_CONTROL |= {b"\x15": "clear"}  # Ctrl-U


@dataclass(frozen=True)
class Key:
    """A key. `text`: the letter of a "text", all of a "paste"."""

    name: Name
    text: str = ""


def decode(pending: bytes, data: bytes) -> tuple[list[Key], bytes]:
    """The keys of `data`, and what is to be put before the next bytes, because it has only begun."""
    rest = pending + data
    keys: list[Key] = []
    while rest:
        size, key = _first(rest)
        if not size:
            break
        keys += [key] if key else []
        rest = rest[size:]
    return keys, rest


def flush(pending: bytes) -> list[Key]:
    """What was typed, now that nothing follows: an escape that began nothing is the key Esc."""
    return [Key("escape")] if pending == b"\x1b" else []


def _first(data: bytes) -> tuple[int, Key | None]:
    """How many bytes the first key takes, and the key; 0 where more has to come."""
    if data.startswith(_PASTE):
        return _pasted(data)
    if data[0] == 0x1B:
        if match := _SEQUENCE.match(data):
            return match.end(), _of_sequence(match[0])
        if _UNFINISHED.match(data):
            return 0, None
        return 1, Key("escape")
    if data[:1] in _CONTROL:
        return 1, Key(_CONTROL[data[:1]])
    return _letter(data)


def _pasted(data: bytes) -> tuple[int, Key | None]:
    end = data.find(_PASTE_END)
    if end < 0 and len(data) < MOST_PASTED:
        return 0, None
    size, taken = (len(data), len(data)) if end < 0 else (end + len(_PASTE_END), end)
    return size, Key("paste", data[len(_PASTE) : taken].decode(errors="replace"))


def _of_sequence(sequence: bytes) -> Key | None:
    final = sequence[-1:]
    name = _TILDE.get(sequence[2:-1].partition(b";")[0]) if final == b"~" else _FINAL.get(final)
    return Key(name) if name else None


def _letter(data: bytes) -> tuple[int, Key | None]:
    """One letter of UTF-8; a byte that begins none is passed over."""
    lead = data[0]
    size = (
        1
        if lead < 0x80
        else 2
        if 0xC2 <= lead < 0xE0
        else 3
        if 0xE0 <= lead < 0xF0
        else 4
        if 0xF0 <= lead < 0xF5
        else 0
    )
    if not size:
        return 1, None
    follows = data[1:size]
    if bad := next((n for n, byte in enumerate(follows, 1) if not 0x80 <= byte < 0xC0), 0):
        return bad, None
    if len(data) < size:
        return 0, None
    try:
        letter = data[:size].decode()
    except UnicodeDecodeError:
        return size, None
    return size, Key("text", letter) if letter.isprintable() or lead >= 0x80 else None
