"""Which stretches of one microphone are of one voice: average-linkage clustering of all that is remembered.

Everything is looked at anew each time, so what was taken for another voice while little was known is put right later.
The two groups that are most alike become one until no two are alike enough; the likeness of two groups is the mean over
all pairs of their stretches. What has changed hands once tends to come back at the next stretch, so pairs that were
taken for one voice before count as a little more alike than they are, and pairs that were not as a little less.

A group that spoke for less than `VOICE_S` altogether is no voice: who says nothing but "yeah" gets none, and is given
to the voice that is most like it. The rule of this file: pure; the same stretches give the same groups.

`SAME`, `BRIEF_S`, `VOICE_S` and `BIAS` were chosen on made talk (`erc-live bench talk`), the meetings and the call;
`live/bench/README.md` has the figures, and those of made talk on which nothing was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SAME = 0.63  # mean likeness of two groups from which on they are one voice
BIAS = 0.02  # added to the likeness of what was one voice before, subtracted from that of what was not
BRIEF_S = 0.8  # shorter stretches found no voice: their vectors vary too much
VOICE_S = 2.0  # of speech make a voice


@dataclass(frozen=True)
class Stretch:
    """Something that one voice said, or all of it that is forgotten: then `count` says how many stretches it was.

    `number` is that of the voice that it was given to, None if it is new. Shapes: vector (256,), None: unknown.
    """

    vector: np.ndarray | None
    seconds: float
    number: int | None = None
    count: int = 1


def partition(stretches: Sequence[Stretch], least: int, most: int) -> list[int]:
    """The group of each stretch: numbers from 0, by the order of their first stretches.

    Of those that are long enough to tell, there are `least` to `most` groups, or fewer where there is less to tell.
    What has no vector belongs to whom the stretch before it does, at the beginning to whom the next one does.
    """
    telling = [i for i, s in enumerate(stretches) if s.vector is not None and s.seconds >= BRIEF_S]
    if not telling:
        telling = [i for i, s in enumerate(stretches) if s.vector is not None][:1]
    groups = _agglomerate([stretches[i] for i in telling], least, most)
    members = [[telling[i] for i in group] for group in groups]
    seconds = [sum(stretches[i].seconds for i in group) for group in members]
    voices = [group for group, total in zip(members, seconds, strict=True) if total >= VOICE_S]
    if not voices:
        voices = [members[int(np.argmax(seconds))]] if members else [[0]]
    labels: list[int | None] = [None] * len(stretches)
    for label, group in enumerate(voices):
        for i in group:
            labels[i] = label
    _give_away(stretches, labels, voices)
    return _in_order(labels)


def mean(stretches: Sequence[Stretch]) -> np.ndarray | None:
    """The mean of the vectors there are, weighted by time; None without any. Shapes: (256,)"""
    telling = [(s.vector, s.seconds) for s in stretches if s.vector is not None]
    if not telling:
        return None
    found: np.ndarray = np.average([v for v, _ in telling], axis=0, weights=[max(t, 1e-3) for _, t in telling])
    return found


def _agglomerate(stretches: Sequence[Stretch], least: int, most: int) -> list[list[int]]:
    """Groups of stretches that all have a vector.

    Means over pairs follow from those of the parts (Lance and Williams 1967): of a group that was joined from a and b,
    likeness to c = (n_a * likeness(a, c) + n_b * likeness(b, c)) / (n_a + n_b).
    """
    groups = [[i] for i in range(len(stretches))]
    counts = np.array([s.count for s in stretches], float)
    seconds = np.array([s.seconds for s in stretches])
    alike = _likeness(stretches)
    while len(groups) > 1:
        voices = seconds >= VOICE_S
        open_pairs = alike
        if voices.sum() <= least:  # two voices must not become one; what is too little for a voice may join
            open_pairs = np.where(np.outer(voices, voices), -np.inf, alike)
        a, b = sorted(int(i) for i in np.unravel_index(int(open_pairs.argmax()), alike.shape))
        if open_pairs[a, b] < SAME and not (voices.sum() > most and np.isfinite(open_pairs[a, b])):
            break
        row = (counts[a] * alike[a] + counts[b] * alike[b]) / (counts[a] + counts[b])
        row[a] = -np.inf
        alike[a], alike[:, a] = row, row
        counts[a] += counts[b]
        seconds[a] += seconds[b]
        groups[a] += groups.pop(b)
        alike = np.delete(np.delete(alike, b, 0), b, 1)
        counts, seconds = np.delete(counts, b), np.delete(seconds, b)
    return groups


def _likeness(stretches: Sequence[Stretch]) -> np.ndarray:
    """Of each pair, with the bias; -inf of each with itself. Shapes: (n, n)"""
    if not stretches:
        return np.empty((0, 0))
    vectors = np.array([s.vector for s in stretches], float)
    alike: np.ndarray = vectors @ vectors.T
    numbers = np.array([-1 if s.number is None else s.number for s in stretches])
    known = np.outer(numbers >= 0, numbers >= 0)
    alike += BIAS * np.where(numbers[:, None] == numbers[None], 1, -1) * known
    np.fill_diagonal(alike, -np.inf)
    return alike


def _give_away(stretches: Sequence[Stretch], labels: list[int | None], voices: Sequence[Sequence[int]]) -> None:
    """Give what no voice has to the one that is most like it, and what cannot be told to whom spoke before."""
    means = [mean([stretches[i] for i in group]) for group in voices]
    for i, stretch in enumerate(stretches):
        if labels[i] is None and stretch.vector is not None:
            labels[i] = int(np.argmax([-1.0 if m is None else float(m @ stretch.vector) for m in means]))
    known = next((label for label in labels if label is not None), 0)
    for i, label in enumerate(labels):
        known = labels[i] = known if label is None else label


def _in_order(labels: Sequence[int | None]) -> list[int]:
    order = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return [order[label] for label in labels]
