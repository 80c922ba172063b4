"""Whose snapshot is due, and what of the log may be forgotten.

A snapshot is due after so many utterances, or so many seconds after the first that is in none; and of a dialogue that
rests for so long that the log would have to be kept for it alone. The rule of this file: pure, and its cost does not
grow with the number of dialogues.
"""

from collections import OrderedDict

EVERY = 32  # final utterances of a dialogue
AFTER_S = 10.0  # of 100 utterances per s, each second of them takes some 0.13 s to replay
MOST = 16  # at once
RETAINED = 256 << 20  # bytes of the log


class SnapshotSchedule:
    """Offsets are those of the log. What a dialogue `needs` of it begins there."""

    def __init__(self) -> None:
        self._needs: OrderedDict[str, int] = OrderedDict()  # the oldest first
        self._stale: OrderedDict[str, int] = OrderedDict()  # since when no snapshot holds all; the longest first
        self._fresh: dict[str, int] = {}  # utterances since then
        self._full: dict[str, None] = {}  # of these, who has said enough

    def begin(self, dialogue: str, offset: int) -> None:
        """A dialogue is recovered from there on; calls come in the order of offsets. Also: its snapshot was taken."""
        self.forget(dialogue)
        self._needs[dialogue] = offset

    def stored(self, dialogue: str, now_ns: int) -> None:
        """A final utterance stands in the log."""
        self._stale.setdefault(dialogue, now_ns)
        self._fresh[dialogue] = self._fresh.get(dialogue, 0) + 1
        if self._fresh[dialogue] >= EVERY:
            self._full[dialogue] = None

    def forget(self, dialogue: str) -> None:
        """It is here no more."""
        for index in (self._needs, self._stale, self._fresh, self._full):
            index.pop(dialogue, None)

    def due(self, now_ns: int, end: int) -> list[str]:
        """Whose snapshot is to be taken now, where the log ends at `end`."""
        due = dict.fromkeys(list(self._full)[:MOST])
        for dialogue, since_ns in self._stale.items():
            if len(due) >= MOST or now_ns - since_ns < AFTER_S * 1e9:
                break
            due[dialogue] = None
        for dialogue, offset in self._needs.items():
            if len(due) >= MOST or end - offset < RETAINED:
                break
            due[dialogue] = None
        return list(due)

    def needed(self, end: int) -> int:
        """The offset before which nobody needs the log, which ends at `end`."""
        return next(iter(self._needs.values()), end)
