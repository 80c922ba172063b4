"""How far a run is, in words: pure, on a clock that is given.

The rule of this file: a recording that failed counts as done, for nobody waits for it; the rate counts what was scored.
"""

from collections.abc import Mapping
from datetime import timedelta

from erc_live.live.scoring.score_task import ScoreTask


class ScoreProgress:
    """`lengths_s`: of each recording that is to be scored, 0 where it does not say."""

    def __init__(self, lengths_s: Mapping[ScoreTask, float], now_s: float) -> None:
        self.total_s = sum(lengths_s.values())
        self.failed = 0
        self._lengths_s = lengths_s
        self._begun_s = now_s
        self._open_s: dict[ScoreTask, float] = {}  # of recordings that are being scored, how much is done
        self._done = 0
        self._done_s = 0.0  # of recordings that are scored or have failed
        self._lost_s = 0.0  # of those that have failed

    def advance(self, task: ScoreTask, media_s: float) -> None:
        """So much of a recording is done; 0: it begins anew."""
        self._open_s[task] = min(media_s, self._lengths_s[task])

    def finish(self, task: ScoreTask, failed: bool) -> None:
        """It is scored, or has failed."""
        self._open_s.pop(task, None)
        self._done += 1
        self._done_s += self._lengths_s[task]
        if failed:
            self.failed += 1
            self._lost_s += self._lengths_s[task]

    @property
    def done_s(self) -> float:
        """How much of `total_s` is done."""
        return self._done_s + sum(self._open_s.values())

    def rate(self, now_s: float) -> float:
        """Hours of recording per hour, since the beginning, in which the weights were loaded."""
        return (self.done_s - self._lost_s) / max(now_s - self._begun_s, 1e-3)

    def text(self, now_s: float) -> str:
        """One line: how many are done, how fast it goes, how long the rest takes, how many failed."""
        rate = self.rate(now_s)
        parts = [f"{self._done:,} of {len(self._lengths_s):,}"]
        if rate > 0:
            left = timedelta(seconds=round((self.total_s - self.done_s) / rate))
            parts += [f"{rate:.1f} hours per hour", f"{left} left"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)
