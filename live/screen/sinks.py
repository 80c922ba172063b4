"""The event stream as lines of text: JSON for programs, or short sentences for people. Writes to an open text stream.

The rule: a reader that goes away (`erc-live subscribe | head`) is an ordinary end, and each line is out before the
next message is waited for.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from erc_live.live.screen.inlet import Inlet
from erc_live.live.screen.panels import SKIPPED
from erc_live.live.screen.printable import printable
from erc_live.live.screen.speaker_cells import is_unsure
from erc_live.streams import codec
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import (
    RELABEL_REACH,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    PublicEvent,
    Relabel,
    SessionEnd,
    SessionState,
    WorkerLost,
)

NO_WORDS = "(no words)"
LEAST_CELLS = 2  # of a row: the widest signs need as many
_WAIT_S = 0.1
_RULER = Console(file=io.StringIO(), width=80)  # Text.wrap wants a console; nothing is ever written to it


def run(bus: Inlet, out: TextIO, stopped: Callable[[], bool]) -> None:
    """Write the public messages of `bus` as JSON lines to the `SessionEnd`, or until nothing comes after `stopped`."""
    write(_public(bus, stopped), out, as_json=True)


def write(messages: Iterable[PublicEvent], out: TextIO, *, as_json: bool) -> None:
    """Write the messages, each out before the next is waited for, until they end or the reader goes away."""
    if as_json and isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale says
    elif isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="replace")
    width = shutil.get_terminal_size().columns if out.isatty() else None
    page = Page(width)
    to_text = _json_line if as_json else page.add
    try:
        for message in messages:
            out.write(to_text(message))
            out.flush()
    except BrokenPipeError:
        _forget_pipe(out)
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


class TextLines:
    """Makes of each message a line that fits `width` columns (None: any length); times count from the `Hello`."""

    def __init__(self, width: int | None = None) -> None:
        self._width = width
        self._start_ns = 0

    def __call__(self, message: PublicEvent) -> str:
        if isinstance(message, Hello):
            self._start_ns = message.t_ns
            return self._greeting(message)
        return self._fitted(self._sentence(message))

    def correction(self, relabel: Relabel, before: EmotionEvent | None, now: EmotionEvent) -> str:
        """The line of a `Relabel`, of whose utterances the first was `before` and is `now`."""
        who = f"{_who(before) if before else 'somebody else'} > {_who(now)}"
        since = f"{self._time(now.t_start_ns)}, utterances: {len(relabel.moved)}"
        return self._fitted(f"{self._time(relabel.t_ns)}  {'corrected':<10}  {who} from {since}")

    def _greeting(self, hello: Hello) -> str:
        """Who greets, and the whole notice: people must be able to read it, however narrow their terminal is."""
        line = printable(f"session {hello.session}, model {hello.model}. {hello.notice}").rstrip()
        if self._width is None:
            return line
        return "\n".join(
            map(self._fitted, (row.plain for row in Text(line).wrap(_RULER, max(self._width, LEAST_CELLS))))
        )

    def _fitted(self, line: str) -> str:
        line = printable(line).rstrip()
        if self._width is None or cell_len(line) <= self._width:
            return line
        text = Text(line)
        text.truncate(self._width, overflow="ellipsis")
        return text.plain

    def _sentence(self, message: PublicEvent) -> str:
        match message:
            case EmotionEvent():
                doubt = "" if message.certain else "?"
                share = f"{message.label}{doubt} {message.probs.get(message.label, 0.0):.0%}"
                draft = "" if message.final else " ..."
                who = _who(message) + ("?" if is_unsure(message) else "")
                return f"{self._time(message.t_start_ns)}  {who:<10}  {share:<13}  {_written(message)}{draft}"
            case Gap():
                lost = f"{message.lost} lost" if message.lost else "some lost"
                return f"{self._time(message.t_start_ns)}  {message.source:<10}  {lost} ({message.cause})"
            case Relabel():
                who = message.speaker_name or "another voice"
                before = f"{len(message.moved)} of the utterances before"
                return f"{self._time(message.t_ns)}  {'corrected':<10}  {before} said by {who}"
            case _:
                return self._of_the_session(message)

    def _of_the_session(self, message: PublicEvent) -> str:
        match message:
            case Annotation():
                return f"{self._time(message.t_ns)}  {message.kind:<10}  {message.author}: {_annotated(message)}"
            case Alert():
                over = "" if message.on else " (over)"
                return f"{self._time(message.t_ns)}  {'alert':<10}  {message.text}{over}"
            case Overload():
                return f"{self._time(message.t_ns)}  {'overload':<10}  {message.step}"
            case WorkerLost():
                return f"{self._time(message.t_ns)}  {message.worker:<10}  {message.reason}; {message.consequence}"
            case SessionState():
                return f"{self._time(message.t_ns)}  {'session':<10}  {_doing(message)}"
            case SessionEnd():
                return f"{self._time(message.t_ns)}  {_ended(message)}"
            case _:
                raise AssertionError(f"no sentence for {type(message).__name__}")

    def _time(self, t_ns: int) -> str:
        seconds = max(0, t_ns - self._start_ns) // 1_000_000_000
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _public(bus: Inlet, stopped: Callable[[], bool]) -> Iterator[PublicEvent]:
    while (messages := bus.receive(_WAIT_S)) or not stopped():
        for message in messages:
            if isinstance(message, PublicEvent):
                yield message
            if isinstance(message, SessionEnd):
                return


def _who(event: EmotionEvent) -> str:
    return event.speaker_name or f"speaker {event.speaker}"


def _written(event: EmotionEvent) -> str:
    """The words of an utterance, or why there are none."""
    if event.text.strip() or not event.final:
        return event.text
    return SKIPPED if event.skipped else NO_WORDS


def _annotated(annotation: Annotation) -> str:
    """What somebody said about the session."""
    what = {"name": f"speaker {annotation.speaker} is", "label": f"{annotation.utterance} is {annotation.label}"}
    return f"{what.get(annotation.kind, '')} {annotation.text}".strip()


def _doing(state: SessionState) -> str:
    """What is being done with people from now on."""
    return ("paused" if state.paused else "analysing") + (", recording" if state.recording else ", not recording")


def _ended(end: SessionEnd) -> str:
    """Why the session ended, and what is missing."""
    missing = {"lost": end.lost, "without words because the machine is too slow": end.skipped, "deaths": end.deaths}
    counts = "".join(f", {what}: {count}" for what, count in missing.items() if count)
    counts += f", s of sound lost: {end.gaps_ns / 1e9:.1f}" if end.gaps_ns else ""
    note = f"; {end.note}" if end.note else ""
    return f"session ended ({end.reason}), utterances: {end.utterances}{counts}{note}"


def _json_line(message: PublicEvent) -> str:
    """What a terminal might obey is written as JSON escapes it, which says the same to a program."""
    text = codec.to_json(message).decode()
    if not text.isprintable():
        text = "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return text + "\n"


def _forget_pipe(out: TextIO) -> None:
    # The interpreter flushes its standard streams once more when it ends, and would complain about the pipe then.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), out.fileno())
