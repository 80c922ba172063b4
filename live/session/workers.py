"""The shells: each worker is a process that subscribes, calls a core, and publishes. All its loops are here, and they
are short.

A worker is started as `python -m erc_live.live.session.workers`. Its standard input carries, in order: one line of JSON
(`WorkerSpec`); one line `start <t_ns>`, the session time at which media begins (to one that takes the place of a dead
one also from when on, and how many utterances, that one lost); and, as its end, the request to stop.
So a worker whose supervisor dies stops too, and no worker outlives its session. It is a plain sub-process, never a
fork: one mechanism on every system. Its standard error is the supervisor's to show.

There are five kinds: capture, perception, tracker, recorder and screen. They are processes because a recogniser's
native code can abort its process, and must not take the dialogue with it. The cores that they call do no I/O: replay at
maximum speed, training and the tests compose the same ones in one process.

Every session ends the same way, live or in replay: capture publishes `SourceEnd`; perception finishes what was said,
then publishes its own; the tracker answers with `SessionEnd`; recorder and screen stop at that.
"""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is imported: spinning threads are ruinous on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import msgspec
from msgspec import structs

from erc_live.live.errors import exit_code
from erc_live.live.session.spec import WorkerSpec
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.clock import Clock, SessionClock
from erc_live.streams.errors import MediaError
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import (
    AnyMessage,
    AudioChunk,
    Gap,
    Overload,
    Phase,
    Relabel,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
    WorkerStatus,
)
from erc_live.streams.sockets import QUEUE
from erc_live.streams.topics import BY_NAME

if TYPE_CHECKING:  # not at run time: only one kind of worker loads the engines
    from erc_live.live.perception.front_end import FrontEnd
    from erc_live.live.session.analyser import Engines

POLL_S = 0.02
BUSY_POLL_S = 0.005  # while an answer is awaited
STATUS_S = 0.25
SCREENSHOT = (100, 26)  # columns and rows
PATIENCE_S = 60.0  # how long a worker waits for those it publishes to: the slowest loads models
ORPHANED_S = 12.0  # after the request to stop, in case nobody is left to end the process


class Stopped(Exception):
    """The supervisor asked to stop before the session began."""


class Control:
    """The supervisor's side of standard input: what to be, when to start, when to stop."""

    def __init__(self) -> None:
        self.spec = msgspec.json.decode(sys.stdin.readline(), type=WorkerSpec)
        self.start_ns = 0
        self.loss: tuple[int, int] | None = None  # from when on, and how many utterances, the one before lost
        self.started = threading.Event()
        self._stopped = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def stopped(self) -> bool:
        """Whether the supervisor asked to stop, or is gone."""
        return self._stopped.is_set()

    def _read(self) -> None:
        for line in sys.stdin:
            word, _, value = line.partition(" ")
            if word == "start":
                self.start_ns, *loss = map(int, value.split())
                self.loss = (loss[0], loss[1]) if loss else None
                self.started.set()
        self._stopped.set()
        time.sleep(ORPHANED_S)
        os._exit(1)


