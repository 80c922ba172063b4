"""What counts as words: text in which anything can be seen."""

import unicodedata

# Controls, joiners, lone marks and spaces.
_UNSEEN = ("Cc", "Cf", "Mn", "Me", "Zl", "Zp", "Zs")
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and a Braille pattern that are drawn as nothing


def legible(text: str) -> bool:
    r"""Whether there is anything in a text to read.

    >>> legible("\u200b\ufeff "), legible("well")
    (False, True)
    """
    return any(unicodedata.category(letter) not in _UNSEEN and letter not in _BLANK for letter in text)
