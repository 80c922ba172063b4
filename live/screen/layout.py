"""The view as a terminal shows it: `render(view, width, height, now_ns)` depends on its arguments and nothing else.

Rows are composed from cells of known width instead of rich's tables and layouts: those took 16 ms for 120 x 36, and a
screen that is redrawn four times a second beside a recogniser may use 5 % of one core. The rule of this file: every
frame is exactly as wide and as high as asked for.

On small terminals panels leave in this order: capture and latency, then speakers and health. The indicators, the
transcript and the notice stay.
"""

from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from erc_live.live.screen import transcript_panel
from erc_live.live.screen.devices_panel import capture_and_latency
from erc_live.live.screen.health_panel import health, overload, trouble_rows, warnings
from erc_live.live.screen.help_panel import help_rows, last_top, legend
from erc_live.live.screen.interaction import Interaction, Span
from erc_live.live.screen.prompt_panel import prompt
from erc_live.live.screen.sheet import Cell, Row, Sheet, cells, clock_text, fitted, heading
from erc_live.live.screen.speaker_cells import short_name
from erc_live.live.screen.speakers_panel import speakers
from erc_live.live.screen.theme import ALARM, HOT, LIVE, QUIET, STRONG, UNICODE, WARNING, Glyphs
from erc_live.live.screen.view import SessionView
from erc_live.streams.stage_durations import STAGES

NOTICE = "estimated expressed emotion, not a person's inner state"
COMPACT_BELOW_COLUMNS = 60
COMPACT_BELOW_ROWS = 12
FULL_FROM_ROWS = 18
TROUBLE_FROM_ROWS = 6
TWO_TROUBLES_FROM_ROWS = 10
PROMPT_FROM_ROWS = 4
LEGEND_FROM_ROWS = 30
WARNING_ROWS = 3
WIDE_FROM_COLUMNS = 100
MIN_TITLE_CELLS = 20  # of the program and the session; with fewer, the program alone
MAX_LABELS = 12  # columns of a distribution


@dataclass(frozen=True)
class Frame:
    """A finished screen of `width` columns: what rich draws."""

    rows: list[Row]
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for row in self.rows:
            segments = [Segment(text, console.get_style(style)) for text, style in row]
            yield from Segment.adjust_line_length(segments, self.width)
            yield Segment.line()


