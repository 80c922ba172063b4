"""Endurance: a recording is played for hours through the real processes, which are killed, stopped and starved at random;
what subscribers got is compared with what they would have got.

The events of a run without faults, in one process, are the reference. An utterance counts as lost if no gap covers it,
as repeated if it came twice under one revision, as wrong if its label is another. An utterance of which a part was in
a gap is neither. The rule of this file: what is measured is what a subscriber and the operating system see.
"""

import json
import random
import subprocess
import sys
import threading
import time
import wave
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from erc_live.live.bench.faults import FAULTS, Fault
from erc_live.streams.media import audio_chunks
from erc_live.streams.messages import SAMPLE_RATE_HZ, EmotionEvent, Gap, Hello, PublicEvent, SessionEnd, WorkerLost
from erc_live.streams.subscribe import subscribe

SETTLED_S = 60.0  # of a process, from which on its memory should not grow
SAMPLE_S = 2.0
SAME_NS = 1_500_000_000  # an utterance that begins this close to another one of its microphone is that one
_WORKERS = "erc_live.live.session.workers"


@dataclass
class Endurance:
    """What happened. `memory`: by process, MB per hour of media, where it ran for long enough; `recovery_s`: until a
    replaced process worked again, by process.
    """

    faults: Counter[str] = field(default_factory=Counter)
    hours: float = 0.0
    utterances: int = 0
    lost: list[str] = field(default_factory=list)
    in_gaps: int = 0
    repeated: int = 0
    wrong: int = 0
    shifted: int = 0
    gaps: int = 0
    deaths: int = 0
    memory: dict[str, float] = field(default_factory=dict)
    recovery_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    exit_code: int | None = None


