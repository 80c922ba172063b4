"""Two letters and a colour for each label, where there is no room for the word: `NeSuFeSaJoDiAn`.

The rule of this file: no two labels of a model share their letters, whatever its labels are, and what a person types
for one finds the same label as what is drawn for it.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import cycle, product

from rich.cells import cell_len

from erc_live.live.screen.theme import LABEL_STYLES

# For labels of other models: of middle luminance, as `LABEL_STYLES`, and none of its colours.
OWN_STYLES = tuple(f"color({number})" for number in (99, 136, 31, 162, 64, 131, 103, 173))
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=16)
def label_codes(labels: tuple[str, ...]) -> dict[str, str]:
    """Two cells for each label: its first letter, large, and the first later one that makes it unlike those before.

    >>> label_codes(("sadness", "surprise", "sad"))
    {'sadness': 'Sa', 'surprise': 'Su', 'sad': 'Sd'}
    """
    codes: dict[str, str] = {}
    for label in labels:
        taken = {code.casefold() for code in codes.values()}
        codes.setdefault(label, next((code for code in _candidates(label) if code.casefold() not in taken), "??"))
    return codes


@lru_cache(maxsize=16)
def label_styles(labels: tuple[str, ...]) -> dict[str, str]:
    """A colour for each label; those that the shipped weights do not know get colours of their own, in order."""
    own = cycle(OWN_STYLES)
    return {label: LABEL_STYLES[label] if label in LABEL_STYLES else next(own) for label in labels}


def label_of(typed: str, labels: Sequence[str]) -> str:
    """The label that somebody means by its number from 1, its two letters or its beginning; else the word itself."""
    word = " ".join(typed.split())
    plain = word.casefold()
    if plain.isascii() and plain.isdigit() and 0 < int(plain) <= len(labels):
        return labels[int(plain) - 1]
    named = {label.casefold(): label for label in reversed(labels)}
    named |= {code.casefold(): label for label, code in label_codes(tuple(labels)).items() if code != "??"}
    begun = [label for label in labels if plain and label.casefold().startswith(plain)]
    return named.get(plain) or (begun[0] if len(begun) == 1 else word)


def _candidates(label: str) -> Iterator[str]:
    folded = "".join(c for c in unicodedata.normalize("NFKD", label) if c.isalnum() and cell_len(c) == 1)
    first, others = folded[:1], folded[1:]
    upper = first.upper() if len(first.upper()) == 1 else first
    yield from (upper + other.lower() for other in others if len(other.lower()) == 1)
    yield from (upper + digit for digit in _DIGITS if upper)
    yield from (one + other for one, other in product(_DIGITS, repeat=2))
