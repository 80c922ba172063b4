"""A whole session in virtual time: the real supervisor, crew, broker, shells, bus and cores.

What is made up: sockets, processes and time (`virtual_*.py`), devices, the recogniser and the text encoder. So what the
tests find out about a death, a freeze or a slow reader is true of the product's own code, to the message.
"""

import contextlib
import os
import random
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import torch
from fakes import LoudnessDetector, chunks, speech
from tiny_world import answering
from virtual_processes import Killed, Machine, MachineEvent, MachineOs, MachineTime, S
from virtual_sockets import Network

from erc_live.live.capture import source as capture_source
from erc_live.live.capture.sound_check import SoundCheck
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import AlertRule, CaptureSection, Config, SupervisorSection
from erc_live.live.errors import WorkerError, exit_code
from erc_live.live.requests import Transcript
from erc_live.live.screen import sinks
from erc_live.live.session import broker, crew, engines, recording, restarts, shell, supervisor, worker_process, workers
from erc_live.live.session.analyser import Engines
from erc_live.live.session.spec import SessionSpec, Start, WorkerSpec
from erc_live.models import checkpoint
from erc_live.models.card import Card
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.networks.dialogue_graph import DialogueGraphConfig
from erc_live.streams import bus, clock, journal, record
from erc_live.streams.messages import CHUNK_SAMPLES, EmotionEvent, Gap, SessionEnd, SourceEnd, WorkerLost, samples_to_ns

DIM = 16
LABELS = ("neutral", "joy", "anger")
WINDOW_NS = samples_to_ns(CHUNK_SAMPLES)
LOADING_S = {"perception": 0.5, "tracker": 0.3}
ANALYSIS_S = 0.15
Happening = Callable[["SimulatedSession"], None]


def weights() -> Checkpoint:
    """A tiny network that reads words."""
    torch.manual_seed(0)
    size = {"classes": len(LABELS), "text_dim": DIM, "audio_dim": 4, "visual_dim": 4}
    size |= {"width": 16, "heads": 2, "window": 4}
    card = Card("dialogue_graph", size, LABELS, {"text": "made up"}, {}, {}, abstain_below=0.4)
    return Checkpoint(answering(DialogueGraphConfig(**size)), card, Path(), "tiny")


class Words:
    """A recogniser and a text encoder: an utterance is called by when it ends."""

    name = "made up"
    fingerprint = "made up"
    quick = True

    def transcribe(self, speech: Any) -> Transcript:
        return Transcript(f"until {round(speech.end_s * 1000)}", None, None)

    def encode_last(self, speakers: Any, texts: Any) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(texts[-1].encode())).standard_normal(DIM).astype(np.float32)


class Later(Future):
    """An answer that is there when its time has come."""

    def __init__(self, machine: Machine, due_ns: int) -> None:
        super().__init__()
        self._machine, self._due_ns = machine, due_ns

    def done(self) -> bool:
        return self._machine.now_ns >= self._due_ns


class OneThread(Executor):
    """In place of the thread of perception."""

    def __init__(self, machine: Machine, cost_s: Callable[[Any], float]) -> None:
        self._machine, self._cost_s = machine, cost_s

    def submit(self, call: Any, /, *args: Any, **kwargs: Any) -> Later:
        future = Later(self._machine, self._machine.now_ns + int(self._cost_s(args[0]) * S))
        future.set_result(call(*args, **kwargs))
        return future


