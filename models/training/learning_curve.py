"""Whether a run has ended too early or too late, seen from its scores after each epoch."""

from collections.abc import Sequence

LATE = 3  # the last of so many parts of a run is compared with all before it
NOISE = 0.003  # of weighted F1, which averaged weights still move from epoch to epoch when nothing is learnt any more


def still_rising(scores: Sequence[float]) -> bool:
    """Whether the last score lies clearly above all of the first two thirds of the epochs; of fewer than three epochs
    nothing can be told.

    The rate has all but vanished in the last third (`trainer.rate_share`): what rises there is cut short by the end of
    the schedule, and a longer one may go on.
    """
    early = scores[: len(scores) - len(scores) // LATE]
    return len(scores) >= LATE and scores[-1] > max(early) + NOISE


def fell_since(scores: Sequence[float]) -> int | None:
    """The epoch, counted from 1, of the best score, where the last one lies clearly below it: then it has been learnt
    by heart since. The best of many is somewhat too good, so it takes twice the noise.
    """
    best = max(range(len(scores)), key=scores.__getitem__, default=0)
    fell = bool(scores) and scores[-1] < scores[best] - 2 * NOISE
    return best + 1 if fell and not still_rising(scores) else None
