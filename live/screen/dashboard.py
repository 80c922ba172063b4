"""The loop of the screen: receive, reduce, redraw; and what is left on the terminal afterwards.

The terminal is borrowed: the alternate screen, the cursor and the echo of keys are given back on every way out,
exceptions and SIGTERM included; then a short summary is printed where the user will find it. Of the files that make the
screen, only this one does I/O.
"""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

from rich.console import Console, ConsoleDimensions

from erc_live.live.screen.inlet import Inlet
from erc_live.live.screen.layout import NOTICE, render
from erc_live.live.screen.panels import clock_text
from erc_live.live.screen.theme import ASCII, UNICODE
from erc_live.live.screen.view import SessionView, reduce
from erc_live.streams.clock import Clock, SessionClock
from erc_live.streams.messages import Command, SessionEnd

if sys.platform != "win32":
    import fcntl
    import termios

    INPUT_FLAGS, LOCAL_FLAGS, CONTROL_CHARACTERS = 0, 3, 6  # places in what tcgetattr returns

KEYS_S = 0.03  # how often keys are looked for: who asks for a pause is to have it within 100 ms

# rich's own format names fonts on a web server; a picture in a README must not call anybody.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px;
  line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def run(  # noqa: PLR0913 - `host` is for tests
    inlet: Inlet,
    console: Console,
    refresh_hz: float,
    stopped: Callable[[], bool],
    speed: float = 1.0,
    host: Clock | None = None,
    command: Callable[[Command], None] = lambda command: None,
) -> SessionView:
    """Show a session on the terminal of `console` until it ends, `stopped()` says so, or SIGINT or SIGTERM asks.

    Returns what was seen last. Redraws at most `refresh_hz` times a second and only when something has changed; the
    elapsed time does once a second. `speed`: seconds of the session per second. `host`: the host's clock. `command` is
    called with what somebody asks for by a key: p pauses and resumes. Call it from the main thread.
    """
    painter = _Painter(console, speed)
    with _signals() as asked, _quiet_keys(console) as keyboard, console.screen():
        keys = _Keys(keyboard, command)
        view = _follow(inlet, painter, 1.0 / refresh_hz, lambda: bool(asked) or stopped(), host or SessionClock(), keys)
    for line in summary(view):
        console.print(painter.glyphs.text(line), markup=False, highlight=False, soft_wrap=True)
    return view


def summary(view: SessionView) -> list[str]:
    """What is worth keeping of a session, in a few lines; nothing of one that did not begin."""
    if view.hello is None:
        return []
    finals = sum(sum(speaker.counts.values()) for speaker in view.speakers)
    until_ns = view.end.t_ns if view.end else max((e.t_logits_ns for e in view.utterances), default=view.hello.t_ns)
    lines = [f"Session {view.hello.session}: {clock_text(until_ns - view.hello.t_ns)}, {finals} utterances."]
    for speaker in sorted(view.speakers, key=lambda speaker: (speaker.dialogue, speaker.index)):
        counts = sorted(speaker.counts.items(), key=lambda item: -item[1])
        labels = ", ".join(f"{label} {count}" for label, count in counts)
        lines.append(
            f"  {speaker.name}: {sum(speaker.counts.values())} in {clock_text(speaker.talk_ns)} of speech: {labels}"
        )
    if view.gaps:
        lines.append(f"Gaps: {view.gaps}" + (f", {view.lost} messages lost." if view.lost else "."))
    lines += _missing(view.end) if view.end else []
    if view.recorder is not None:
        folder = f" in {view.recorder.note}" if view.recorder.note else ""
        lines.append("The recording failed." if view.recorder.phase == "failed" else f"Recorded{folder}.")
    return [*lines, f"Labels are {NOTICE}."]


def _missing(end: SessionEnd) -> list[str]:
    """What a session did not do."""
    missing = {"lost with a process that died": end.lost, "without words, for the machine was too slow": end.skipped}
    return [f"Utterances {what}: {count}." for what, count in missing.items() if count]


