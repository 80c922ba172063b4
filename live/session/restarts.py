"""Whether a process that died is started again, and when: pure.

What dies once may be an accident, so it is started again at once; what dies again and again waits longer each time,
by what happened lately and not over the life of the session. Who dies twice of the same exception within a minute has
a bug or an obstacle that no restart mends; being killed is no exception.
"""

from collections import deque

LATELY_S = 60.0
FIRST_S = 0.25  # the wait before the second restart; it doubles with each further one
LONGEST_S = 8.0
MOST = 20  # deaths within `LATELY_S`


class Restarts:
    """Of one worker: tell each death, get the seconds until its restart, or None if there is to be none."""

    def __init__(self) -> None:
        self.count = 0
        self._deaths: deque[tuple[float, str]] = deque(maxlen=MOST)

    def died(self, now_s: float, exception: str) -> float | None:
        """`exception`: what it raised, in one line; "" if it was killed."""
        lately = [reason for died_s, reason in self._deaths if now_s - died_s < LATELY_S]
        self._deaths.append((now_s, exception))
        if len(lately) + 1 >= MOST or (exception and exception in lately):
            return None
        self.count += 1
        return 0.0 if not lately else min(FIRST_S * 2.0 ** (len(lately) - 1), LONGEST_S)
