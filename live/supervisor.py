"""Start the workers of a session, watch them, restart what may be restarted, and end in order.

The supervisor does no work of its own, so it answers at once: to Ctrl-C, to a worker that died, to the end of the
media. Capture of a device and perception are restarted, for what they lose is short and is announced as a `Gap`. The
tracker is not: with it the dialogue state is lost, and a session that goes on as if nothing had happened would be a
lie.
"""

import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import msgspec
from rich.console import Console
from rich.text import Text

from erc_live.live.errors import WorkerError
from erc_live.live.plan import Session, WorkerSpec, plan
from erc_live.streams.address import BusAddresses
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.clock import SessionClock
from erc_live.streams.messages import AnyMessage, Gap, SessionEnd, SourceEnd, WorkerStatus

POLL_S = 0.05
READY_S = 90.0  # the slowest start: a large recogniser on a small machine
DRAIN_S = 10.0  # after a request to stop: to finish the words that were being said
PATIENCE_S = 2.0  # of a person who pressed Ctrl-C and looks at a full screen
STOP_S = 5.0  # to close files and sockets
RESTARTS = 3
LEAD_NS = 200_000_000  # between the word to start and the first sample of a file

_DIGITS = re.compile(r"[-+]?[\d.]+")

log = logging.getLogger(__name__)
console = Console(stderr=True)


