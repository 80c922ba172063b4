"""The one gate through which foreign text reaches a terminal.

The rule of this file: what was said, or named by somebody, moves no cursor, sets no title, turns no direction and
begins no line. Escape sequences, control characters and everything whose width terminals disagree about are taken out.
"""

import re
import unicodedata
from functools import lru_cache

# ECMA-48: a control sequence (CSI), a control string (OSC, DCS, ...) up to its terminator, any other escape. Of a
# string without a terminator only the beginning: nobody hides what comes after it.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])(?:[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c))?"
    r"|\x1b[ -/]*[0-~]?"
)
# Control, format (joiners, direction overrides), lone surrogates, private and unassigned characters.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn")
# Selectors, skin tones and regional letters change the width of their neighbours in some terminals and not in others.
_UNSTABLE = re.compile("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U0001f1e6-\U0001f1ff\U000e0100-\U000e01ef]")


_CACHED_LETTERS = 500


def printable(text: str, ascii_only: bool = False) -> str:
    r"""One line of `text` with nothing in it that a terminal obeys or cannot encode.

    >>> printable("\x1b[31mAnn\u202e\nwhole")
    'Ann whole'
    """
    if text.isascii() and text.isprintable():
        return text
    return _short(text, ascii_only) if len(text) <= _CACHED_LETTERS else _cleaned(text, ascii_only)


def _cleaned(text: str, ascii_only: bool) -> str:
    text = _UNSTABLE.sub("", unicodedata.normalize("NFC", _ESCAPE.sub("", text)))
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in _HIDDEN)
    if ascii_only:  # letters without their accents, and a question mark for what has no such form
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        text = text.encode("ascii", "replace").decode("ascii")
    return text


_short = lru_cache(maxsize=1024)(_cleaned)  # what the screen draws again and again
