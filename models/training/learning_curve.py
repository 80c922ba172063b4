"""When a run should end, and whether it has ended too early or too late, seen from its scores after each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

LATE = 3  # the last of so many parts of a run is compared with all before it
NOISE = 0.003  # of weighted F1, which averaged weights still move from epoch to epoch when nothing is learnt any more


@dataclass(frozen=True)
class FoldCurves:
    """Scores of one recipe on each fold after each epoch. One that ended early is taken to have stayed as it was."""

    curves: Sequence[Sequence[float]]

    def mean(self, without: int | None = None) -> list[float]:
        """The mean over the folds, or over the others than one."""
        others = [curve for fold, curve in enumerate(self.curves) if fold != without]
        longest = max(map(len, others))
        return [mean(curve[min(epoch, len(curve) - 1)] for curve in others) for epoch in range(longest)]

    def best(self, without: int | None = None) -> int:
        """The epoch, counted from 1, after which that is highest; of equal ones the first."""
        scores = self.mean(without)
        return max(range(len(scores)), key=scores.__getitem__) + 1


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