class Worker:
    """A running process and the last line that it wrote to standard error."""

    def __init__(self, spec: WorkerSpec, logfile: IO[str]) -> None:
        self.spec = spec
        self.restarts = 0
        self._logfile = logfile
        self._spawn()

    def _spawn(self) -> None:
        self.last_line = ""
        self.stopping = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "erc_live.live.workers", self.spec.worker],  # the name is for who looks at `ps`
            stdin=subprocess.PIPE,
            stdout=None if self.spec.kind == "screen" else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the supervisor alone
            text=True,
        )
        self.tell(msgspec.json.encode(self.spec).decode())
        self._listener = threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True)
        self._listener.start()

    def restart(self) -> None:
        self.restarts += 1
        self._spawn()

    def tell(self, line: str) -> None:
        """Write a line to the worker; one that is gone does not listen."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            log.debug("%s no longer listens", self.spec.worker)

    def stop(self) -> None:
        """Ask the worker to finish: the end of its standard input."""
        self.stopping = True
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            log.debug("%s no longer listens", self.spec.worker)

    def wait(self, seconds: float) -> None:
        """Give the worker time to end, then end it."""
        try:
            self.process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            log.warning("worker=%s killed: it did not stop in time", self.spec.worker)
            self.process.kill()
            self.process.wait()
        self._listener.join(1.0)

    def error(self) -> WorkerError:
        """Why the worker ended, as it said itself."""
        self._listener.join(1.0)
        code = self.process.returncode
        said = self.last_line.removeprefix("error: ")
        if self.last_line.startswith("error: "):
            return WorkerError(said, code)
        return WorkerError(
            f"the {self.spec.worker} process died (exit status {code}): {said}; see {self._logfile.name}"
        )

    def _listen(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                self.last_line = line.strip() or self.last_line
                self._logfile.write(f"{self.spec.worker}: {line}")
                self._logfile.flush()


class Supervisor:
    """`run` a session to its end. `observe` is called with each of its messages, events only if it has a reference."""

    def __init__(
        self, session: Session, logfile: Path, observe: Callable[[AnyMessage], None] = lambda message: None
    ) -> None:
        self._session = session
        self._observe = observe
        self._logfile = logfile
        self._workers: dict[str, Worker] = {}
        self._phases: dict[str, str] = {}
        self._ended: dict[str, SourceEnd] = {}
        self._devices = {source.name for source in session.sources}
        self._told: set[tuple[str, str]] = set()  # worker and note, less its numbers
        self._start = ""
        self._clock = SessionClock()
        self._over = False
        self._stop = threading.Event()
        self._failure: WorkerError | None = None

    def run(self) -> None:
        """Until the media ends, somebody stops it, or it cannot go on. Raises WorkerError with the reason and exit
        code.
        """
        with (
            closing(BusAddresses()) as addresses,
            self._logfile.open("a", encoding="utf-8") as logfile,
            self._signals(),
        ):
            specs = plan(self._session, addresses.endpoint)
            others = [address for worker, address in specs[0].addresses.items() if worker != "supervisor"]
            topics = ["status", "end", "session_end", *(["event"] if self._session.reference else [])]
            with (
                closing(Publisher(specs[0].addresses["supervisor"])) as publisher,
                closing(Subscriber(others, topics)) as bus,
            ):
                try:
                    for spec in specs:
                        self._workers[spec.worker] = Worker(spec, logfile)
                    if self._begin(bus, publisher):
                        self._watch(bus, publisher)
                finally:
                    self._finish()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """End the session in order; a second time, at once."""
        if self._stop.is_set():
            for worker in self._workers.values():
                worker.process.terminate()  # not killed: the screen gives the terminal back
        self._stop.set()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def on_signal(number: int, frame: object) -> None:
            self.stop()

        kinds = [signal.SIGINT, signal.SIGTERM]
        before = [signal.signal(kind, on_signal) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)

    def _begin(self, bus: Subscriber, publisher: Publisher) -> bool:
        """Wait until every worker is ready, then say when the media begins. False: somebody stopped it before."""
        deadline_s = time.monotonic() + READY_S
        while waiting := [name for name in self._workers if name != "screen" and self._phases.get(name) != "ready"]:
            self._hear(bus, publisher)
            if self._stop.is_set():
                return False
            for worker in self._workers.values():
                if worker.process.poll() is not None:
                    raise worker.error()
            if time.monotonic() > deadline_s:
                raise WorkerError(f"not ready after {READY_S:.0f} s: {', '.join(waiting)}; see {self._logfile}")
        start_ns = time.monotonic_ns() + LEAD_NS
        self._clock = SessionClock(start_ns, self._session.speed)
        self._start = f"start {start_ns}"
        for worker in self._workers.values():
            worker.tell(self._start)
        return True

    def _watch(self, bus: Subscriber, publisher: Publisher) -> None:
        """Until the tracker says that the session has ended."""
        asked_s = float("inf")
        while not self._over and time.monotonic() < asked_s + DRAIN_S:
            if self._stop.is_set() and asked_s == float("inf"):
                asked_s = time.monotonic()
                for worker in self._workers.values():
                    if worker.spec.kind == "capture":
                        worker.stop()
            if time.monotonic() > asked_s + PATIENCE_S and not self._workers["screen"].stopping:
                self._workers["screen"].stop()  # give the terminal back
                console.print("Finishing what was being said; Ctrl-C again ends at once.")
            self._hear(bus, publisher)
            for worker in self._workers.values():
                if not worker.stopping and worker.process.poll() is not None:
                    self._died(worker, publisher)

    def _hear(self, bus: Subscriber, publisher: Publisher) -> None:
        for message in bus.receive(POLL_S):
            self._observe(message)
            match message:
                case WorkerStatus():
                    self._phases[message.worker] = message.phase
                    if message.phase == "ready" and self._start:  # a worker that was restarted
                        self._workers[message.worker].tell(self._start)
                        for end in self._ended.values():
                            publisher.publish(end, "supervisor")
                    self._tell(message)
                case SourceEnd():
                    self._ended[message.source] = message
                case SessionEnd():
                    self._over = True

    def _tell(self, status: WorkerStatus) -> None:
        """Say once, where no dashboard does, what is to be known about a device or its sound."""
        kind = (status.worker, _DIGITS.sub("", status.note))
        if status.note and self._session.as_lines and status.worker in self._devices and kind not in self._told:
            self._told.add(kind)
            console.print(Text(f"{status.worker}: {status.note}"), soft_wrap=True)

    def _died(self, worker: Worker, publisher: Publisher) -> None:
        """Decide what the end of a worker means for the session."""
        worker.stopping = True
        kind, name, ok = worker.spec.kind, worker.spec.worker, worker.process.returncode == 0
        if kind == "screen":  # its reader left
            self._stop.set()
        elif kind == "recorder":
            self._failure = worker.error()  # the session goes on, and says at its end that the recording did not
        elif kind == "tracker":
            raise worker.error()
        elif name in self._ended:  # it gave all it had, and says why that was not everything
            self._failure = self._failure if ok else worker.error()
        elif not ok:
            log.warning("worker=%s %s", name, worker.error())
            now_ns = self._clock.now_ns()
            lost = Gap(source=name, t_start_ns=now_ns, t_end_ns=now_ns, lost=0, cause="device")
            publisher.publish(lost, "supervisor")
            if worker.restarts < RESTARTS and (kind == "perception" or _is_device(worker.spec)):
                worker.restart()
            elif kind == "perception":
                raise worker.error()
            else:
                end = SourceEnd(source=name, t_ns=now_ns, reason="its process died")
                self._ended[name] = end
                publisher.publish(end, "supervisor")

    def _finish(self) -> None:
        """Stop what still runs: what feeds first, what keeps and shows last."""
        deadline_s = time.monotonic() + STOP_S
        for worker in reversed(self._workers.values()):
            worker.stop()
            if not self._start:  # nothing has begun, so nothing can be lost; and who loads models does not listen
                worker.process.terminate()
        for worker in reversed(self._workers.values()):
            worker.wait(deadline_s - time.monotonic())


def _is_device(spec: WorkerSpec) -> bool:
    """Whether opening the source anew goes on where it is now; a file would begin again."""
    return spec.source is not None and spec.source.medium in ("device", "url")
