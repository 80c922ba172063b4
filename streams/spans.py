"""Stretches of time or of samples, as pairs: from, and just after the last.

The rule of this file: whole numbers, so that nothing is rounded.
"""

from collections.abc import Iterable

Span = tuple[int, int]


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same in spans that neither overlap nor touch, in order.

    >>> merged([(5, 7), (0, 2), (1, 3)])
    ((0, 3), (5, 7))
    """
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return tuple(out)
