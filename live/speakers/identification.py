"""Which voices of a room are those of people who agreed to be recognised.

Names never change who is whom: voices are told apart without them, and then named, so that enrolment cannot do harm to
that. A print was made on another day, with another microphone, in another mood; so its likeness to the right voice is
less than that of two stretches of one conversation, and no threshold on the likeness itself holds for all microphones.
What is compared instead is the cosine of what distinguishes both from voices in general (`centre`). A print names one
voice at most, the most alike pairs first. With the same microphone the right voice is far above all others, and is
taken at `ALONE`; else it has to be ahead of the other prints and of the other voices in the room, by `AHEAD`: the more
there is to compare with, the less likeness is asked for.

Of conversations of 1 to 4 people, some enrolled, some not, some enrolled who are absent (RAVDESS actors 13 to 20, in
acted emotions; as recorded, by telephone, in simulated rooms; by a script; chosen on these): with the print's own
microphone 94 % of who is enrolled got their name, and 13 % of the strangers somebody else's; with another one 62 % and
4 %. Nobody got the name of another one who was there and enrolled.
"""

from collections.abc import Mapping, Sequence

import numpy as np

ALONE = 0.6  # cosine from which on a voice has a name whoever else there is
LEAST = 0.1  # cosine of any that has one
AHEAD = 0.05  # more alike than any other print to this voice, and than any other voice to this print
STAYS = 0.05  # added to that of the name that a voice has


def identify(
    voices: Sequence[np.ndarray | None],
    prints: Mapping[str, np.ndarray],
    centre: np.ndarray,
    before: Sequence[str | None],
) -> list[str | None]:
    """The name of each voice, None if it is nobody's that is known. `before`: its name until now.

    Shapes: voices (256,) each, None where nothing is known of it; prints (256,); centre (256,).
    """
    known = list(prints)
    scores = {
        (number, name): alike(voice, prints[name], centre) + STAYS * (name == was)
        for number, (voice, was) in enumerate(zip(voices, before, strict=True))
        if voice is not None
        for name in known
    }
    names: list[str | None] = [None] * len(voices)
    for number, name in sorted(scores, key=lambda pair: (-scores[pair], pair)):
        if names[number] is None and name not in names and _is_clear(scores, number, name):
            names[number] = name
    return names


def _is_clear(scores: Mapping[tuple[int, str], float], number: int, name: str) -> bool:
    """Whether a voice is alike enough to a print, given what else there is."""
    score = scores[number, name]
    prints = [other for (n, who), other in scores.items() if n == number and who != name]
    voices = [other for (n, who), other in scores.items() if n != number and who == name]
    compared = bool(prints) + bool(voices)
    asked = ALONE - (ALONE - LEAST) * compared / 2  # halfway where there is nothing to compare with on one side
    ahead = all(score >= other + AHEAD for other in prints + voices)
    return score >= ALONE or (compared > 0 and score >= asked and ahead)


def alike(voice: np.ndarray, other: np.ndarray, centre: np.ndarray) -> float:
    """The cosine of two voices as seen from voices in general. Shapes: (256,) each."""
    a, b = voice - centre, other - centre
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9))
