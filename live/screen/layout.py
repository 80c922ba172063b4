"""The view as a terminal shows it: `render(view, width, height, now_ns)` depends on its arguments and nothing else.

Rows are composed from cells of known width instead of rich's tables and layouts: those took 16 ms for 120 x 36, and a
screen that is redrawn four times a second beside a recogniser may use 5 % of one core. The rule of this file: every
frame is exactly as wide and as high as asked for.

On small terminals panels leave in this order: capture and latency, then speakers and health. The indicators, the
transcript and the notice stay.
"""

from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from erc_live.live.screen import panels
from erc_live.live.screen.panels import Cell, Row, Sheet, cells, clock_text
from erc_live.live.screen.speaker_cells import short_name
from erc_live.live.screen.theme import ALARM, HOT, LIVE, QUIET, STRONG, UNICODE, WARNING, Glyphs
from erc_live.live.screen.view import SessionView

NOTICE = "estimated expressed emotion, not a person's inner state"
COMPACT_BELOW_COLUMNS = 60
COMPACT_BELOW_ROWS = 12
FULL_FROM_ROWS = 18
TROUBLE_FROM_ROWS = 6
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


def render(view: SessionView, width: int, height: int, now_ns: int, glyphs: Glyphs = UNICODE) -> Frame:
    """The screen of `view` at session time `now_ns`: exactly `height` rows of exactly `width` cells."""
    compact = width < COMPACT_BELOW_COLUMNS or height < COMPACT_BELOW_ROWS
    sheet = _sheet(view, width, now_ns, glyphs)
    above = [_header(sheet)]
    below = [_footer(sheet, compact)] if height >= 3 else []
    if compact and height >= TROUBLE_FROM_ROWS and (panels.troubles(view) or view.overload):
        trouble = panels.worker_states(view) if panels.troubles(view) else panels.overload(view)
        below = [panels.fitted(trouble, width, glyphs), *below]
    elif compact and height >= TROUBLE_FROM_ROWS:
        below = [*panels.warnings(sheet, 1), *below]
    if not compact:
        above += [*panels.speakers(sheet, max(2, height // 6)), panels.transcript_heading(sheet)]
        below = [*panels.health(sheet), *panels.warnings(sheet, WARNING_ROWS), *below]
    if not compact and height >= FULL_FROM_ROWS:
        below = [*panels.capture_and_latency(sheet, max(len(panels.STAGES) + 1, height // 6)), *below]
    free = height - len(above) - len(below)
    body = panels.transcript(sheet, free, compact) if free > 0 else []
    blank: list[Row] = [[] for _ in range(free - len(body))]
    return Frame([*above, *body, *blank, *below][:height], width)


def _sheet(view: SessionView, width: int, now_ns: int, glyphs: Glyphs) -> Sheet:
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
        width=width,
        now_ns=now_ns,
        glyphs=glyphs,
        time=len(clock_text(now_ns - start_ns)),
        name=min(_widest(names, glyphs, 6), 16 if wide else 10),
        label=min(_widest(view.labels, glyphs, 6), 12),
        shares=shares,
        bar=max(shares, 20 if wide else 10),
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
    return [*panels.fitted(left, room, glyphs), *right]


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
    keys = "" if compact else f"{pause}  Ctrl-C ends "
    room = sheet.width - len(keys)
    notice = NOTICE if len(NOTICE) < room else NOTICE.partition(",")[0]
    return [*panels.fitted([(f" {notice}", QUIET)], room, sheet.glyphs), (keys, QUIET)]
