"""What people wait for: a recording is played through the real processes in real time, and the stamps of its events say
where the time went.

Two readings of one session (after ufal/whisper_streaming). Aware of computation: as it ran, on this machine. Unaware:
as if computing took no time, so only the decision that somebody has finished is waited for; that is what a faster
machine could reach at best. The difference is this machine's.

All times are measured from the last sample of speech (`t_end_ns`) on the clock of capture; a provisional event from the
first. `words` and `features` count only what was not ready when the utterance closed: they are guessed ahead.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.model_report import COLOURS
from erc_live.live.errors import EngineError
from erc_live.live.percentile import percentile
from erc_live.live.screen.panels import STAGES, stage_durations
from erc_live.streams import codec
from erc_live.streams.messages import EmotionEvent


@dataclass(frozen=True)
class Heard:
    """An event, and when a subscriber had it on the clock of the session: that of the host, played in real time."""

    event: EmotionEvent
    t_heard_ns: int


@dataclass(frozen=True)
class Spread:
    """Durations in ms: how many, the median, the 95th percentile, the longest."""

    name: str
    count: int
    p50: float
    p95: float
    longest: float


@dataclass(frozen=True)
class Latency:
    """A session, measured. `stages` end with `all`: from the end of speech to the event leaving; `first` provisional
    events count from the start of speech. `cores`: processor seconds of all processes, start included, per second.
    """

    name: str
    utterances: int
    provisional: int
    cores: float
    stages: tuple[Spread, ...]
    after_endpoint: Spread
    delivered: Spread
    first: Spread | None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def play(arguments: Sequence[str], told: Callable[[EmotionEvent], None]) -> Iterator[Heard]:
    """Run `erc-live replay` with these arguments in processes of their own; yield every event as it arrives.

    Raises EngineError with what the session said when it ended before its time.
    """
    command = [sys.executable, "-m", "erc_live.live.cli", "replay", *arguments, "--jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as session:
        assert session.stdout is not None
        assert session.stderr is not None
        for line in session.stdout:
            now_ns = time.monotonic_ns()
            message = codec.from_json(line.encode())
            if isinstance(message, EmotionEvent):
                told(message)
                yield Heard(message, now_ns)
        said = session.stderr.read().strip()
    if session.returncode:
        raise EngineError(f"the session ended with code {session.returncode}: {said.splitlines()[-1] if said else ''}")


def bench_latency(
    name: str, arguments: Sequence[str], told: Callable[[EmotionEvent], None] = lambda event: None
) -> Latency:
    """Play and measure. Raises EngineError when the session fails or nothing is said in it."""
    before, begin_s = os.times(), time.monotonic()
    heard = list(play(arguments, told))
    after, lasted_s = os.times(), time.monotonic() - begin_s
    used_s = sum(after[2:4]) - sum(before[2:4])  # of children: user and system
    return measure(name, heard, used_s / lasted_s)


def measure(name: str, heard: Sequence[Heard], cores: float) -> Latency:
    """The figures of a session. Raises EngineError if nothing was said in it."""
    finals = [h for h in heard if h.event.final and not _again(h, heard)]
    if not finals:
        raise EngineError("nothing was said in this recording, so there is nothing to measure")
    durations = [stage_durations(h.event) for h in finals]
    columns = [*zip(*durations, strict=True), tuple(map(sum, durations))]
    stages = tuple(_spread(stage, column) for stage, column in zip((*STAGES, "all"), columns, strict=True))
    first = [h.event for h in heard if not h.event.final and h.event.revision == 0]
    return Latency(
        name=name,
        utterances=len(finals),
        provisional=sum(not h.event.final for h in heard),
        cores=cores,
        stages=stages,
        after_endpoint=_spread("all but the endpoint", [sum(d[1:]) for d in durations]),
        delivered=_spread("delivery to a subscriber", [h.t_heard_ns - _sent_ns(h.event) for h in finals]),
        first=_spread("first provisional", [_sent_ns(e) - e.t_start_ns for e in first]) if first else None,
    )


def render(sessions: Sequence[Latency]) -> RenderableType:
    """A table for each session; with several, how the first differs from the rest."""
    return Group(*(part for session in sessions for part in _session(session)), *_compared(sessions))


def plot(target: Path, sessions: Sequence[Latency]) -> None:
    """Draw the stages of each session end to end: medians solid, 95th percentiles pale. Raises EngineError without
    matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineError("plots need matplotlib: pip install 'erc-live[bench]'") from error
    figure = Figure(figsize=(8.0, 1.2 + 1.1 * len(sessions)), layout="constrained")
    axes = figure.subplots()
    for row, session in enumerate(sessions):
        for at, alpha in ((row - 0.2, 1.0), (row + 0.2, 0.45)):
            begin = 0.0
            for stage, colour in zip(session.stages[:-1], COLOURS, strict=False):
                length = stage.p50 if alpha == 1.0 else stage.p95
                label = stage.name if not row and alpha == 1.0 else None
                axes.barh(at, length, 0.36, begin, color=colour, alpha=alpha, label=label)
                begin += length
    axes.set_yticks(range(len(sessions)), [session.name for session in sessions])
    axes.invert_yaxis()
    axes.set_xlabel("ms after the last sample of speech: medians above, 95th percentiles below, stage by stage")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=len(STAGES), frameon=False)
    figure.savefig(target)


def _session(session: Latency) -> list[RenderableType]:
    table = Table(title=f"{session.name}: ms", title_justify="left", box=None, pad_edge=False)
    for column in ("", "p50", "p95", "longest", "events"):
        table.add_column(column, justify="right" if column else "left")
    aware = replace(session.stages[-1], name="all, computation-aware")
    unaware = replace(session.stages[0], name="all, computation-unaware")
    rows = [*session.stages[:-1], aware, unaware, session.after_endpoint, session.delivered]
    for spread in (*rows, *([session.first] if session.first else [])):
        table.add_row(spread.name, *(f"{v:.0f}" for v in (spread.p50, spread.p95, spread.longest)), str(spread.count))
    counts = f"{session.utterances} utterances, {session.provisional} provisional events, {session.cores:.2f} cores"
    return [table, Text(counts)]


def _compared(sessions: Sequence[Latency]) -> list[RenderableType]:
    if len(sessions) < 2:
        return []
    first, *others = sessions
    return [
        Text(f"p95 {other.name} over {first.name}: {other.stages[-1].p95 / first.stages[-1].p95:.2f}")
        for other in others
    ]


def _spread(name: str, durations_ns: Sequence[int]) -> Spread:
    p50, p95 = (percentile(durations_ns, percent) / 1e6 for percent in (50, 95))
    return Spread(name, len(durations_ns), p50, p95, max(durations_ns) / 1e6)


def _sent_ns(event: EmotionEvent) -> int:
    return event.t_published_ns or event.t_logits_ns


def _again(heard: Heard, all_heard: Sequence[Heard]) -> bool:
    """Whether this event only says anew what was said before, after a change of voices."""
    first = next(h for h in all_heard if h.event.final and h.event.utterance == heard.event.utterance)
    return heard is not first
