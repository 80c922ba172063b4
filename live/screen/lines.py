"""A message of the stream as one line for people: when, who, what.

The rule of this file: nothing from outside reaches the line but through `printable`, and a line never wraps.
"""

import io

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from erc_live.live.screen.printable import printable
from erc_live.live.screen.speaker_cells import is_unsure
from erc_live.live.screen.transcript_panel import SKIPPED
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import (
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
_RULER = Console(file=io.StringIO(), width=80)  # Text.wrap wants a console; nothing is ever written to it


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


def _who(event: EmotionEvent) -> str:
    return event.speaker_name or f"speaker {event.speaker + 1}"  # as screens count


def _written(event: EmotionEvent) -> str:
    """The words of an utterance, or why there are none."""
    if event.text.strip() or not event.final:
        return event.text
    return SKIPPED if event.skipped else NO_WORDS


def _annotated(annotation: Annotation) -> str:
    """What somebody said about the session."""
    number = None if annotation.speaker is None else annotation.speaker + 1  # as screens count
    what = {"name": f"speaker {number} is", "label": f"{annotation.utterance} is {annotation.label}"}
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
