"""The one definition of a percentile, of the screen and of all benches: a value that was measured, never one between.

It is the nearest rank: of few values, the 95th percentile is the largest.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

Value = TypeVar("Value", int, float)


def percentile(values: Sequence[Value], percent: float) -> Value:
    """The smallest value that at least `percent` of all do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values, so no percentile")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]
