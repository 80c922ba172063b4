"""Parts of a data set in which no group, such as a person, stands twice: for scores on people who taught nothing.

The rule of this file: a part depends on the groups and their sizes alone, neither on a seed nor on the order of the
items, so that whoever measures later leaves the same people out.
"""

from collections import Counter
from collections.abc import Hashable, Sequence


def grouped_folds(groups: Sequence[Hashable], folds: int) -> list[int]:
    """The fold, from 0, of each item. `groups` says for each item to which group it belongs; none is split.

    The largest group goes first, each into the fold with the fewest items. Groups are told apart by their `repr`.

    Raises:
        ValueError: `folds` is less than 2, or there are fewer groups than folds.
    """
    sizes = Counter(groups)
    if not 2 <= folds <= len(sizes):
        right = f"give 2 to {len(sizes)}" if len(sizes) > 1 else "it takes two groups at least"
        raise ValueError(
            f"{len(sizes)} groups cannot be parted into {folds} folds: {right}; a group is the dialogues of one "
            "occasion, or the clips of one person, and is never in two folds"
        )
    filled = [0] * folds
    place: dict[Hashable, int] = {}
    for group in sorted(sizes, key=lambda group: (-sizes[group], repr(group))):
        place[group] = min(range(folds), key=filled.__getitem__)
        filled[place[group]] += sizes[group]
    return [place[group] for group in groups]
