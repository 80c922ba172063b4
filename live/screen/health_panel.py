"""The panel of health: workers that do not run as they should, alerts, what was lost, what is given up, and what people
are to be told.

The rule of this file: trouble comes first, in words, in a line of its own, and is wrapped rather than cut.
"""

from rich.cells import cell_len

from erc_live.live.screen.sheet import Row, Sheet, cells, fitted, heading
from erc_live.live.screen.theme import ALARM, QUIET, WARNING
from erc_live.live.screen.view import SessionView
from erc_live.streams.messages import WorkerStatus
from erc_live.streams.plural import counted

STALLED_NS = 3_000_000_000  # without a sign of life; workers give several a second
LAG_S = 1.0  # from here on a lag stands out
TROUBLE_ROWS = 3
RECENT_WORDS = 5  # utterances, of which one without words for want of speed is worth advice
TOO_SLOW = "words are skipped, the machine is too slow: choose a smaller transcriber.model, or end other programs"


def health(sheet: Sheet) -> list[Row]:
    """How the workers are, what was lost, and who recognises and decides."""
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
    workers = fitted(_worker_counts(view), sheet.width - cells(numbers), glyphs)
    return [
        heading(glyphs, sheet.width, "Health", captions),
        *trouble_rows(sheet, TROUBLE_ROWS),
        [*workers, *numbers],
    ]


def trouble_rows(sheet: Sheet, rows: int) -> list[Row]:
    """Alerts, and workers in trouble with the reason, in at most `rows`."""
    lines = [f"ALERT {alert.text}" for alert in sheet.view.alerts]
    lines += [f"{name} {trouble}" for name, trouble in troubles(sheet.view).items()]
    wrapped = [line for text in lines for line in sheet.glyphs.wrap(text, max(1, sheet.width - 2), rows)]
    if len(wrapped) > rows > 1:
        wrapped = [*wrapped[: rows - 1], sheet.glyphs.text(f"and {counted(len(wrapped) - rows + 1, 'line')} more")]
    return [[(" ", ""), (line, ALARM)] for line in wrapped[:rows]]


def warnings(sheet: Sheet, rows: int) -> list[Row]:
    """What people are to be told: processes that died, makeshifts, a machine that is too slow for words; the newest, in
    at most `rows`.
    """
    recent = [event for event in sheet.view.utterances[-RECENT_WORDS:] if event.final and not event.text.strip()]
    advice = (TOO_SLOW,) if any(event.skipped for event in recent) else ()
    lines: list[str] = []
    for warning in (*sheet.view.warnings, *advice):
        lines += sheet.glyphs.wrap(warning, max(1, sheet.width - 2), rows)
    return [[(f" {line}", WARNING)] for line in lines[-rows:]]


def overload(view: SessionView) -> Row:
    """What is given up because the machine does not keep up, or taken up again; nothing when it does."""
    return [(f"  overload {view.overload.level}: {view.overload.step}", ALARM)] if view.overload else []


def _worker_counts(view: SessionView) -> Row:
    """How many run, and by name those that do something else."""
    troubled = troubles(view)
    running = sum(worker.phase == "running" and worker.worker not in troubled for worker in view.workers)
    idle = [worker for worker in view.workers if worker.phase != "running" and worker.worker not in troubled]
    row: Row = [(f" {running} running" if view.workers else " no worker yet", "")]
    return row + [(f"  {worker.worker} {worker.phase}", QUIET) for worker in idle]


def troubles(view: SessionView) -> dict[str, str]:
    """What is wrong, by worker, failures first; those that do as they should are not in it."""
    failures_first = sorted(view.workers, key=lambda worker: worker.phase != "failed")
    found = {worker.worker: trouble_of(worker, view) for worker in failures_first}
    return {name: trouble for name, trouble in found.items() if trouble}


def trouble_of(worker: WorkerStatus, view: SessionView) -> str:
    """What is wrong with `worker`, empty when nothing is. Silence counts from the newest sign of life of all."""
    if worker.phase == "failed":
        return f"FAILED {worker.note}".rstrip()
    silent_ns = max(w.t_ns for w in view.workers) - worker.t_ns
    return f"STALLED for {silent_ns // 10**9} s" if worker.phase == "running" and silent_ns > STALLED_NS else ""
