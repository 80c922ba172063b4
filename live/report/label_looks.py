"""How labels look on a page: a colour and two letters each, whatever they are called.

The colours are those of Okabe & Ito (2008), "Color Universal Design", which people with any common colour vision tell
apart; the letters are the second channel, and the only one in print without colour. The rule of this file: two labels
never have the same letters, and where there are more labels than colours, those that share one differ by a hatching.
"""

from collections.abc import Iterable, Iterator
from itertools import count

from erc_live.live.report.page_rows import PageLabel

_INK_DARK, _INK_LIGHT = "#111111", "#ffffff"
_GREY, _ORANGE, _SKY, _GREEN, _YELLOW, _BLUE, _RED, _PURPLE = (
    "#9a9a9a", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
_LIGHT_INK = {_BLUE}
_OF_LABELS = {
    "neutral": _GREY,
    "surprise": _SKY,
    "fear": _PURPLE,
    "sadness": _BLUE,
    "joy": _ORANGE,
    "disgust": _GREEN,
    "anger": _RED,
}
_COLOURS = (_YELLOW, _GREEN, _PURPLE, _SKY, _ORANGE, _BLUE, _RED, _GREY)  # of labels that this table does not know


def label_looks(labels: Iterable[str]) -> dict[str, PageLabel]:
    """How each of them looks, in their order; a label looks the same when others come behind it."""
    looks: dict[str, PageLabel] = {}
    letters: set[str] = set()
    colours: set[str] = set()
    unknown = 0
    for label in dict.fromkeys(labels):
        colour = _OF_LABELS.get(label.lower())
        if colour is None:
            free = [one for one in _COLOURS if one not in colours and one not in _OF_LABELS.values()]
            colour = free[0] if free else _COLOURS[unknown % len(_COLOURS)]
            unknown += 1
        own = next(pair for pair in _pairs(label) if pair not in letters)
        ink = _INK_LIGHT if colour in _LIGHT_INK else _INK_DARK
        looks[label] = PageLabel(letters=own, colour=colour, ink=ink, hatched=colour in colours)
        letters.add(own)
        colours.add(colour)
    return looks


def _pairs(label: str) -> Iterator[str]:
    """The first letter, large, with each that follows, then with numbers."""
    characters = [c for c in label.lower() if c.isalnum()] or ["?"]
    first, rest = characters[0].upper(), characters[1:]
    yield from (first + second for second in rest)
    yield from (f"{first}{number}" for number in count(1))
