"""How many recognisers a pool is to have, between the least and the most that are allowed: pure.

One more where the oldest request has waited for longer than `LONG_S` all through `BUSY_S`; one less where nothing has
waited and one had nothing to do all through `QUIET_S`. The second is far longer than the first, and each change begins
both anew, so a load that comes and goes starts no process that is soon ended.
"""

from typing import NamedTuple

LONG_S = 0.2  # what people do not notice beside the recognition itself
BUSY_S = 2.0
QUIET_S = 120.0  # a process takes seconds to load


class PoolLoad(NamedTuple):
    """How a pool stands: recognisers that load, work or are `idle`; requests that wait, and for how long the oldest."""

    loading: int
    busy: int
    idle: int
    waiting: int
    waiting_s: float


class PoolScale:
    """`change` often; from the least to the most."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most
        self._busy_since_s: float | None = None
        self._quiet_since_s: float | None = None

    def change(self, now_s: float, wanted: int, load: PoolLoad) -> int:
        """1, 0 or -1 beside those that are `wanted` by now."""
        busy = load.waiting_s > LONG_S and not load.loading  # one that loads may be enough
        quiet = not load.waiting and load.idle > 0
        self._busy_since_s = (now_s if self._busy_since_s is None else self._busy_since_s) if busy else None
        self._quiet_since_s = (now_s if self._quiet_since_s is None else self._quiet_since_s) if quiet else None
        if self._busy_since_s is not None and now_s - self._busy_since_s >= BUSY_S and wanted < self.most:
            return self._changed(1)
        if self._quiet_since_s is not None and now_s - self._quiet_since_s >= QUIET_S and wanted > self.least:
            return self._changed(-1)
        return 0

    def _changed(self, change: int) -> int:
        self._busy_since_s = self._quiet_since_s = None
        return change
