"""How a label looks, on the screen and on the page alike: two letters of its own, and a colour that repeats them.

The rule of this file: no two labels of a model share their letters, whatever its labels are, and what a person types
for one finds the same label as what is drawn for it. Colour adds nothing but colour: it is never the only sign.

Areas have the colours of Okabe & Ito (2008), "Color Universal Design", which people with any common colour vision tell
apart. Letters in a terminal have the hue of the area at middle luminance in the 256-colour cube, so that each can be
read on a dark and on a light background.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

_DARK_INK, _LIGHT_INK = "#111111", "#ffffff"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class LabelColour(NamedTuple):
    """`area`: of what is filled, with letters in `ink` on it. `terminal`: of letters there, None for its own colour."""

    area: str
    ink: str
    terminal: int | None


class LabelLook(NamedTuple):
    """`letters` take two cells. `hatched`: the area of another label has the same colour."""

    letters: str
    colour: LabelColour
    hatched: bool


_GREY, _ORANGE, _SKY, _GREEN, _YELLOW, _BLUE, _RED, _PURPLE = (
    "#9a9a9a", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
COLOURS = {
    "neutral": LabelColour(_GREY, _DARK_INK, None),
    "surprise": LabelColour(_SKY, _DARK_INK, 37),
    "fear": LabelColour(_PURPLE, _DARK_INK, 134),
    "sadness": LabelColour(_BLUE, _LIGHT_INK, 68),
    "joy": LabelColour(_ORANGE, _DARK_INK, 172),
    "disgust": LabelColour(_GREEN, _DARK_INK, 71),
    "anger": LabelColour(_RED, _DARK_INK, 167),
}
OWN_COLOURS = (  # of labels that this table does not know, in turn: the same hues, of other shades in a terminal
    LabelColour(_YELLOW, _DARK_INK, 136),
    LabelColour(_GREEN, _DARK_INK, 64),
    LabelColour(_PURPLE, _DARK_INK, 162),
    LabelColour(_SKY, _DARK_INK, 31),
    LabelColour(_ORANGE, _DARK_INK, 173),
    LabelColour(_BLUE, _LIGHT_INK, 103),
    LabelColour(_RED, _DARK_INK, 131),
    LabelColour(_GREY, _DARK_INK, 245),
)


@lru_cache(maxsize=16)
def label_looks(labels: tuple[str, ...]) -> dict[str, LabelLook]:
    """How each of them looks, in their order; a label looks the same when others come behind it.

    >>> [look.letters for look in label_looks(("sadness", "surprise", "sad")).values()]
    ['Sa', 'Su', 'Sd']
    """
    looks: dict[str, LabelLook] = {}
    letters: set[str] = set()
    areas: set[str] = set()
    own = 0
    for label in dict.fromkeys(labels):
        colour = COLOURS.get(label.casefold())
        if colour is None:
            colour = OWN_COLOURS[own % len(OWN_COLOURS)]
            own += 1
        code = next((code for code in _candidates(label) if code.casefold() not in letters), "??")
        looks[label] = LabelLook(code, colour, hatched=colour.area in areas)
        letters.add(code.casefold())
        areas.add(colour.area)
    return looks


def label_of(typed: str, labels: Sequence[str]) -> str:
    """The label that somebody means by its number from 1, its two letters or its beginning; else the word itself."""
    word = " ".join(typed.split())
    plain = word.casefold()
    if plain.isascii() and plain.isdigit() and 0 < int(plain) <= len(labels):
        return labels[int(plain) - 1]
    named = {label.casefold(): label for label in reversed(labels)}
    looks = label_looks(tuple(labels))
    named |= {look.letters.casefold(): label for label, look in looks.items() if look.letters != "??"}
    begun = [label for label in labels if plain and label.casefold().startswith(plain)]
    return named.get(plain) or (begun[0] if len(begun) == 1 else word)


def _candidates(label: str) -> Iterator[str]:
    """Its first letter, large, with each later one, then with numbers; of a label without letters, numbers."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", label) if _takes_one_cell(c))
    first, others = folded[:1], folded[1:]
    upper = first.upper() if len(first.upper()) == 1 else first
    yield from (upper + other.lower() for other in others if len(other.lower()) == 1)
    yield from (upper + digit for digit in _DIGITS if upper)
    yield from (one + other for one, other in product(_DIGITS, repeat=2))


def _takes_one_cell(c: str) -> bool:
    """Whether it is a letter or a digit of which terminals agree that it takes one cell. Hangul in parts does not."""
    plain = unicodedata.category(c) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")
    return plain and unicodedata.east_asian_width(c) not in "WF" and "HANGUL" not in unicodedata.name(c, "")
