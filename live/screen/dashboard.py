"""The loop of the screen: receive, reduce, redraw; and what is left on the terminal afterwards.

The terminal is borrowed (`terminal.py`): the alternate screen, the cursor and the echo of keys are given back on every
way out, exceptions and SIGTERM included; then the transcript and a short summary are printed where the user will find
them. Of the files that make the screen, these two alone do I/O.
"""

from collections.abc import Callable
from io import StringIO

from rich.console import Console, ConsoleDimensions

from erc_live.live.screen.inlet import Inlet
from erc_live.live.screen.interaction import Desktop, Interaction, Request, press
from erc_live.live.screen.layout import ScreenPlan, render, scrolled
from erc_live.live.screen.terminal import Keyboard, quiet_keys, signals
from erc_live.live.screen.theme import ASCII, UNICODE
from erc_live.live.screen.view import SessionView, reduce
from erc_live.live.screen.wrap_up import rows
from erc_live.streams.clock import Clock, SessionClock

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
    ask: Callable[[Request], None] = lambda request: None,
    transcript: int = 0,
) -> SessionView:
    """Show a session on the terminal of `console` until it ends, `stopped()` says so, or SIGINT or SIGTERM asks.

    Returns what was seen last. Redraws at most `refresh_hz` times a second and only when something has changed; the
    elapsed time does once a second. `speed`: seconds of the session per second. `host`: the host's clock. `ask` is
    called with what somebody asks for by a key. `transcript`: utterances that stay on the terminal afterwards. Call it
    from the main thread.
    """
    painter = _Painter(console, speed)
    with signals() as asked, quiet_keys(console) as descriptor, console.screen():
        person = _Person(Keyboard(descriptor), painter, ask)
        over = lambda: bool(asked) or stopped()  # noqa: E731 - beside its one use
        view = _follow(inlet, painter, 1.0 / refresh_hz, over, host or SessionClock(), person)
    for row in rows(view, transcript, console.width, painter.glyphs):
        console.print(row, markup=False, highlight=False, soft_wrap=True)
    return view


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
        self._painted: tuple[SessionView, Interaction, int, ConsoleDimensions] | None = None

    def paint(self, view: SessionView, doing: Interaction, host_ns: int) -> None:
        now_ns, size = self.now_ns(view, host_ns), self._console.size
        subject = (view, doing, (now_ns - (view.start_ns or now_ns)) // 1_000_000_000, size)
        if subject != self._painted:
            self._console.update_screen(render(view, size.width, size.height, now_ns, self.glyphs, doing))
            self._painted = subject

    def now_ns(self, view: SessionView, host_ns: int) -> int:
        """The time of the session."""
        start_ns = host_ns if view.start_ns is None else view.start_ns
        return start_ns + int((host_ns - start_ns) * self._speed)

    def desktop(self, view: SessionView, doing: Interaction, host_ns: int) -> Desktop:
        """What a key meets."""
        size = self._console.size

        def plan() -> ScreenPlan:
            return scrolled(view, size.width, size.height, self.glyphs, doing)

        return Desktop(view, self.now_ns(view, host_ns), lambda place: plan().span(place), lambda: plan().last_top())


class _Person:
    """Who sits at the keyboard: what they are at, and what they ask for."""

    def __init__(self, keyboard: Keyboard, painter: _Painter, ask: Callable[[Request], None]) -> None:
        self.doing = Interaction()
        self._keyboard, self._painter, self._ask = keyboard, painter, ask

    @property
    def patience_s(self) -> float:
        """How long to wait at most before keys are looked for again."""
        return self._keyboard.patience_s

    def obey(self, view: SessionView, host_ns: int) -> bool:
        """Do what the keys say; whether there were any. Who asks twice for a pause before the screen says PAUSED gets
        one.
        """
        keys = self._keyboard.keys()
        for key in keys:
            desktop = self._painter.desktop(view, self.doing, host_ns)
            self.doing, requests = press(self.doing, key, desktop)
            for request in requests:
                self._ask(request)
        return bool(keys)


def _follow(
    inlet: Inlet, painter: _Painter, period_s: float, over: Callable[[], bool], host: Clock, person: _Person
) -> SessionView:
    view = SessionView()
    due_ns = host.now_ns()
    while True:
        last = over()  # and what has arrived by now is still shown
        for message in inlet.receive(min(person.patience_s, max(0, due_ns - host.now_ns()) / 1e9)):
            view = reduce(view, message)
        if person.obey(view, host.now_ns()):
            due_ns = host.now_ns()  # who types wants to see it
        last = last or view.end is not None
        if last or host.now_ns() >= due_ns:
            painter.paint(view, person.doing, host.now_ns())
            due_ns = host.now_ns() + int(period_s * 1e9)
        if last:
            return view
