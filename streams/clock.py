"""The clock of a session.

Live, session time is the host's monotonic clock. A recording replayed at N times real time runs on a session clock
that is N times as fast, so that stamps stay on the media time line; in tests and at maximum speed time moves only
when told.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Session time in ns, and waiting for it."""

    def now_ns(self) -> int: ...

    def sleep_until(self, t_ns: int) -> None: ...


class SessionClock:
    """Session time runs `speed` times as fast as the host's monotonic clock, equal to it at `origin_ns`."""

    def __init__(self, origin_ns: int = 0, speed: float = 1.0) -> None:
        self.origin_ns = origin_ns
        self.speed = speed

    def now_ns(self) -> int:
        if self.speed == 1.0:
            return time.monotonic_ns()
        return self.origin_ns + int((time.monotonic_ns() - self.origin_ns) * self.speed)

    def sleep_until(self, t_ns: int) -> None:
        """Return at session time `t_ns`, at once if it has passed."""
        wait_s = (t_ns - self.now_ns()) / 1e9 / self.speed
        if wait_s > 0:
            time.sleep(wait_s)


class ManualClock:
    """Time that moves only when told: for tests, and for replay as fast as the machine can."""

    def __init__(self, t_ns: int = 0) -> None:
        self.t_ns = t_ns

    def now_ns(self) -> int:
        return self.t_ns

    def sleep_until(self, t_ns: int) -> None:
        """Jump forward to `t_ns`; never back."""
        self.t_ns = max(self.t_ns, t_ns)
