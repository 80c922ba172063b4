"""What people wait for: a recording is played through the real processes in real time, and the stamps of its events say
where the time went, what was given up on the way, and what it cost.

Two readings of one session (after ufal/whisper_streaming). Aware of computation: as it ran, on this machine. Unaware:
as if computing took no time, so only the decision that somebody has finished is waited for; that is what a faster
machine could reach at best. The difference is this machine's.

All times are measured from the last sample of speech (`t_end_ns`) on the clock of capture; a provisional event from the
first. `words` and `features` count only what was not ready when the utterance closed: they are guessed ahead. An
utterance whose words were given up is fast and has none, so what was given up stands beside the times.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from erc_live.live.bench.usage import Usage
from erc_live.live.errors import EngineError
from erc_live.live.screen.percentile import percentile
from erc_live.streams import codec
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import EmotionEvent, Gap, Hello, Overload, SessionEnd
from erc_live.streams.stage_durations import STAGES, stage_durations

SKIPPED = "given up: the machine was too slow"
UNHEARD = "the recogniser gave none"


@dataclass(frozen=True)
class Received:
    """A message, and when a subscriber had it on the clock of the session: that of the host, played in real time."""

    message: PublicMessage
    t_received_ns: int


@dataclass(frozen=True)
class Cost:
    """What a session took. `ready_s`: from the command to the first sample of the recording, None if it never came.
    `cores`: processor seconds of all processes, start included, per second. `workers`: of each, by name, while the
    recording was played, per second of it.
    """

    cores: float = 0.0
    ready_s: float | None = None
    workers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """Durations in ms: how many, the median, the 95th percentile, the longest."""

    name: str
    count: int
    p50: float
    p95: float
    longest: float


@dataclass(frozen=True)
class Losses:
    """What people did not get. `steps`: what was given up and taken up again, in words, and how often. `gaps`: by
    source and cause, how often and how many messages (or utterances). `wordless`: final events without text, by reason.
    """

    steps: dict[str, int]
    gaps: dict[str, tuple[int, int]]
    wordless: dict[str, int]
    ended: str


@dataclass(frozen=True)
class Latency:
    """A session, measured. `stages` end with `all`: from the end of speech to the event leaving; `first` provisional
    events count from the start of speech. `provisional_words`: provisional events that have words.
    """

    name: str
    engine: str
    utterances: int
    provisional: int
    provisional_words: int
    stages: tuple[Spread, ...]
    after_endpoint: Spread
    delivered: Spread
    first: Spread | None
    losses: Losses
    cost: Cost

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def bench_latency(
    name: str, arguments: Sequence[str], on_event: Callable[[EmotionEvent], None] = lambda event: None
) -> Latency:
    """Run `erc-live replay` with these arguments in processes of their own, and measure.

    Raises EngineError with what the session said when it ended before its time, or when nothing was said in it.
    """
    command = [sys.executable, "-m", "erc_live.live.cli", "replay", *arguments, "--as-live", "--jsonl"]
    received: list[Received] = []
    begin_ns, before, ready_s = time.monotonic_ns(), os.times(), None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as session:
        assert session.stderr is not None
        with Usage(session.pid) as usage:
            for one in _received(session):
                received.append(one)
                if isinstance(one.message, Hello):  # it leaves when the recording begins
                    usage.begin()
                    ready_s = (one.t_received_ns - begin_ns) / 1e9
                elif isinstance(one.message, EmotionEvent):
                    on_event(one.message)
        stderr = session.stderr.read().strip()
    if session.returncode:
        raise EngineError(
            f"the session ended with code {session.returncode}: {stderr.splitlines()[-1] if stderr else ''}"
        )
    after, lasted_s = os.times(), (time.monotonic_ns() - begin_ns) / 1e9
    cores = (sum(after[2:4]) - sum(before[2:4])) / lasted_s  # of children: user and system
    played_s = max(lasted_s - (ready_s or 0.0), 1e-9)
    shares = {worker: used_s / played_s for worker, used_s in sorted(usage.used_s().items())}
    return measure(name, received, Cost(cores, ready_s, shares))


def measure(name: str, received: Sequence[Received], cost: Cost) -> Latency:
    """The figures of a session. Raises EngineError if nothing was said in it."""
    events = [(h.message, h.t_received_ns) for h in received if isinstance(h.message, EmotionEvent)]
    finals = list(_first_finals(events))
    losses = _losses([h.message for h in received], [event for event, _ in finals])
    if not finals:
        lost = ", ".join([*losses.steps, *losses.gaps]) or "nothing was lost"
        raise EngineError(f"no utterance in this recording, so there is nothing to measure ({lost}; {losses.ended})")
    durations = [stage_durations(event) for event, _ in finals]
    columns = [*zip(*durations, strict=True), tuple(map(sum, durations))]
    provisional = [event for event, _ in events if not event.final]
    first = [event for event in provisional if event.revision == 0]
    return Latency(
        name=name,
        engine=finals[-1][0].engine.name,
        utterances=len(finals),
        provisional=len(provisional),
        provisional_words=sum(bool(event.text) for event in provisional),
        stages=tuple(_spread(stage, column) for stage, column in zip((*STAGES, "all"), columns, strict=True)),
        after_endpoint=_spread("all but the endpoint", [sum(d[1:]) for d in durations]),
        delivered=_spread("delivery to a subscriber", [t_ns - _sent_ns(event) for event, t_ns in finals]),
        first=_spread("first provisional", [_sent_ns(e) - e.t_start_ns for e in first]) if first else None,
        losses=losses,
        cost=cost,
    )


def _received(session: "subprocess.Popen[str]") -> Iterator[Received]:
    assert session.stdout is not None
    for line in session.stdout:
        now_ns = time.monotonic_ns()
        message = codec.from_json(line.encode())
        if isinstance(message, PublicMessage):  # all are: the public stream is what is written
            yield Received(message, now_ns)


def _first_finals(events: Iterable[tuple[EmotionEvent, int]]) -> Iterator[tuple[EmotionEvent, int]]:
    """Final events, less those that only say anew what was said before, after a change of voices."""
    closed: set[str] = set()
    for event, t_ns in events:
        if event.final and event.utterance not in closed:
            closed.add(event.utterance)
            yield event, t_ns


def _losses(messages: Sequence[PublicMessage], finals: Sequence[EmotionEvent]) -> Losses:
    gaps: dict[str, tuple[int, int]] = {}
    for gap in (message for message in messages if isinstance(message, Gap)):
        times, lost = gaps.get(f"{gap.source} {gap.cause}", (0, 0))
        gaps[f"{gap.source} {gap.cause}"] = (times + 1, lost + gap.lost)
    return Losses(
        steps=dict(Counter(message.step for message in messages if isinstance(message, Overload))),
        gaps=gaps,
        wordless=dict(Counter(_why_wordless(event) for event in finals if not event.text)),
        ended=next((_end(message) for message in messages if isinstance(message, SessionEnd)), "it did not end"),
    )


def _end(end: SessionEnd) -> str:
    return f"{end.reason}; {end.note}" if end.note else end.reason


def _why_wordless(event: EmotionEvent) -> str:
    return SKIPPED if event.skipped else UNHEARD


def _spread(name: str, durations_ns: Sequence[int]) -> Spread:
    p50, p95 = (percentile(durations_ns, percent) / 1e6 for percent in (50, 95))
    return Spread(name, len(durations_ns), p50, p95, max(durations_ns) / 1e6)


def _sent_ns(event: EmotionEvent) -> int:
    return event.t_published_ns or event.t_logits_ns
