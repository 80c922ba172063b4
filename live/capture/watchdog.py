"""When a device counts as dead, and when to try it again.

Drivers do not say that a device was unplugged: reads return stale data, or nothing, with no error. So the only sign
that counts is that data arrives. The rule of this file: no device and no clock, only times that are told.
"""

import math

RETRY_S = 0.5  # then 1 s, then 2 s: a device that is plugged in again is found within 2 s
MAX_RETRY_S = 2.0
START_S = 5.0  # sound servers deliver the first block up to 2 s after the start


class Watchdog:
    """Watches a device that delivers data several times within `silent_s`."""

    def __init__(self, silent_s: float) -> None:
        self._silent_ns = int(silent_s * 1e9)
        self._dead_at_ns: float = math.inf  # of an open device
        self._retry_at_ns: float = math.inf  # of a closed one
        self._retry_ns = int(RETRY_S * 1e9)

    def opened(self, now_ns: int) -> None:
        """The device was opened: its first data may take longer."""
        self._dead_at_ns, self._retry_at_ns = now_ns + max(self._silent_ns, int(START_S * 1e9)), math.inf

    def alive(self, now_ns: int) -> None:
        """Data came."""
        self._dead_at_ns, self._retry_at_ns = now_ns + self._silent_ns, math.inf
        self._retry_ns = int(RETRY_S * 1e9)

    def lost(self, now_ns: int) -> None:
        """The device was found dead, or did not open again: wait, each time longer."""
        self._dead_at_ns, self._retry_at_ns = math.inf, now_ns + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, int(MAX_RETRY_S * 1e9))

    def dead(self, now_ns: int) -> bool:
        """An open device delivers nothing."""
        return now_ns >= self._dead_at_ns

    def due(self, now_ns: int) -> bool:
        """It is time to open a lost device again."""
        return now_ns >= self._retry_at_ns