class ScreenPlan:
    """One screen of a view: its sheet, and what stands above and below the transcript."""

    def __init__(self, sheet: Sheet, height: int) -> None:
        self.sheet, self._height = sheet, height
        self._compact = sheet.width < COMPACT_BELOW_COLUMNS or height < COMPACT_BELOW_ROWS
        self._above = [_header(sheet)]
        if not self._compact and sheet.doing.mode == "help":
            self._above.append(heading(sheet.glyphs, sheet.width, "Help"))
        elif not self._compact:
            self._above += speakers(sheet, max(2, height // 6))
            self._above.append(transcript_panel.transcript_heading(sheet))
        self._below = self._panels()
        self._prompt: list[Row] = []
        if height >= PROMPT_FROM_ROWS:
            newer = transcript_panel.below(sheet, self.free, self._compact) if self.free > 0 else 0
            self._prompt = prompt(sheet, newer)

    @property
    def free(self) -> int:
        """Rows of the transcript."""
        return self._height - len(self._above) - len(self._below) - len(self._prompt)

    def span(self, place: int) -> Span:
        """Which items can be seen where the transcript ends with that one."""
        return transcript_panel.span(self.sheet, max(1, self.free), self._compact, place)

    def last_top(self) -> int:
        """The line of the help with which the screen begins where somebody has scrolled to its end."""
        return last_top(self.sheet, self.free)

    def rows(self) -> list[Row]:
        """All of it."""
        body: list[Row] = []
        if self.free > 0:
            helping = self.sheet.doing.mode == "help"
            body = help_rows(self.sheet, self.free) if helping else self._transcript()
        blank: list[Row] = [[] for _ in range(self.free - len(body))]
        return [*self._above, *body, *blank, *self._prompt, *self._below][: self._height]

    def _transcript(self) -> list[Row]:
        return transcript_panel.transcript(self.sheet, self.free, self._compact)

    def _panels(self) -> list[Row]:
        sheet, height = self.sheet, self._height
        footer = [_footer(sheet, self._compact)] if height >= 3 else []
        if self._compact:
            return [
                *(_trouble(sheet, 2 if height >= TWO_TROUBLES_FROM_ROWS else 1) if height >= TROUBLE_FROM_ROWS else []),
                *footer,
            ]
        below = [*health(sheet), *warnings(sheet, WARNING_ROWS), *footer]
        if height >= FULL_FROM_ROWS and sheet.doing.mode != "help":
            below = [*capture_and_latency(sheet, max(len(STAGES) + 1, height // 6)), *below]
        if height >= LEGEND_FROM_ROWS:
            below = [*legend(sheet), *below]
        return below


def render(
    view: SessionView,
    width: int,
    height: int,
    now_ns: int,
    glyphs: Glyphs = UNICODE,
    doing: Interaction = Interaction(),  # noqa: B008 - a value
) -> Frame:
    """The screen of `view` at session time `now_ns`, while somebody is at something (`doing`): exactly `height` rows of
    exactly `width` cells.
    """
    return Frame(ScreenPlan(_sheet(view, width, now_ns, glyphs, doing), height).rows(), width)


def scrolled(view: SessionView, width: int, height: int, glyphs: Glyphs, doing: Interaction) -> ScreenPlan:
    """The screen as somebody scrolls in it: then utterances are drawn in full."""
    anchored = replace(doing, anchor=doing.anchor or "", answer="")
    return ScreenPlan(_sheet(view, width, view.start_ns or 0, glyphs, anchored), height)


def _trouble(sheet: Sheet, rows: int) -> list[Row]:
    """On a small screen there is a line or two for what is wrong."""
    wrong = trouble_rows(sheet, rows)
    if not wrong and sheet.view.overload:
        wrong = [overload(sheet.view)]
    return [fitted(row, sheet.width, sheet.glyphs) for row in wrong] or warnings(sheet, 1)


def _sheet(view: SessionView, width: int, now_ns: int, glyphs: Glyphs, doing: Interaction) -> Sheet:
    """Columns as wide as their contents need, within limits that leave room for the text."""
    wide = width >= WIDE_FROM_COLUMNS
    names = [short_name(speaker.name, speaker.index) for speaker in view.speakers]
    names += [short_name(name, index) for index, name in enumerate(view.hello.speakers if view.hello else ())]
    if any(event.speaker_confidence is not None for event in view.utterances):
        names = [f"{name}?" for name in names]  # room for the sign, so that columns stay where they are
    start_ns = now_ns if view.start_ns is None else view.start_ns
    shares = min(len(view.labels), MAX_LABELS)
    return Sheet(
        view=view,
        doing=doing,
        width=width,
        now_ns=now_ns,
        glyphs=glyphs,
        time=len(clock_text(now_ns - start_ns)),
        name=min(_widest(names, glyphs, 6), 16 if wide else 10),
        label=min(_widest([*view.labels, *(f"Xx>{noted}" for noted in view.corrections.values())], glyphs, 6), 12),
        shares=shares,
        bar=max(shares * transcript_panel.SHARE_CELLS, 20 if wide else 10),
    )


def _widest(texts: tuple[str, ...] | list[str], glyphs: Glyphs, least: int) -> int:
    return max(least, *(cell_len(glyphs.text(text)) for text in texts), 0)


def _header(sheet: Sheet) -> Row:
    """Elapsed time and indicators always; the session as far as there is room."""
    view, glyphs = sheet.view, sheet.glyphs
    until_ns = view.end.t_ns if view.end else sheet.now_ns
    elapsed = "" if view.start_ns is None else clock_text(until_ns - view.start_ns)
    right: Row = [(f"  {elapsed}  ", STRONG), *_indicators(view, glyphs), (" ", "")]
    room = sheet.width - cells(right)
    left: Row = [(" erc-live", STRONG)]
    if view.hello is not None and room >= MIN_TITLE_CELLS:
        left.append((f"  {view.hello.session}", QUIET))
        if view.hello.purpose:
            left.append((f"  {view.hello.purpose}", QUIET))
    return [*fitted(left, room, glyphs), *right]


def _indicators(view: SessionView, glyphs: Glyphs) -> Row:
    """What is being done with the people in front of the devices; never left out."""
    if view.end is not None:
        return [("ENDED", STRONG)]
    doing: Cell = (f"{glyphs.dot} ANALYSING", LIVE)
    if view.hello is None:
        doing = ("STARTING", WARNING)
    elif view.finishing:
        doing = ("FINISHING", WARNING)
    elif view.paused:
        doing = ("PAUSED", ALARM)
    return [doing, ("  ", ""), (f"{glyphs.dot} REC", HOT)] if view.recording else [doing]


def _footer(sheet: Sheet, compact: bool) -> Row:
    switch = "resumes" if sheet.view.paused else "pauses"
    pause = f"  p {switch}" if sheet.view.state and not sheet.view.end else ""
    keys = "? help " if compact else f"{pause}  ? help  q ends "
    keys = "" if sheet.view.end else keys
    room = sheet.width - len(keys)
    if len(NOTICE.partition(",")[0]) >= room:
        room, keys = sheet.width, ""
    notice = NOTICE if len(NOTICE) < room else NOTICE.partition(",")[0]
    return [*fitted([(f" {notice}", QUIET)], room, sheet.glyphs), (keys, QUIET)]
