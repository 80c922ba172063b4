"""Valence and arousal of what is expressed: what a network learnt to say from ratings, else from the probabilities of
the labels.

    valence = sum over labels l of p(l) valence(l)          arousal alike; both in [-1, 1]

Where the labels lie is measured: the mean ratings of emotion terms on pleasure and arousal by Russell and Mehrabian
(1977, "Evidence for a three-factor theory of emotions", Journal of Research in Personality 11, 273-294; 151 terms, -1
to 1). Single numbers of a publication, cited as such; they were taken from works that quote the table, for the paper
itself could not be read here, and some of those give the arousal of "sad" as +0.27. "Neutral" is no term of theirs: it
is the middle of both scales by definition.
The rule of this file: no guess. A distribution over a label without a place has no valence and no arousal.
"""

from collections.abc import Mapping, Sequence
from math import isnan

DIMENSIONS = ("valence", "arousal")  # the order in which everything here has them
Coordinates = Mapping[str, tuple[float, float]]  # label -> valence and arousal, each in [-1, 1]

COORDINATES: Coordinates = {
    "neutral": (0.0, 0.0),
    "surprise": (0.40, 0.67),  # surprised
    "fear": (-0.64, 0.60),  # fearful
    "sadness": (-0.63, -0.27),  # sad
    "joy": (0.76, 0.48),  # joyful
    "disgust": (-0.60, 0.35),  # disgusted
    "anger": (-0.51, 0.59),  # angry
    "happy": (0.81, 0.51),
    "sad": (-0.63, -0.27),
    "angry": (-0.51, 0.59),
    "excited": (0.62, 0.75),
    "frustrated": (-0.64, 0.52),
}


def expected(probs: Mapping[str, float], own: Coordinates) -> tuple[float, float] | None:
    """Valence and arousal of a distribution; None where a label has no place. `own` goes before `COORDINATES`."""
    places = {label: own.get(label) or COORDINATES.get(label) for label in probs}
    valence = arousal = 0.0
    for label, probability in probs.items():
        place = places[label]
        if place is None:
            return None
        valence += probability * place[0]
        arousal += probability * place[1]
    return _bounded(valence), _bounded(arousal)


def located(probs: Mapping[str, float], own: Coordinates, learnt: Sequence[float]) -> tuple[float | None, float | None]:
    """Valence and arousal of an utterance: what the network has `learnt` to say (NaN: not that one), else those
    of the distribution.
    """
    places = expected(probs, own) or (None, None)
    valence, arousal = (place if isnan(value) else _bounded(value) for place, value in zip(places, learnt, strict=True))
    return valence, arousal


def learnt_dimensions(config: object) -> tuple[str, ...]:
    """Which of `DIMENSIONS` a network of this configuration answers itself, behind its logits."""
    return tuple(name for name in DIMENSIONS if getattr(config, name, False))


def _bounded(value: float) -> float:
    """Inside the scale, where rounding leaves it by a hair."""
    return min(1.0, max(-1.0, value))
