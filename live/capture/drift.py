"""How a device's clock goes against the clock of the session, told from stamps that jitter.

A crystal is off by some parts per million, and so the stamps of a device move away from the count of its samples: by
0.3 ms a second at 300 ppm. Stamps jitter by more than that, and on a busy machine they come late for seconds on end.
So a line is laid through minutes of them, by medians only: what is wrong for less than half of the time moves nothing.
The rule of this file: it knows points, and neither samples nor devices.
"""

from collections import deque

import numpy as np

SPAN = 300  # points, one a second: five minutes, in which the temperature of a crystal hardly changes
NEAR = 60  # the latest of them say how far the stamps are off, so that small losses are made up for within a minute
FIRST = 20  # points before anything is believed: sound servers give strange stamps in the first seconds
KNOWN = 120  # points before the slope is told to people


class Drift:
    """Feed points (time, error of the count at that time); ask for the error at any later time."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, int]] = deque(maxlen=SPAN)
        self._slope = 0.0
        self._offset_ns = 0.0
        self._known = False

    @property
    def ppm(self) -> float | None:
        """How much faster than its nominal rate the device is, in parts per million; None until it is known."""
        return (1 / (1 + self._slope) - 1) * 1e6 if self._known else None

    def add(self, elapsed_ns: int, error_ns: int) -> None:
        """At `elapsed_ns` since the anchor, the stamps were `error_ns` later than the count."""
        self._points.append((elapsed_ns, error_ns))
        if len(self._points) < FIRST:
            return
        times, errors = np.array(self._points, dtype=np.float64).T
        half = len(times) // 2
        # Each point with the one that is half the span away: the estimator of Theil and Sen, with its long pairs only.
        self._slope = float(np.median((errors[-half:] - errors[:half]) / (times[-half:] - times[:half])))
        self._known = self._known or len(times) >= KNOWN
        self._offset_ns = float(np.median((errors - self._slope * times)[-NEAR:]))

    def error_ns(self, elapsed_ns: int) -> float:
        """The error to be expected at `elapsed_ns`; 0 until something is known."""
        return self._offset_ns + self._slope * elapsed_ns

    def restart(self) -> None:
        """Times count from a new anchor, where the error is 0; the crystal is still the same."""
        self._points.clear()
        self._offset_ns = 0.0
