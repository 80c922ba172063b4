"""The panels of the screen: who speaks, what was said, what devices deliver, where time goes, how the workers are.

Each panel is a function from a `Sheet` to rows of cells. The rule of this file: a cell has a known width before it is
composed, every text of others goes through `Glyphs`, and no meaning is carried by colour alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, zip_longest

from rich.cells import cell_len

from erc_live.live.screen.percentile import percentile
from erc_live.live.screen.speaker_cells import short_name, speaker_cells
from erc_live.live.screen.theme import (
    ALARM,
    HOT,
    METER,
    QUIET,
    STRONG,
    WARNING,
    Glyphs,
    label_style,
    unit_interval,
)
from erc_live.live.screen.view import Mark, SessionView, SpeakerSummary
from erc_live.streams.messages import EmotionEvent, WorkerStatus

FLOOR_DB = -60.0  # the empty end of a level meter
CLIPPING_DB = -3.0
LEAST_DB = -91.0  # one step of 16-bit sound is at -90.3 dB: below it there is none
STALLED_NS = 3_000_000_000  # without a sign of life; workers give several a second
LAG_S = 1.0  # from here on a lag stands out
TEXT_LINES = 3  # of one utterance
SKIPPED = "(words skipped: the machine is too slow)"
STAGES = ("endpoint", "words", "features", "graph", "publish")
STAGE_CELLS = 11  # of the name of a stage
DURATION_CELLS = 8  # of the last, the median and the 95th percentile each
LEAST_BAR = 12  # cells; shorter bars say nothing
RECENT = 100  # utterances of which median and percentile are told
CODE = 3  # letters of a label in a trend

Cell = tuple[str, str]  # text, style
Row = list[Cell]


@dataclass(frozen=True)
class Sheet:
    """What a panel draws from. `time`, `name`, `label`, `shares`, `bar`: widths of columns, in cells."""

    view: SessionView
    width: int
    now_ns: int
    glyphs: Glyphs
    time: int
    name: int
    label: int
    shares: int
    bar: int

    @property
    def until_label(self) -> int:
        """Cells before the label: a margin, time, name, and the mark of a shift."""
        return 1 + self.time + 1 + self.name + 2

    @property
    def until_shares(self) -> int:
        """Cells before the distribution: label, percentage and a space come between."""
        return self.until_label + self.label + 5 + 1


def cells(row: Row) -> int:
    """Width of `row`."""
    return sum(cell_len(text) for text, _ in row)


def clock_text(duration_ns: int) -> str:
    """`m:ss`, from one hour on `h:mm:ss`; never below zero."""
    minutes, seconds = divmod(max(0, duration_ns) // 1_000_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def heading(
    glyphs: Glyphs, width: int, title: str, captions: Iterable[tuple[int, str]] = (), style: str = QUIET
) -> Row:
    """A rule with a title, and captions over the columns (in cells from the left) that they name."""
    row: Row = [(f"{glyphs.rule} ", QUIET), (title, STRONG), (" ", "")]
    for column, caption in captions:
        row += [(glyphs.rule * (column - 1 - cells(row)), QUIET), (f" {glyphs.text(caption)} ", style)]
    row.append((glyphs.rule * (width - cells(row)), QUIET))
    return row


def speakers(sheet: Sheet, rows: int) -> list[Row]:
    """Who takes part in the dialogue that was heard last: label, share of the talk, trend. At most `rows` speakers."""
    view = sheet.view
    heard = [s for s in view.speakers if s.dialogue == view.speakers[-1].dialogue]
    talk_ns = sum(s.talk_ns for s in heard)
    known = {s.index for s in heard}
    roster = view.hello.speakers if view.hello else ()
    body = [_speaker(sheet, s, talk_ns) for s in sorted(heard[-rows:], key=lambda s: s.index)]
    body += [
        _unheard(sheet, short_name(name, index)) for index, name in enumerate(roster) if name and index not in known
    ]
    hidden = max(0, len(heard) - rows) + max(0, len(body) - rows)
    body = body or [[(" nobody yet", QUIET)]]
    title = f"Speakers ({hidden} more)" if hidden else "Speakers"
    talk = sheet.until_shares + sheet.bar + 2
    captions = ((sheet.until_label, "now"), (talk, "talk"), (talk + 6, "trend")) if heard else ()
    return [heading(sheet.glyphs, sheet.width, title, captions), *body[:rows]]


def _speaker(sheet: Sheet, speaker: SpeakerSummary, talk_ns: int) -> Row:
    event = speaker.latest
    room = sheet.width - sheet.until_shares - sheet.bar - 9  # talk share 6, its gap 2, right margin 1
    return [
        (" " + sheet.glyphs.fit(short_name(speaker.name, speaker.index), sheet.until_label - 3) + " ", STRONG),
        *_label(sheet, event),
        (" " + sheet.glyphs.meter(_probability(event), sheet.bar), _style(event)),
        ((f"{speaker.talk_ns / talk_ns:>6.0%}" if talk_ns else " " * 6) + "  ", ""),
        *_trend(sheet.glyphs, speaker.trend[-max(1, room // (CODE + 1)) :]),
    ]


def _unheard(sheet: Sheet, name: str) -> Row:
    return [(" " + sheet.glyphs.fit(name, sheet.until_label - 1), STRONG), ("not heard recently", QUIET)]


def _label(sheet: Sheet, event: EmotionEvent) -> Row:
    """Mark, label, a question mark where the model would rather abstain, and percentage: the same columns in every
    panel.
    """
    style = _style(event)
    label = sheet.glyphs.fit(event.label, sheet.label)
    share = f"{_doubt(event):1}{_probability(event):>4.0%}"
    return [(_mark(sheet.glyphs, event), WARNING), (label, style), (share, style)]


def _doubt(event: EmotionEvent) -> str:
    return "" if event.certain else "?"


def _style(event: EmotionEvent) -> str:
    return label_style(event.label) if event.certain else QUIET


def _mark(glyphs: Glyphs, event: EmotionEvent) -> str:
    if not event.final:
        return glyphs.provisional
    return glyphs.shift if event.shift else " "


def _probability(event: EmotionEvent) -> float:
    return unit_interval(event.probs.get(event.label, 0.0))


def _trend(glyphs: Glyphs, marks: Iterable[Mark]) -> Iterable[Cell]:
    """The first letters of past labels, oldest first; the sign of a shift stands where the label changed."""
    for position, mark in enumerate(marks):
        if position:
            yield glyphs.shift if mark.shift else " ", WARNING
        yield glyphs.fit(mark.label[:CODE], CODE), label_style(mark.label)


def transcript_heading(sheet: Sheet) -> Row:
    """Names the columns of the distribution by the initials of the labels."""
    initials = "".join(sheet.glyphs.fit(label[:1], 1) for label in sheet.view.labels[: sheet.shares])
    captions = [(sheet.until_shares, initials)] if sheet.view.utterances else []
    return heading(sheet.glyphs, sheet.width, "Transcript", captions)


def transcript(sheet: Sheet, rows: int, compact: bool) -> list[Row]:
    """The newest utterances, newest last; an older one that does not fit shows its end, the newest its beginning."""
    if not sheet.view.utterances:
        return _waiting(sheet)[:rows]
    entry = _compact_entry if compact else _entry
    shown: list[Row] = []
    for event in reversed(sheet.view.utterances):
        shown = entry(sheet, event) + shown if shown else entry(sheet, event)[:rows]
        if len(shown) >= rows:
            break
    return shown[-rows:]


def _entry(sheet: Sheet, event: EmotionEvent) -> list[Row]:
    """An utterance in columns; further lines of its text hang under the first."""
    head: Row = [
        (" " + sheet.glyphs.fit(_time(sheet, event), sheet.time, "right"), QUIET),
        *speaker_cells(sheet.view, event, sheet.name, sheet.now_ns, sheet.glyphs),
        *_label(sheet, event),
        (" ", ""),
        *_shares(sheet, event),
        ("  ", ""),
    ]
    indent = sheet.until_shares + sheet.shares + 2
    texts = _text_cells(sheet, event, sheet.width - indent - 1)
    return [[*head, texts[0]], *([(" " * indent, ""), text] for text in texts[1:])]


def _compact_entry(sheet: Sheet, event: EmotionEvent) -> list[Row]:
    """An utterance in two lines or more, for a terminal without room for columns."""
    head: Row = [
        (sheet.glyphs.fit(_time(sheet, event), sheet.time, "right"), QUIET),
        *speaker_cells(sheet.view, event, sheet.name, sheet.now_ns, sheet.glyphs),
        (_mark(sheet.glyphs, event), WARNING),
        (f"{sheet.glyphs.text(event.label)}{_doubt(event)} {_probability(event):.0%}", _style(event)),
    ]
    return [head, *([("  ", ""), text] for text in _text_cells(sheet, event, sheet.width - 3))]


def _time(sheet: Sheet, event: EmotionEvent) -> str:
    return clock_text(event.t_start_ns - (sheet.view.start_ns or 0))


def _text_cells(sheet: Sheet, event: EmotionEvent, width: int) -> Row:
    """The text of an utterance, one cell per line, at least one."""
    lines = sheet.glyphs.wrap(event.text, width, TEXT_LINES)
    if not any(lines):
        nothing = "(speaking)" if not event.final else "(no words recognised)"
        return [(SKIPPED if event.skipped else nothing, QUIET)]
    return [(line, "" if event.final else "italic dim") for line in lines]


def _shares(sheet: Sheet, event: EmotionEvent) -> Iterable[Cell]:
    """One cell per label, in their one order, as high as the label is probable."""
    for label in sheet.view.labels[: sheet.shares]:
        style = _style(event) if label == event.label else QUIET
        yield sheet.glyphs.level(event.probs.get(label, 0.0)), style


def _waiting(sheet: Sheet) -> list[Row]:
    if sheet.view.hello is not None:
        return [[(" Listening. An utterance appears when it has ended.", QUIET)]]
    starting: list[Row] = [[(" Starting.", QUIET)]]
    for worker in sheet.view.workers:
        name, note = sheet.glyphs.fit(worker.worker, 12), sheet.glyphs.text(worker.note)
        starting.append([(f" {name}", STRONG), (f"{worker.phase:10}", ""), (note, QUIET)])
    return starting


def capture_and_latency(sheet: Sheet, rows: int) -> list[Row]:
    """Beside each other: what the devices deliver (at most `rows`), and where the time of utterances goes."""
    left = sheet.width // 2
    right = sheet.width - left
    devices = sheet.view.devices
    hidden = max(0, len(devices) - rows)
    states = [_device(sheet, worker, left) for worker in devices[:rows]]
    stages: list[Row] = [[(" no utterance yet", QUIET)]]
    captions: list[tuple[int, str]] = []
    decided = [stage_durations(event) for event in sheet.view.utterances if event.final][-RECENT:]
    if decided:
        stages = _stages(sheet.glyphs, decided, right)
        ends = (STAGE_CELLS + DURATION_CELLS * n for n in (1, 2, 3))
        captions = [(end - len(text), text) for end, text in zip(ends, ("last", "p50", "p95"), strict=True)]
    blank: Row = [(" " * left, "")]
    return [
        heading(sheet.glyphs, left, f"Capture ({hidden} more)" if hidden else "Capture")
        + heading(sheet.glyphs, right, "Latency", captions),
        *((state or blank) + (stage or []) for state, stage in zip_longest(states, stages)),
    ]


def _device(sheet: Sheet, worker: WorkerStatus, width: int) -> Row:
    """Exactly `width` cells: the level of a microphone, the rate of a camera and its share of faces, or trouble."""
    glyphs, room = sheet.glyphs, width - 11
    name: Cell = (" " + glyphs.fit(worker.worker, 10), STRONG)
    trouble = _trouble(worker, sheet.view)
    if trouble:
        return [name, *fitted([(trouble, ALARM)], room, glyphs)]
    if worker.phase != "running":
        return [name, (glyphs.fit(f"{worker.phase} {worker.note}", room), QUIET)]
    if worker.note:
        level = f"{worker.level_db:.0f} dB  " if worker.level_db is not None else ""
        return [name, *fitted([(level, ""), (worker.note, WARNING)], room, glyphs)]
    if worker.level_db is not None:
        style = HOT if worker.level_db > CLIPPING_DB else METER
        level = f"{worker.level_db:.0f} dB" if worker.level_db > LEAST_DB else "silent"
        meter = glyphs.meter(1.0 - worker.level_db / FLOOR_DB, room - 10)
        return [name, (meter, style), (glyphs.fit(level, 8, "right") + "  ", "")]
    faces = next((e.face_coverage for e in reversed(sheet.view.utterances) if e.face_coverage is not None), None)
    rate = "running" if worker.rate_hz is None else f"{worker.rate_hz:.1f} fps"
    return [name, (glyphs.fit(rate if faces is None else f"{rate}  faces {faces:.0%}", room), "")]


def stage_durations(event: EmotionEvent) -> tuple[int, ...]:
    """How long each of `STAGES` kept the event waiting, in ns. What was guessed in time kept nobody waiting."""
    stamps = [event.t_end_ns, event.t_closed_ns, event.t_text_ns, event.t_features_ns, event.t_logits_ns]
    stamps.append(event.t_published_ns or event.t_logits_ns)
    reached = list(accumulate(stamps, max))
    return tuple(after - before for before, after in pairwise(reached))


def _stages(glyphs: Glyphs, decided: Sequence[tuple[int, ...]], width: int) -> list[Row]:
    """A row per stage and one for all: how long it took last, the median and the 95th percentile, and, where there is
    room, a bar that begins where the bar of the stage before ends.
    """
    room = width - STAGE_CELLS - 3 * DURATION_CELLS - 2
    last = decided[-1]
    scale = room / max(1, sum(last))
    columns = [*zip(*decided, strict=True), tuple(map(sum, decided))]
    rows: list[Row] = []
    begin = 0
    for stage, durations in zip((*STAGES, "all"), columns, strict=True):
        shown = (durations[-1], percentile(durations, 50), percentile(durations, 95))
        texts = "".join(f"{_duration_text(duration):>{DURATION_CELLS}}" for duration in shown)
        row: Row = [(f" {stage:{STAGE_CELLS - 1}}{texts}", STRONG if stage == "all" else "")]
        if room >= LEAST_BAR and stage != "all":
            offset = min(int(begin * scale), room - 1)
            bar = glyphs.meter(durations[-1] * scale / room, room).rstrip()
            row.append((" " * (1 + offset) + bar, ""))
        rows.append(row)
        begin += durations[-1]
    return rows


def _duration_text(duration_ns: int) -> str:
    seconds = max(0, duration_ns) / 1e9
    if seconds < 1.0:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10.0 else f"{seconds:.0f} s"


def health(sheet: Sheet) -> list[Row]:
    """Workers that do not run as they should, what was lost, and who recognises and decides."""
    view, glyphs = sheet.view, sheet.glyphs
    lag_s = max((worker.lag_s for worker in view.workers), default=0.0)
    dropped = sum(worker.dropped for worker in view.workers)
    lost = f"gaps {view.gaps}" + (f" ({view.lost} lost)" if view.lost else "")
    losses: Row = [
        (f"  dropped {dropped}", WARNING if dropped else ""),
        (f"  {lost}", WARNING if view.gaps else ""),
    ]
    if view.overload:  # it needs the room of what is zero
        losses = [*overload(view), *(cell for cell in losses if cell[1])]
    numbers: Row = [*losses, (f"  lag {lag_s:.1f} s ", WARNING if lag_s >= LAG_S else "")]
    engine = next((event.engine.name for event in reversed(view.utterances) if event.final), "")
    model = view.hello.model if view.hello else ""
    names = "  ".join(text for text in (engine, model) if text)
    names = glyphs.fit(names, min(cell_len(glyphs.text(names)), sheet.width - 16))
    captions = [(sheet.width - cell_len(names) - 3, names)] if names else []
    workers = fitted(worker_states(view), sheet.width - cells(numbers), glyphs)
    return [heading(glyphs, sheet.width, "Health", captions), [*workers, *numbers]]


def warnings(sheet: Sheet, rows: int) -> list[Row]:
    """What people are to be told: processes that died, makeshifts; the newest, in at most `rows`."""
    lines: list[str] = []
    for warning in sheet.view.warnings:
        lines += sheet.glyphs.wrap(warning, max(1, sheet.width - 2), rows)
    return [[(f" {line}", WARNING)] for line in lines[-rows:]]


def overload(view: SessionView) -> Row:
    """What is given up because the machine does not keep up, or taken up again; nothing when it does."""
    return [(f"  overload {view.overload.level}: {view.overload.step}", ALARM)] if view.overload else []


def worker_states(view: SessionView) -> Row:
    """Trouble first, with its reason; then how many run, and by name those that do something else."""
    troubled = troubles(view)
    running = sum(worker.phase == "running" and worker.worker not in troubled for worker in view.workers)
    idle = [worker for worker in view.workers if worker.phase != "running" and worker.worker not in troubled]
    row: Row = []
    for name, trouble in troubled.items():
        row += [(" ", ""), (f"{name} {trouble}", ALARM)]
    row.append((f" {running} running" if view.workers else " no worker yet", ""))
    return row + [(f"  {worker.worker} {worker.phase}", QUIET) for worker in idle]


def troubles(view: SessionView) -> dict[str, str]:
    """What is wrong, by worker, failures first; those that do as they should are not in it."""
    failures_first = sorted(view.workers, key=lambda worker: worker.phase != "failed")
    found = {worker.worker: _trouble(worker, view) for worker in failures_first}
    return {name: trouble for name, trouble in found.items() if trouble}


def _trouble(worker: WorkerStatus, view: SessionView) -> str:
    """What is wrong with `worker`, empty when nothing is. Silence counts from the newest sign of life of all."""
    if worker.phase == "failed":
        return f"FAILED {worker.note}".rstrip()
    silent_ns = max(w.t_ns for w in view.workers) - worker.t_ns
    return f"STALLED for {silent_ns // 10**9} s" if worker.phase == "running" and silent_ns > STALLED_NS else ""


def fitted(row: Row, width: int, glyphs: Glyphs) -> Row:
    """`row` in exactly `width` cells."""
    fitting: Row = []
    for text, style in row:
        text = glyphs.fit(text, min(cell_len(glyphs.text(text)), max(0, width - cells(fitting))))
        fitting.append((text, style))
    return [*fitting, (" " * (width - cells(fitting)), "")]