def lengthen(path: Path, hours: float, folder: Path) -> Path:
    """The recording, again and again, as one file of so many hours. Raises MediaError."""
    pcm = np.concatenate([chunk.pcm for chunk in audio_chunks(path, "", 0)])
    longer = folder / f"{path.stem}.wav"
    left = round(hours * 3600 * SAMPLE_RATE_HZ)
    with wave.open(str(longer), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        while left > 0:
            file.writeframes(pcm[:left].astype("<i2").tobytes())
            left -= len(pcm)
    return longer


def reference(arguments: Sequence[str], on_event: Callable[[EmotionEvent], None]) -> list[EmotionEvent]:
    """The final events of the same session in one process. Raises CalledProcessError."""
    command = [sys.executable, "-m", "erc_live.live.cli", "replay", *arguments, "--speed", "max", "--jsonl"]
    events = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for event in _events(process.stdout):
            on_event(event)
            events.append(event)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return events


def endure(
    arguments: Sequence[str],
    speed: float,
    faults_per_minute: float,
    seed: int,
    expected: Sequence[EmotionEvent],
    on_news: Callable[[str], None],
) -> Endurance:
    """Play `replay ARGUMENTS` and inject faults until its end. `on_news`: lines for people."""
    result, dice = Endurance(), random.Random(seed)
    endpoint = next(a.split("=", 1)[1] for a in arguments if a.startswith("events.endpoint="))
    got: list[PublicEvent] = []
    command = [sys.executable, "-m", "erc_live.live.cli", "replay", *arguments, "--speed", str(speed), "--jsonl"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        follower = threading.Thread(target=_follow, args=(endpoint, got, on_news), daemon=True)
        follower.start()
        lines = threading.Thread(target=_read, args=(process, result, on_news), daemon=True)
        lines.start()
        memory = _Memory(process.pid, speed)
        due_s = float("inf")
        while process.poll() is None:
            time.sleep(0.2)
            memory.look()
            if due_s == float("inf") and any(isinstance(message, EmotionEvent) for message in got):
                due_s = time.monotonic()
            if time.monotonic() >= due_s and not any(isinstance(message, SessionEnd) for message in got):
                due_s = time.monotonic() + dice.expovariate(faults_per_minute / 60.0)
                fault = dice.choice(FAULTS)
                if target := inject(fault, process.pid, endpoint, dice):
                    result.faults[fault.name] += 1
                    on_news(f"{fault.name}: {target}")
        lines.join(10.0)
        follower.join(10.0)
    result.exit_code = process.returncode
    result.memory = memory.slopes()
    compare(expected, got, result)
    return result


def inject(fault: Fault, root: int, endpoint: str, dice: random.Random) -> str:
    """Do it; whom it was done to, "" if there was nobody."""
    import psutil

    with suppress(psutil.Error, OSError):
        workers = {name: process for process in psutil.Process(root).children() if (name := _name(process))}
        victims = sorted(name for name in workers if fault.hits(name))
        if fault.program is not None:
            fault.program(endpoint)
            return "a subscriber"
        if victims:
            victim = dice.choice(victims)
            assert fault.act is not None
            fault.act(workers[victim])
            return victim
    return ""


def compare(expected: Sequence[EmotionEvent], got: Sequence[PublicEvent], result: Endurance) -> None:
    """Count what was lost, repeated and wrong."""
    start_ns = next((message.t_ns for message in got if isinstance(message, Hello)), 0)
    finals = [message for message in got if isinstance(message, EmotionEvent) and message.final]
    gaps = [message for message in got if isinstance(message, Gap)]
    result.utterances, result.gaps = len(expected), len(gaps)
    result.deaths = sum(isinstance(message, WorkerLost) for message in got)
    result.repeated = len(finals) - len({(event.utterance, event.revision) for event in finals})
    starts = defaultdict(list)
    for event in finals:
        starts[event.source].append(event)
    for wanted in expected:
        at_ns = wanted.t_start_ns + start_ns
        near = [e for e in starts[wanted.source] if abs(e.t_start_ns - at_ns) < SAME_NS]
        best = min(near, key=lambda e: abs(e.t_start_ns - at_ns), default=None)
        covered = any(
            gap.source in (wanted.source, "perception")
            and gap.t_start_ns < wanted.t_end_ns + start_ns + SAME_NS
            and gap.t_end_ns > at_ns - SAME_NS
            for gap in gaps
        )
        if best is None:
            result.in_gaps += covered
            if not covered:
                result.lost.append(wanted.utterance)
        elif not covered:
            result.wrong += best.label != wanted.label
            result.shifted += best.utterance != wanted.utterance


class _Memory:
    """Reads the resident memory of each process of a session now and then."""

    def __init__(self, root: int, speed: float) -> None:
        import psutil

        self._psutil = psutil
        self._root = psutil.Process(root)
        self._speed = speed
        self._looked_s = 0.0
        self._samples: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)

    def look(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s < SAMPLE_S:
            return
        self._looked_s = now_s
        with suppress(self._psutil.Error):
            for process in (self._root, *self._root.children()):
                with suppress(self._psutil.Error):
                    name = "supervisor" if process == self._root else _name(process)
                    self._samples[name, process.pid].append((now_s, process.memory_info().rss / 1e6))

    def slopes(self) -> dict[str, float]:
        """MB per hour of media, of the longest-lived process of each name, by least squares after it has settled."""
        slopes: dict[str, float] = {}
        longest: dict[str, float] = {}
        for (name, _), samples in self._samples.items():
            settled = [(t, mb) for t, mb in samples if t - samples[0][0] > SETTLED_S]
            lasted_s = settled[-1][0] - settled[0][0] if len(settled) > 5 else 0.0
            if name and lasted_s > longest.get(name, SETTLED_S):
                times, sizes = np.array(settled).T
                slopes[name] = float(np.polyfit(times, sizes, 1)[0] * 3600 / self._speed)
                longest[name] = lasted_s
        return slopes


def _name(process: Any) -> str:
    """What a worker is called, "" if it is none."""
    return next((name for module, name in pairwise(process.cmdline()) if module == _WORKERS), "")


def _events(lines: Any) -> list[EmotionEvent]:
    from erc_live.streams import codec

    messages = (codec.from_json(line.encode()) for line in lines if '"EmotionEvent"' in line)
    return [message for message in messages if isinstance(message, EmotionEvent) and message.final]


def _follow(endpoint: str, got: list[PublicEvent], on_news: Callable[[str], None]) -> None:
    for message in subscribe(endpoint):
        got.append(message)
        if isinstance(message, WorkerLost):
            on_news(f"{message.worker} {message.reason}; {message.consequence}")


def _read(process: subprocess.Popen[str], result: Endurance, on_news: Callable[[str], None]) -> None:
    """Standard error: how long it took until who was replaced worked again."""
    assert process.stderr is not None
    for line in process.stderr:
        name, works, rest = line.partition(" works again after ")
        if works:
            result.recovery_s[name].append(float(rest.split()[0]))
        else:
            on_news(line.strip())


def plain(result: Endurance) -> Mapping[str, Any]:
    """The result for programs."""
    worst = {name: max(waits) for name, waits in result.recovery_s.items()}
    fields = json.loads(json.dumps(vars(result), default=dict))
    return fields | {"faults": dict(result.faults), "worst_recovery_s": worst, "lost": len(result.lost)}
