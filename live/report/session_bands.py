"""The stretches of a session in which something is missing: gaps, pauses, overload.

The rule of this file: what is missing is never left out, and what two report at once is there once.
"""

from collections.abc import Callable

from erc_live.live.report.page_rows import PageBand, PageRow
from erc_live.streams.messages import Gap, Overload, SessionState

MAX_BANDS = 5_000  # of more, the oldest are left out
_CAUSES = {
    "device": "the device delivered nothing",
    "bus": "its reader was too slow",
    "overload": "not finished before the end",
    "worker": "its process died",
    "paused": "paused: people wanted it",
    "forgotten": "taken out at somebody's wish",
}


class BandBook:
    """Times in ns: (start, end, source, cause) -> what is missing there."""

    def __init__(self) -> None:
        self._bands: dict[tuple[int, int | None, str, str], str] = {}
        self._paused_ns: int | None = None
        self._overload: Overload | None = None

    @property
    def paused(self) -> bool:
        """Whether nothing is listened to now."""
        return self._paused_ns is not None

    def feed(self, message: Gap | Overload | SessionState) -> None:
        match message:
            case Gap():
                self._add(message.t_start_ns, message.t_end_ns, message.source, message.cause, _lost(message))
            case Overload():
                self._close_overload(message.t_ns)
                self._overload = message if message.level else None
            case SessionState():
                if message.paused and self._paused_ns is None:
                    self._paused_ns = message.t_ns
                elif not message.paused:
                    self._close_pause(message.t_ns)

    def close(self, t_ns: int) -> None:
        """Nothing goes on after that."""
        self._close_overload(t_ns)
        self._close_pause(t_ns)

    def rows(self, seconds: Callable[[int], float]) -> dict[str, PageRow]:
        """What is missing so far; what goes on has no end."""
        bands = dict(self._bands)
        if self._paused_ns is not None:
            bands[self._paused_ns, None, "", "paused"] = _CAUSES["paused"]
        if self._overload is not None:
            bands[self._overload.t_ns, None, "", "overload"] = _overloaded(self._overload)
        return {
            f"{t0_ns}/{source}/{cause}": PageBand(
                t0=seconds(t0_ns), t1=None if t1_ns is None else seconds(t1_ns), cause=cause, text=text, source=source
            )
            for (t0_ns, t1_ns, source, cause), text in bands.items()
        }

    def _add(self, t0_ns: int, t1_ns: int, source: str, cause: str, text: str) -> None:
        self._bands[t0_ns, t1_ns, source, cause] = text
        if len(self._bands) > MAX_BANDS:
            del self._bands[next(iter(self._bands))]

    def _close_overload(self, t_ns: int) -> None:
        if self._overload is not None:
            self._add(self._overload.t_ns, t_ns, "", "overload", _overloaded(self._overload))
            self._overload = None

    def _close_pause(self, t_ns: int) -> None:
        if self._paused_ns is not None:
            self._add(self._paused_ns, t_ns, "", "paused", _CAUSES["paused"])
            self._paused_ns = None


def _lost(gap: Gap) -> str:
    what = "utterances" if gap.cause == "overload" else "messages"
    return f"{gap.source}: {_CAUSES[gap.cause]}" + (f" ({gap.lost} {what})" if gap.lost else "")


def _overloaded(overload: Overload) -> str:
    return f"the machine did not keep up: {overload.step}"