def screenshot(view: SessionView, width: int, height: int, now_ns: int) -> str:
    """The screen of `view` as an SVG picture that needs no font and no file from anywhere."""
    console = Console(
        record=True, width=width, height=height, file=StringIO(), color_system="truecolor", force_terminal=True
    )
    console.print(render(view, width, height, now_ns), end="")
    return console.export_svg(title="erc-live", code_format=_SVG, unique_id="erc-live")


class _Painter:
    """Puts a view on the terminal if that would change anything."""

    def __init__(self, console: Console, speed: float) -> None:
        self.glyphs = ASCII if console.options.ascii_only else UNICODE
        self._console = console
        self._speed = speed
        self._painted: tuple[SessionView, int, ConsoleDimensions] | None = None

    def paint(self, view: SessionView, host_ns: int) -> None:
        start_ns = host_ns if view.start_ns is None else view.start_ns
        elapsed_ns = int((host_ns - start_ns) * self._speed)
        size = self._console.size
        subject = (view, elapsed_ns // 1_000_000_000, size)
        if subject != self._painted:
            self._console.update_screen(render(view, size.width, size.height, start_ns + elapsed_ns, self.glyphs))
            self._painted = subject


class _Keys:
    """What is typed on the terminal `keyboard`, None where nobody can: p asks for a pause, or for its end."""

    def __init__(self, keyboard: int | None, command: Callable[[Command], None]) -> None:
        self._keyboard = keyboard
        self._command = command

    @property
    def patience_s(self) -> float:
        """How long to wait at most before they are looked for again."""
        return KEYS_S if self._keyboard is not None else float("inf")

    def obey(self, view: SessionView) -> None:
        """Pass on what was typed. Who asks twice before the screen says PAUSED gets one pause."""
        if self._keyboard is None or not select.select([self._keyboard], [], [], 0)[0]:
            return
        try:
            typed = os.read(self._keyboard, 64)
        except OSError:
            typed = b""
        if not typed:  # the terminal has gone
            self._keyboard = None
        if b"p" in typed.lower():
            self._command("resume" if view.paused else "pause")


def _follow(
    inlet: Inlet, painter: _Painter, period_s: float, over: Callable[[], bool], host: Clock, keys: _Keys
) -> SessionView:
    view = SessionView()
    due_ns = host.now_ns()
    while True:
        last = over()  # and what has arrived by now is still shown
        for message in inlet.receive(min(keys.patience_s, max(0, due_ns - host.now_ns()) / 1e9)):
            view = reduce(view, message)
        keys.obey(view)
        last = last or view.end is not None
        if last or host.now_ns() >= due_ns:
            painter.paint(view, host.now_ns())
            due_ns = host.now_ns() + int(period_s * 1e9)
        if last:
            return view


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that have asked for the end, as they come in; one that the process ignores stays ignored."""
    asked: list[int] = []
    kinds = [kind for kind in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(kind) is not signal.SIG_IGN]
    before = [signal.signal(kind, lambda number, frame: asked.append(number)) for kind in kinds]
    try:
        yield asked
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def _quiet_keys(console: Console) -> Iterator[int | None]:
    """Keys leave no trace on the screen or, afterwards, in the shell. Yields where they can be read, None if nowhere:
    standard input is the supervisor's.

    Ctrl-C works. Ctrl-Z, which would leave the screen half open, does not, nor does Ctrl-S, which would stop the screen
    while everything else goes on. Where there is no terminal, nothing happens.
    """
    if sys.platform == "win32":
        yield None
        return
    try:
        terminal = console.file.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        yield None
        return
    quiet = termios.tcgetattr(terminal)
    quiet[INPUT_FLAGS] &= ~termios.IXON
    quiet[LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON)
    quiet[CONTROL_CHARACTERS][termios.VSUSP] = bytes([os.fpathconf(terminal, "PC_VDISABLE")])
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
    readable = fcntl.fcntl(terminal, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    try:
        yield terminal if readable else None
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