class SimulatedDevice:
    """A microphone that hears `pcm`, over and over; from when on it was opened."""

    finished, end_ns, dropped, note, level_db, rate_hz = False, None, 0, "", None, 16_000.0

    def __init__(self, machine: Machine, spec: SourceSpec, pcm: np.ndarray) -> None:
        self._machine, self._name, self._pcm = machine, spec.name, pcm

    def start(self, clock: Any, start_ns: int) -> None:
        # A grid that is the same for who opens it later; the session begins at an instant that the machine says.
        self._number = -(-max(self._machine.now_ns, start_ns) // WINDOW_NS)

    def read(self, timeout_s: float) -> list[Any]:
        self._machine.sleep(timeout_s)
        out = []
        while (self._number + 1) * WINDOW_NS <= self._machine.now_ns:
            windows = len(self._pcm) // CHUNK_SAMPLES
            first = self._number % windows * CHUNK_SAMPLES
            out += chunks(self._name, self._pcm[first : first + CHUNK_SAMPLES], self._number * WINDOW_NS)
            self._number += 1
        return out

    def close(self) -> None:
        """Nothing is held."""


class SimulatedControl(shell.Control):
    """The worker's side of its standard input, without a pipe."""

    def __init__(self, machine: Machine, spec: WorkerSpec) -> None:
        self.spec = spec
        self.start = Start(t_ns=0)
        self.started = MachineEvent(machine)
        self.excused = []
        self.paused = False
        self._stopped = MachineEvent(machine)

    def write(self, line: str) -> None:
        self.take(line)

    def flush(self) -> None:
        """Each line has arrived."""

    def close(self) -> None:
        self._stopped.set()


class Public:
    """In place of the public stream: what was published."""

    clock = None

    def __init__(self, endpoint: str, history: int, *, keyless: bool) -> None:
        self.published: list[Any] = []

    def publish(self, message: Any) -> None:
        self.published.append(message)

    def poll(self) -> None:
        """Nobody asks."""

    close = poll


class SimulatedWorker(worker_process.Worker):
    """A worker whose process is a thread of the machine; whoever works for long uses the processor."""

    session: "SimulatedSession"

    def __init__(self, spec: WorkerSpec, logfile: str) -> None:
        machine = self.session.machine
        self.spec, self.status, self.begun, self.stopping = spec, None, False, False
        self.last_line, self._logfile = "", logfile
        self._signs = worker_process._Signs(machine.now_ns / S, 0.0, 0.0)
        self._control = SimulatedControl(machine, msgspec.json.decode(msgspec.json.encode(spec), type=WorkerSpec))
        self.process = machine.spawn(self.name, self._main)
        self.process.stdin = self._control
        self._listener = self
        self._machine = machine

    def join(self, timeout_s: float) -> None:
        """What it wrote has been read."""

    def begin(self, start: Start) -> None:
        before = self.name
        super().begin(start)
        self.process.begun = True
        if self.name != before:
            self._machine.rename(before, self.name)

    def _cpu_s(self) -> float:
        return 0.0 if self.process.stopped else self._machine.now_ns / S

    def _main(self) -> int:
        """As `workers.main`."""
        self._machine.sleep(LOADING_S.get(self.spec.kind, 0.1))
        own = shell.Shell(self._control)
        phase = "failed"
        try:
            workers.SHELLS[self.spec.kind](own)
            phase = "done"
        except shell.Stopped:
            phase = "done"
        except Exception as error:
            code = exit_code(error)
            self.last_line = f"error: {error}" if code else f"{type(error).__name__}: {error}"
            if code is None:
                self.session.bugs.append(error)
            return code or 1
        finally:
            with contextlib.suppress(Killed):
                own.beat(phase)
                own.publisher.close()
        return 0


class Death(record.Recorder):
    """A recorder whose process may be killed: then nobody closes the bundle."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None and issubclass(kind, Killed):
            self._close_logs()
            os.close(self._lock._descriptor)
        else:
            super().__exit__(kind, error, traceback)


class Said(NamedTuple):
    """A final event, but for its name and its number: what must not depend on any fault."""

    source: str
    t_end_ns: int
    text: str
    speaker: int
    label: str
    index: int


@dataclass
class SimulatedSession:
    """`run` a session of `talks`, by microphone; what became of it is in the fields."""

    talks: dict[str, np.ndarray]
    live: bool = False  # microphones are devices, and somebody waits; then at speed 1
    record: Path | None = None
    seed: int = 0
    speed: float = 4.0  # of recordings
    keep_s: float = 30.0
    alerts: tuple[AlertRule, ...] = ()
    until_s: float | None = None  # when somebody stops it
    cost_s: Callable[[Any], float] = lambda request: ANALYSIS_S
    machine: Machine = field(default_factory=Machine)
    published: list[Any] = field(default_factory=list)
    read: list[Any] = field(default_factory=list)  # by the screen
    bugs: list[Exception] = field(default_factory=list)
    failure: WorkerError | None = None
    struck: int = 0  # faults that were done to it
    running: supervisor.Supervisor | None = None

    def __post_init__(self) -> None:
        self.speed = 1.0 if self.live else self.speed

    def run(self, happen: Happening = lambda session: None) -> "SimulatedSession":
        """To its end. `happen`: plans what goes wrong, with `self.machine.at`."""
        with pytest.MonkeyPatch.context() as patch, self.machine.running():
            self._patch(patch)
            running = self.running = supervisor.Supervisor(self._spec(), "LOG")
            if self.until_s is not None:
                self.machine.at(self.until_s, running.stop)
            happen(self)
            try:
                running.run()
            except WorkerError as error:
                self.failure = error
            self.published = running._broker._public.published
        if self.bugs:
            raise self.bugs[0]
        return self

    def kill(self, name: str, steps: int = 0) -> None:
        """A process, a few messages from now, or a little later."""
        if process := self.machine.named(name):
            process.steps_left = steps
            self.machine.at(0.2, process.kill)

    def freeze(self, name: str) -> None:
        """A process is there and does nothing any more. One that loads may do so for long: it is left alone."""
        process = self.machine.named(name)
        if process and process.begun:
            self.hold(name)

    def hold(self, name: str) -> None:
        """A process stands still, whatever it is at."""
        if process := self.machine.named(name):
            process.held_until_ns, process.stopped = float("inf"), True

    def occupy(self, name: str, seconds: float) -> None:
        """A process works at something else for so long."""
        if process := self.machine.named(name):
            process.held_until_ns = self.machine.now_ns + seconds * S

    def slow(self, name: str, seconds: float) -> None:
        """For so long, a process takes its time."""
        if process := self.machine.named(name):
            process.slow_until_ns = self.machine.now_ns + int(seconds * S)

    def sleep(self, seconds: float) -> None:
        """The whole machine."""
        self.machine.pass_over(seconds)

    @property
    def finals(self) -> list[EmotionEvent]:
        return [m for m in self.published if isinstance(m, EmotionEvent) and m.final]

    @property
    def said(self) -> list[Said]:
        """What was classified, in order."""
        start_ns = self.published[0].t_ns
        return [
            Said(e.source, 0 if self.live else e.t_end_ns - start_ns, e.text, e.speaker, e.label, e.index)
            for e in self.finals
        ]

    @property
    def gaps(self) -> list[Gap]:
        return [message for message in self.published if isinstance(message, Gap)]

    @property
    def deaths(self) -> list[str]:
        return [message.worker for message in self.published if isinstance(message, WorkerLost)]

    @property
    def end(self) -> SessionEnd:
        assert isinstance(self.published[-1], SessionEnd)
        return self.published[-1]

    def _spec(self) -> SessionSpec:
        medium = "device" if self.live else "file"
        sources = [SourceSpec(kind="mic", medium=medium, name=name, target=name, speaker=name) for name in self.talks]
        config = Config(
            supervisor=SupervisorSection(spares=self.live),
            capture=CaptureSection(ring_s=self.keep_s),
            alerts=self.alerts,
        )
        return SessionSpec(
            session=f"s{self.seed}",
            config=config,
            sources=tuple(sources),
            speed=self.speed,
            hurry=self.live,
            jsonl=True,
            record=None if self.record is None else str(self.record),
        )

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        network, loaded = Network(self.machine, random.Random(self.seed)), weights()
        now, here = MachineTime(self.machine), MachineOs(self.machine)
        for module in (bus, clock, crew, shell, supervisor, worker_process, workers):
            patch.setattr(module, "time", now)
        patch.setattr(bus, "os", here)
        patch.setattr(shell, "os", here)
        patch.setattr(bus, "open_socket", network.open_socket)
        patch.setattr(bus, "close_socket", network.close_socket)
        patch.setattr(bus, "check_unused", lambda endpoint: None)
        patch.setattr(broker, "EventPublisher", Public)
        patch.setattr(crew, "Worker", type("WorkerHere", (SimulatedWorker,), {"session": self}))
        patch.setattr(restarts, "LATELY_S", 1.0)  # a thousand deaths are not to be waited for
        patch.setattr(workers, "ThreadPoolExecutor", lambda threads: OneThread(self.machine, self.cost_s))
        patch.setattr(
            engines,
            "load_engines",
            lambda config, transcript, notify, patience: Engines(Words(), Words(), None, None, None),
        )
        patch.setattr(engines, "SileroVad", LoudnessDetector)
        patch.setattr(checkpoint, "load", lambda name: loaded)
        patch.setattr(capture_source, "open_source", self._open)
        patch.setattr(capture_source, "check", lambda spec: None)
        patch.setattr(capture_source, "sound_check", lambda spec: SoundCheck("bundle", 16_000))
        patch.setattr(capture_source, "recorded_messages", self._recorded)
        patch.setattr(recording, "Recorder", Death)
        patch.setattr(recording, "register", lambda folder, session: None)
        patch.setattr(journal.os, "fsync", lambda descriptor: None)
        patch.setattr(sinks, "run", self._show)

    def _open(self, spec: SourceSpec, config: CaptureSection) -> Any:
        if self.live:
            return SimulatedDevice(self.machine, spec, self.talks[spec.name])
        return capture_source.RecordingSource(spec, config)

    def _recorded(self, spec: SourceSpec, config: Any, start_ns: int, sound: Any = None) -> Iterator[Any]:
        pcm = self.talks[spec.name]
        yield from chunks(spec.name, pcm, start_ns)
        yield SourceEnd(source=spec.name, t_ns=start_ns + samples_to_ns(len(pcm)), reason="end of file")

    def _show(self, inlet: Any, out: Any, stopped: Callable[[], bool], *, as_json: bool) -> None:
        """As `sinks.run`: to the end of the session."""
        while not (self.read and isinstance(self.read[-1], SessionEnd)) and not stopped():
            self.read += inlet.receive(0.1)


def talk(seed: int, seconds: float, people: int = 2) -> dict[str, np.ndarray]:
    """People who speak in turn, each at a microphone, for stretches of all lengths."""
    chance = random.Random(seed)
    turns: list[tuple[int, int]] = []
    while sum(length for _, length in turns) < seconds / 0.032:
        turns += [(chance.randrange(people), chance.randint(12, 90)), (-1, chance.randint(16, 50))]
    return {f"mic-{n}": speech(*((turn == n, length) for turn, length in turns)) for n in range(people)}
