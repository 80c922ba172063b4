"""What a paused session takes of a device: nothing. What comes is dropped where it comes in, and a `Gap` says so.

The gap is said at once, so that what was being said is finished and not held until the pause is over; a second one
covers the rest, when sound passes again. The device stays open: to open it anew would take longer than people wait.
The rule of this file: pure, and of what is dropped nothing is kept but its times.
"""

from collections.abc import Iterable, Iterator

from erc_live.streams.messages import AudioChunk, Gap, VideoFrame

Captured = AudioChunk | VideoFrame | Gap


class PauseGate:
    """`pass_on` what the source `name` delivers."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._paused = False
        self._since_ns = 0  # what is not yet in a gap
        self._until_ns = 0

    def pass_on(self, messages: Iterable[Captured], paused: bool) -> Iterator[Captured]:
        """The messages, unless it is paused; and what was dropped, as gaps."""
        for message in messages:
            start_ns, end_ns = _times(message)
            if not paused:
                yield from self._rest()
                yield message
            elif not self._paused:
                self._paused, self._since_ns, self._until_ns = True, end_ns, end_ns
                yield self._gap(start_ns, end_ns)
            else:
                self._until_ns = max(self._until_ns, end_ns)

    def end(self) -> Iterator[Gap]:
        """What was dropped last, if the source ends while it is paused."""
        yield from self._rest()

    def _rest(self) -> Iterator[Gap]:
        if self._paused and self._until_ns > self._since_ns:
            yield self._gap(self._since_ns, self._until_ns)
        self._paused = False

    def _gap(self, start_ns: int, end_ns: int) -> Gap:
        """Nothing is lost in it: people wanted it."""
        return Gap(source=self._name, t_start_ns=start_ns, t_end_ns=end_ns, lost=0, cause="paused")


def _times(message: Captured) -> tuple[int, int]:
    match message:
        case AudioChunk():
            return message.t_ns, message.t_end_ns
        case VideoFrame():
            return message.t_ns, message.t_ns
        case Gap():
            return message.t_start_ns, message.t_end_ns
