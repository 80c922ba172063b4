"""The panels of what the devices deliver and where the time of utterances goes, beside each other.

The rule of this file: latencies are differences of stamps that the events carry, and of nothing else.
"""

from collections.abc import Sequence
from itertools import islice, zip_longest

from erc_live.live.screen.health_panel import trouble_of
from erc_live.live.screen.percentile import percentile
from erc_live.live.screen.sheet import Cell, Row, Sheet, fitted, heading
from erc_live.live.screen.theme import ALARM, HOT, METER, QUIET, STRONG, WARNING, Glyphs
from erc_live.streams.messages import WorkerStatus
from erc_live.streams.stage_durations import STAGES, stage_durations

FLOOR_DB = -60.0  # the empty end of a level meter
CLIPPING_DB = -3.0
LEAST_DB = -91.0  # one step of 16-bit sound is at -90.3 dB: below it there is none
STAGE_CELLS = 11  # of the name of a stage
DURATION_CELLS = 8  # of the last, the median and the 95th percentile each
LEAST_BAR = 12  # cells; shorter bars say nothing
NOTE_ROWS = 4  # of what is to be known of a device
RECENT = 100  # utterances of which median and percentile are told


def capture_and_latency(sheet: Sheet, rows: int) -> list[Row]:
    """Beside each other: what the devices deliver (at most `rows`), and where the time of utterances goes."""
    left = sheet.width // 2
    right = sheet.width - left
    devices = sheet.view.devices
    drawn = [_device(sheet, worker, left) for worker in devices]
    fitting = [device for n, device in enumerate(drawn) if sum(map(len, drawn[: n + 1])) <= rows] or drawn[:1]
    hidden = len(devices) - len(fitting)
    states = [row for device in fitting for row in device][:rows]
    stages: list[Row] = [[(" no utterance yet", QUIET)]]
    captions: list[tuple[int, str]] = []
    finals = (event for event in reversed(sheet.view.utterances) if event.final)
    decided = [stage_durations(event) for event in islice(finals, RECENT)][::-1]
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


def _device(sheet: Sheet, worker: WorkerStatus, width: int) -> list[Row]:
    """Rows of exactly `width` cells: the level of a microphone, the rate of a camera and its share of faces, or what is
    to be known of it.
    """
    level = f"{worker.level_db:.0f} dB  " if worker.level_db is not None else ""
    if trouble := trouble_of(worker, sheet.view):
        return _noted(sheet, worker, width, (trouble, ALARM))
    if worker.phase != "running":
        return _noted(sheet, worker, width, (f"{worker.phase} {worker.note}", QUIET))
    if worker.note:
        return _noted(sheet, worker, width, (level + worker.note, WARNING))
    return [[(" " + sheet.glyphs.fit(worker.worker, 10), STRONG), *_measured(sheet, worker, width - 11)]]


def _noted(sheet: Sheet, worker: WorkerStatus, width: int, note: Cell) -> list[Row]:
    """A note in as many rows as it needs."""
    room = max(1, width - 12)
    lines = sheet.glyphs.wrap(note[0], room, NOTE_ROWS) or [""]
    names = [" " + sheet.glyphs.fit(worker.worker, 10), *([" " * 11] * (len(lines) - 1))]
    return [
        [(name, STRONG), *fitted([(line, note[1])], width - 11, sheet.glyphs)]
        for name, line in zip(names, lines, strict=True)
    ]


def _measured(sheet: Sheet, worker: WorkerStatus, room: int) -> Row:
    """What a device that is well delivers, in `room` cells."""
    glyphs = sheet.glyphs
    if worker.level_db is not None:
        style = HOT if worker.level_db > CLIPPING_DB else METER
        level = f"{worker.level_db:.0f} dB" if worker.level_db > LEAST_DB else "silent"
        meter = glyphs.meter(1.0 - worker.level_db / FLOOR_DB, room - 10)
        return [(meter, style), (glyphs.fit(level, 8, "right") + "  ", "")]
    faces = next((e.face_coverage for e in reversed(sheet.view.utterances) if e.face_coverage is not None), None)
    rate = "running" if worker.rate_hz is None else f"{worker.rate_hz:.1f} fps"
    return [(glyphs.fit(rate if faces is None else f"{rate}  faces {faces:.0%}", room), "")]


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