class Shell:
    """What every worker has: its orders, a place to publish, and a sign of life several times a second."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.spec = control.spec
        queues = [BY_NAME[topic.partition(".")[0]].queue for topic in self.spec.consumers]
        self.publisher = Publisher(self.spec.address, min(queues, default=QUEUE))
        self._phase: Phase = "starting"
        self._last_s = 0.0
        self._at_stake: dict[str, Any] = {}

    def beat(self, phase: Phase | None = None, **fields: Any) -> None:
        """Publish the status: at once when the phase changes or more is at stake, else once in `STATUS_S` at most."""
        same = phase in (None, self._phase) and fields.get("waiting", 0) <= self._at_stake.get("waiting", 0)
        self._at_stake |= {name: fields[name] for name in ("waiting", "since_ns") if name in fields}
        now_s = time.monotonic()
        if same and now_s - self._last_s < STATUS_S:
            return
        self._phase = phase or self._phase
        self._last_s = now_s
        status = WorkerStatus(
            worker=self.spec.worker,
            pid=os.getpid(),
            t_ns=time.monotonic_ns(),
            phase=self._phase,
            **(self._at_stake | fields),
        )
        self.publisher.publish(status, self.spec.worker)

    def ready(self, publisher: Publisher | EventPublisher | None = None) -> Clock:
        """Wait for the subscribers of `publisher` (default: this worker's), report ready, wait for the start.

        Returns the clock of the session. Raises Stopped when there will be none.
        """
        publisher = publisher or self.publisher
        deadline_s = time.monotonic() + PATIENCE_S
        while any(publisher.subscribers(topic) < n for topic, n in self.spec.consumers.items()):
            self._wait()
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{self.spec.worker}: nobody subscribed to {self.spec.consumers}")
        while not self.control.started.is_set():
            self._wait("ready")
        return SessionClock(self.control.start_ns, self.spec.session.speed)

    def stay(self) -> None:
        """Until the supervisor ends the session: what a reader that is behind has not taken yet waits here, and would
        be lost with this process, the end of the source with it.
        """
        while not self.control.stopped():
            self.beat("done")
            time.sleep(POLL_S)

    def _wait(self, phase: Phase | None = None) -> None:
        if self.control.stopped():
            raise Stopped
        self.beat(phase)
        self.control.started.wait(POLL_S)


def capture(shell: Shell) -> None:
    """A device or file -> `AudioChunk` or `VideoFrame`."""
    from erc_live.live.capture.source import open_source

    spec, control = shell.spec, shell.control
    assert spec.source is not None
    name = spec.source.name
    source = open_source(spec.source, spec.session.config.capture)
    try:
        clock = shell.ready()
        source.start(clock, control.start_ns)
        while not control.stopped() and not source.finished:
            for message in source.read(POLL_S):
                shell.publisher.publish(message, name)
            shell.beat(
                "running", dropped=source.dropped, note=source.note, level_db=source.level_db, rate_hz=source.rate_hz
            )
    finally:
        source.close()
    damage = source.note if source.finished else ""
    reason = damage or ("end of file" if source.finished else "stopped")
    shell.publisher.publish(SourceEnd(source=name, t_ns=clock.now_ns(), reason=reason), name)
    shell.stay()
    if damage:
        raise MediaError(damage)


def perception(shell: Shell) -> None:
    """`AudioChunk`, `VideoFrame` -> `UtteranceFeatures`; the analyser runs in one thread of its own."""
    from erc_live.live.session.engines import closing_note, front_end, load_engines

    spec, session = shell.spec, shell.spec.session
    with (
        closing(Subscriber(spec.upstream, spec.topics, keep_all=True)) as bus,
        ThreadPoolExecutor(1) as executor,
    ):
        transcript = Path(session.transcript) if session.transcript else None
        engines = load_engines(session.config, transcript)
        clock = shell.ready()
        restarted = shell.control.loss is not None  # then who knows the beginning is dead
        core = front_end(session, engines, clock, shell.control.start_ns, executor)
        _perceive(shell, bus, core, engines, clock)
        executor.shutdown(cancel_futures=True)
    note = "" if restarted else closing_note(core.account, engines.transcriber)
    end = SourceEnd(source=spec.worker, t_ns=clock.now_ns(), reason="all sources ended", note=note)
    shell.publisher.publish(end, spec.worker)
    shell.stay()


def _perceive(shell: Shell, bus: Subscriber, front_end: "FrontEnd", engines: "Engines", clock: Clock) -> None:
    """The loop of perception, until all sources have ended or the supervisor asks to stop."""
    speed = shell.spec.session.speed
    while not front_end.ended and not shell.control.stopped():
        for message in bus.receive(BUSY_POLL_S if front_end.busy else POLL_S):
            if isinstance(message, AudioChunk | VideoFrame | Gap | SourceEnd):
                front_end.feed(message, time.monotonic_ns())
            _pass_on(message, shell)
        shell.beat(
            "running",
            lag_s=front_end.lag_s(clock.now_ns()) / speed,
            note=engines.transcriber.name,
            warning=engines.warning,
            waiting=front_end.account.waiting,
            since_ns=front_end.account.since_ns,
        )
        for result in front_end.poll(clock.now_ns(), time.monotonic_ns()):
            shell.publisher.publish(result, shell.spec.worker if isinstance(result, Overload) else "")


def _pass_on(message: AnyMessage, shell: Shell) -> None:
    """A loss on the bus is noticed by who reads it, and told to all; so is, when sound comes again, what was lost with
    the process before this one.
    """
    name, control = shell.spec.worker, shell.control
    if isinstance(message, Gap) and message.cause == "bus":
        shell.publisher.publish(message, name)
    if control.loss and isinstance(message, AudioChunk | SourceEnd):
        (since_ns, lost), control.loss = control.loss, None
        until_ns = max(since_ns, message.t_ns)
        gap = Gap(source=name, t_start_ns=since_ns, t_end_ns=until_ns, lost=lost, cause="worker")
        shell.publisher.publish(gap, name)


def tracker(shell: Shell) -> None:
    """`UtteranceFeatures` -> `EmotionEvent` on the public stream."""
    from erc_live.live.tracking.tracker import SessionStart, Tracker
    from erc_live.models.checkpoint import load

    spec, control, config = shell.spec, shell.control, shell.spec.session.config
    with (
        closing(EventPublisher(spec.events, config.events.history)) as events,
        closing(Subscriber(spec.upstream, spec.topics)) as bus,
    ):
        checkpoint = load(config.tracker.weights)
        clock = shell.ready(events)
        start = SessionStart(spec.session.session, control.start_ns, time.time_ns())
        core = Tracker(checkpoint, start, clock, config.tracker.device)
        events.publish(core.hello())
        while not control.stopped():
            for message in bus.receive(POLL_S):
                if isinstance(message, UtteranceFeatures):
                    event = core.observe(message)
                    events.publish(structs.replace(event, t_published_ns=clock.now_ns()))
                elif isinstance(message, Relabel):
                    core.go_back(message)
                    events.publish(message)
                elif isinstance(message, Gap | Overload) and not _is_restart(message):
                    core.miss(message)
                    events.publish(message)
                elif isinstance(message, SourceEnd) and message.source == "perception":
                    events.publish(core.end(message.reason, message.note))
            events.poll()
            shell.beat("running", dropped=core.spoilt)


def _is_restart(message: Gap | Overload) -> bool:
    """Whether a gap only says that perception began again, which it and the supervisor tell better themselves."""
    return isinstance(message, Gap) and message.source == "features" and not message.lost


def recorder(shell: Shell) -> None:
    """Everything that the topics table records -> a bundle on disk."""
    from erc_live.live.session import recording

    spec = shell.spec
    with closing(Subscriber(spec.upstream, spec.topics, keep_all=True)) as bus:
        shell.ready()
        with recording.recorder(spec.session, shell.control.start_ns) as bundle:
            assert bundle is not None
            while (messages := bus.receive(STATUS_S)) or not shell.control.stopped():  # to the last message
                for message in messages:
                    bundle.write(message)
                shell.beat("running", note=spec.session.record)


def screen(shell: Shell) -> None:
    """Events and signs of life -> the terminal, or JSON lines where there is none."""
    spec, session = shell.spec, shell.spec.session
    stopped = shell.control.stopped
    with closing(Subscriber(spec.upstream, spec.topics)) as bus:
        if session.jsonl:
            from erc_live.live.screen import sinks

            sinks.run(bus, sys.stdout, stopped)
            return
        from rich.console import Console

        from erc_live.live.screen import dashboard

        view = dashboard.run(bus, Console(), session.config.dashboard.refresh_hz, stopped, session.speed)
    if session.picture and view.end:
        Path(session.picture).write_text(dashboard.screenshot(view, *SCREENSHOT, view.end.t_ns), encoding="utf-8")


SHELLS = {"capture": capture, "perception": perception, "tracker": tracker, "recorder": recorder, "screen": screen}


def main() -> int:
    """Run the worker that standard input describes. An error that a person can mend is the last line on standard
    error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the supervisor decides
    control = Control()
    shell = Shell(control)
    phase: Phase = "failed"
    try:
        SHELLS[control.spec.kind](shell)
        phase = "done"
    except Stopped:
        phase = "done"
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise  # our bug: loud
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - standard error is how a worker reports to its supervisor
        return code
    finally:
        shell.beat(phase)
        shell.publisher.close()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # at once: everything is closed, and taking torch apart lasts longer than a person waits
