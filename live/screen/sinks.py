"""The event stream as lines of text: JSON for programs, or short sentences for people. Writes to an open text stream.

The rule: a reader that goes away (`erc-live subscribe | head`) is an ordinary end, and each line is out before the
next message is waited for.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from rich.cells import cell_len

from erc_live.live.screen.console import forget_pipe
from erc_live.live.screen.inlet import Inlet
from erc_live.live.screen.lines import TextLines
from erc_live.streams import codec
from erc_live.streams.messages import RELABEL_REACH, EmotionEvent, Hello, PublicEvent, Relabel, SessionEnd

_WAIT_S = 0.1


def run(bus: Inlet, out: TextIO, stopped: Callable[[], bool], *, as_json: bool) -> None:
    """Write the public messages of `bus` as lines to the `SessionEnd`, or until nothing comes after `stopped`."""
    write(_public(bus, stopped), out, as_json=as_json)


def write(messages: Iterable[PublicEvent], out: TextIO, *, as_json: bool) -> None:
    """Write the messages, each out before the next is waited for, until they end or the reader goes away."""
    if as_json and isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale says
    elif isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")
    drawable = out.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")  # else a line is final
    width = shutil.get_terminal_size().columns if drawable else None
    page = Page(width)
    to_text = json_line if as_json else page.add
    try:
        for message in messages:
            out.write(to_text(message))
            out.flush()
    except BrokenPipeError:
        forget_pipe(out)
    finally:
        out.write(page.end())
        out.flush()


class Page:
    """What to write for people who read, on a terminal of `width` columns (None: there is none).

    What is provisional stands on a terminal until whatever comes next is written over it, and is left out elsewhere.
    That somebody else spoke than was thought is one line, about all utterances that are moved. Of what is said again
    for that reason, only those follow that now have another label.
    """

    def __init__(self, width: int | None = None) -> None:
        self._provisional = width is not None
        self._to_line = TextLines(None if width is None else width - 1)  # the last column would begin the next row
        self._written: dict[str, EmotionEvent] = {}  # by utterance, of those that may be said again
        self._relabel: Relabel | None = None  # whose line waits for the name of the speaker, which the next event tells
        self._moved: tuple[str, ...] = ()
        self._standing = 0  # cells of what is provisional

    def add(self, message: PublicEvent) -> str:
        """What to write for the next message."""
        corrected = self._corrected(message)
        if isinstance(message, Relabel):
            self._relabel, self._moved = message, message.moved
            return corrected
        if isinstance(message, Hello):
            self._written.clear()  # another session
        elif isinstance(message, EmotionEvent):
            if self._is_known(message) or not (message.final or self._provisional):
                return corrected
            if message.final:
                self._written[message.utterance] = message
                self._written = dict([*self._written.items()][-RELABEL_REACH:])
            else:
                return corrected + self._put(self._to_line(message), "")
        return corrected + self._put(self._to_line(message))

    def end(self) -> str:
        """What to write last, so that whatever follows has a row of its own."""
        return "\n" if self._standing else ""

    def _corrected(self, message: PublicEvent) -> str:
        """The line of the `Relabel` before, if there was one: from whom to whom, where the next message tells it."""
        relabel, self._relabel = self._relabel, None
        if relabel is None:
            return ""
        if not isinstance(message, EmotionEvent) or message.utterance not in relabel.moved:
            return self._put(self._to_line(relabel))
        return self._put(self._to_line.correction(relabel, self._written.get(message.utterance), message))

    def _is_known(self, event: EmotionEvent) -> bool:
        """Whether the utterance is written with this label and, unless a line about that was, this speaker."""
        before = self._written.get(event.utterance)
        if before is None or not event.final:
            return False
        moved = event.utterance in self._moved
        names = ("label", "certain", "text") if moved else ("label", "certain", "text", "speaker_name")
        known = all(getattr(before, name) == getattr(event, name) for name in names)
        if known:
            self._written[event.utterance] = event
        return known

    def _put(self, line: str, end: str = "\n") -> str:
        """A line over what is provisional; with another `end` than a new row it is provisional itself."""
        start = "\r" if self._standing else ""
        first, row_end, others = line.partition("\n")
        over = " " * (self._standing - cell_len(first))
        self._standing = 0 if end else cell_len(line)
        return start + first + over + row_end + others + end


def _public(bus: Inlet, stopped: Callable[[], bool]) -> Iterator[PublicEvent]:
    while (messages := bus.receive(_WAIT_S)) or not stopped():
        for message in messages:
            if isinstance(message, PublicEvent):
                yield message
            if isinstance(message, SessionEnd):
                return


def json_line(message: PublicEvent) -> str:
    """A message and a newline. What a terminal might obey is as JSON escapes it, which says the same to a program."""
    text = codec.to_json(message).decode()
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text + "\n"
