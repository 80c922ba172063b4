"""Whether a run has ended too early, seen from its scores after each epoch."""

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
