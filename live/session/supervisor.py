"""Start the workers of a session, watch them, restart what may be restarted, and end in order.

The supervisor does no work of its own, so it answers at once: to Ctrl-C, to a worker that died, to the end of the
media. What the end of a worker means stands in its spec: capture of a device and perception are restarted, for what
they lose is short and is announced as a `Gap`. The tracker is not: with it the dialogue state is lost, and a session
that goes on as if nothing had happened would be a lie.

The rule of this file: no worker dies in silence. It is announced on standard error, on the screen and in the stream,
and a session that lost what somebody said does not end as if all were well.
"""

import logging
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.text import Text

from erc_live.live.errors import WorkerError
from erc_live.live.screen.console import err
from erc_live.live.session.spec import SessionSpec, plan
from erc_live.live.session.worker_process import Worker
from erc_live.streams.address import BusAddresses
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.clock import SessionClock
from erc_live.streams.errors import AddressError
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import AnyMessage, EmotionEvent, Gap, SessionEnd, SourceEnd, WorkerStatus

POLL_S = 0.05
READY_S = 90.0  # the slowest start: a large recogniser on a small machine
DRAIN_S = 10.0  # after a request to stop: to finish the words that were being said
PATIENCE_S = 2.0  # of a person who pressed Ctrl-C and looks at a full screen
STOP_S = 5.0  # to close files and sockets
HANDOVER_S = 0.5  # for subscribers to find who speaks in the place of a dead tracker; they try every 50 to 100 ms
LEAD_NS = 200_000_000  # between the word to start and the first sample of a file

_DIGITS = re.compile(r"[-+]?[\d.]+")

log = logging.getLogger(__name__)


class Supervisor:
    """`run` a session to its end. `observe` is called with each message that it hears of."""

    def __init__(
        self, session: SessionSpec, logfile: Path, observe: Callable[[AnyMessage], None] = lambda message: None
    ) -> None:
        self._session = session
        self._observe = observe
        self._logfile = logfile
        self._workers: dict[str, Worker] = {}
        self._statuses: dict[str, WorkerStatus] = {}  # the newest of each process that runs
        self._unpublished: dict[str, tuple[int, int]] = {}  # worker -> from when on, and how many utterances it lost
        self._dead: set[int] = set()  # process ids
        self._ended: dict[str, SourceEnd] = {}
        self._devices = {source.name for source in session.sources}
        self._printed: set[tuple[str, str]] = set()  # worker and note, less its numbers
        self._start = ""
        self._clock = SessionClock()
        self._over = False
        self._at_once = False
        self._stop = threading.Event()
        self._failure: WorkerError | None = None
        self._lines: list[str] = []  # for standard error, once the terminal is given back
        self._published = 0  # utterances
        self._lost = 0
        self._deaths = 0

    def run(self) -> None:
        """Until the media ends, somebody stops it, or it cannot go on. Raises WorkerError with the reason and exit
        code.
        """
        with (
            closing(BusAddresses()) as addresses,
            self._logfile.open("a", encoding="utf-8") as logfile,
            self._signals(),
        ):
            session = plan(self._session, addresses.endpoint)
            with (
                closing(Publisher(session.supervisor)) as publisher,
                closing(Subscriber(session.upstream, session.topics)) as bus,
            ):
                try:
                    for spec in session.workers:
                        self._workers[spec.worker] = Worker(spec, logfile)
                    if self._begin(bus, publisher):
                        self._watch(bus, publisher)
                finally:
                    self._finish()
        self._judge()

    def stop(self) -> None:
        """End the session in order; a second time, at once."""
        if self._stop.is_set():
            self._at_once = True
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
        while waiting := [name for name in self._workers if name != "screen" and not self._is_ready(name)]:
            self._receive(bus, publisher)
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
            worker.send(self._start)
        return True

    def _watch(self, bus: Subscriber, publisher: Publisher) -> None:
        """Until the tracker says that the session has ended."""
        asked_s = float("inf")
        while not (self._over or self._at_once) and time.monotonic() < asked_s + DRAIN_S:
            if self._stop.is_set() and asked_s == float("inf"):
                asked_s = time.monotonic()
                for worker in self._workers.values():
                    if worker.spec.kind == "capture":
                        worker.stop()
            if time.monotonic() > asked_s + PATIENCE_S and not self._workers["screen"].stopping:
                self._workers["screen"].stop()  # give the terminal back
                self._workers["screen"].wait(PATIENCE_S)
                err.print("Finishing what was being said; Ctrl-C again ends at once.")
            self._receive(bus, publisher)
            self._look_for_the_dead(bus, publisher)
        if not self._over:
            self._cut_short(bus, publisher)

    def _look_for_the_dead(self, bus: Subscriber, publisher: Publisher) -> None:
        for worker in self._workers.values():
            if not worker.stopping and worker.process.poll() is not None and not self._at_once:
                self._receive(bus, publisher)  # its last words
                self._died(worker, publisher)

    def _receive(self, bus: Subscriber, publisher: Publisher) -> None:
        for message in bus.receive(POLL_S):
            self._observe(message)
            match message:
                case WorkerStatus():
                    self._note(message, publisher)
                case SourceEnd():
                    self._ended[message.source] = message
                case EmotionEvent():
                    self._published = max(self._published, message.index + message.final)
                case SessionEnd():
                    self._over = True
                    self._print(message.note)

    def _note(self, status: WorkerStatus, publisher: Publisher) -> None:
        """A sign of life."""
        name = status.worker
        if status.pid in self._dead:  # said before it died
            return
        self._statuses[name] = status
        if status.phase == "ready" and self._start:  # a worker that was restarted
            loss = " ".join(map(str, self._unpublished.get(name, ())))
            self._workers[name].send(f"{self._start} {loss}".rstrip())
            for end in self._ended.values():
                publisher.publish(end, "supervisor")
        if status.since_ns is not None:  # it hears again, and has told what was lost before
            self._unpublished.pop(name, None)
        self._print_notes(status)

    def _is_ready(self, name: str) -> bool:
        return name in self._statuses and self._statuses[name].phase == "ready"

    def _print_notes(self, status: WorkerStatus) -> None:
        """Say once what is to be known about a device or its sound where no dashboard does, and any warning."""
        if status.worker in self._devices and self._session.jsonl:
            self._print_once(status.worker, status.note, f"{status.worker}: {status.note}")
        self._print_once(status.worker, status.warning, status.warning)

    def _print_once(self, worker: str, note: str, line: str) -> None:
        kind = (worker, _DIGITS.sub("", note))
        if note and kind not in self._printed:
            self._printed.add(kind)
            self._print(line)

    def _print(self, line: str) -> None:
        """A line for people on standard error: at once where lines are written, else when the dashboard has gone."""
        if not line:
            return
        log.info(line)
        if self._session.jsonl:
            err.print(Text(line), soft_wrap=True)
        else:
            self._lines.append(line)

    def _died(self, worker: Worker, publisher: Publisher) -> None:
        """Do what the spec of the worker says that its end means for the session."""
        worker.stopping = True
        ending, name, ok = worker.spec.ending, worker.spec.worker, worker.process.returncode == 0
        if ending.then == "stop":
            self._stop_in_order(worker)
        elif name in self._ended:  # it gave all it had, and says why that was not everything
            self._failure = self._failure if ok else worker.error()
        elif worker.restarts < ending.restarts:
            self._announce(worker, publisher, f"it is started again, time {worker.restarts + 1} of {ending.restarts}")
            worker.restart()
        else:
            self._failure = worker.error() if ending.required else self._failure
            self._do_without(worker, publisher)

    def _stop_in_order(self, worker: Worker) -> None:
        """A reader that leaves its pipe ends a session in order; whoever kills the screen does not."""
        self._stop.set()
        if worker.process.returncode != 0:
            self._failure = worker.error()
        elif not (self._session.jsonl or self._over):
            self._failure = WorkerError("the screen was ended by somebody, and the session with it")

    def _do_without(self, worker: Worker, publisher: Publisher) -> None:
        """A worker died that is not started again."""
        name = worker.spec.worker
        match worker.spec.ending.then:
            case "end session":
                self._over = True
                self._announce(worker, publisher, "the session ends with it")
                self._publish_end(worker.reason())
            case "go on":
                self._announce(worker, publisher, "nothing is recorded from here on")
                for other in self._workers.values():
                    other.do_without_a_reader()
            case "end source":
                self._announce(worker, publisher, "nothing more comes of it")
                self._publish_loss(name, publisher)
                end = SourceEnd(source=name, t_ns=self._clock.now_ns(), reason=worker.reason())
                self._ended[name] = end
                publisher.publish(end, "supervisor")  # of perception, the tracker ends the session at that

    def _announce(self, worker: Worker, publisher: Publisher, consequence: str) -> None:
        """Tell people and programs that a worker died. What perception lost is published when its end is known."""
        name, now_ns = worker.spec.worker, self._clock.now_ns()
        line = f"{worker.error()}; {consequence}"
        self._deaths += 1
        self._print(line)
        status = WorkerStatus(
            worker=name,
            pid=worker.process.pid,
            t_ns=time.monotonic_ns(),
            phase="failed",
            note=worker.reason().removeprefix(f"the {name} process "),
            warning=line,
        )
        publisher.publish(status, name)
        self._publish_loss(name, publisher)  # of one that died before it heard anything
        self._unpublished[name] = now_ns, 0
        if last := self._statuses.pop(name, None):
            self._dead.add(last.pid)
            self._lost += last.waiting
            self._unpublished[name] = min(last.since_ns or now_ns, now_ns), last.waiting
        if worker.spec.kind != "perception":
            self._publish_loss(name, publisher)

    def _publish_loss(self, name: str, publisher: Publisher) -> None:
        """What was lost with a worker, to this moment."""
        if name in self._unpublished:
            since_ns, lost = self._unpublished.pop(name)
            end_ns = max(since_ns, self._clock.now_ns())
            gap = Gap(source=name, t_start_ns=since_ns, t_end_ns=end_ns, lost=lost, cause="worker")
            publisher.publish(gap, "supervisor")

    def _publish_end(self, reason: str) -> None:
        """Say in the place of a dead tracker that the session has ended, to those who listened to it."""
        end = SessionEnd(
            session=self._session.session,
            t_ns=self._clock.now_ns(),
            utterances=self._published,
            reason=reason,
            lost=self._lost + self._waiting,
            deaths=self._deaths,
        )
        try:
            with closing(EventPublisher(self._session.config.events.endpoint, history=1)) as events:
                until_s = time.monotonic() + HANDOVER_S
                while time.monotonic() < until_s:
                    events.poll()
                    time.sleep(POLL_S)
                events.publish(end)
        except AddressError as error:
            log.warning("nobody could be told of the end: %s", error)

    @property
    def _waiting(self) -> int:
        """Utterances that perception has begun and not given on."""
        status = self._statuses.get("perception")
        return status.waiting if status else 0

    def _cut_short(self, bus: Subscriber, publisher: Publisher) -> None:
        """Somebody wants the end and time is up: what still waits is lost, and that is said."""
        waiting, perception = self._waiting, self._workers["perception"]
        perception.stopping = True
        perception.process.kill()
        if waiting:
            self._print(f"{waiting} of the utterances that were begun were not finished in time, and are lost")
        if waiting and not self._published:
            self._failure = self._failure or WorkerError("of what was said, nothing was classified before the end")
        now_ns = self._clock.now_ns()
        since_ns = self._statuses["perception"].since_ns if waiting else None
        gap = Gap(source="perception", t_start_ns=since_ns or now_ns, t_end_ns=now_ns, lost=waiting, cause="overload")
        if waiting:
            publisher.publish(gap, "supervisor")
        publisher.publish(SourceEnd(source="perception", t_ns=now_ns, reason="stopped"), "supervisor")
        until_s = time.monotonic() + HANDOVER_S
        while not (self._over or self._at_once) and time.monotonic() < until_s:
            self._receive(bus, publisher)

    def _judge(self) -> None:
        """Say what is left to say, and raise what the session failed of. What was lost with a worker is a failure."""
        if self._failure is None and self._lost:
            lost = "1 utterance was" if self._lost == 1 else f"{self._lost} utterances were"
            self._failure = WorkerError(f"{lost} lost with a process that died; see {self._logfile}")
        for line in self._lines:
            if not (self._failure and line.startswith(str(self._failure))):
                err.print(Text(line), soft_wrap=True)
        if self._failure:
            raise self._failure

    def _finish(self) -> None:
        """Stop what still runs: what feeds first, what keeps and shows last."""
        deadline_s = time.monotonic() + STOP_S
        for worker in reversed(self._workers.values()):
            worker.stop()
            if not self._start:  # nothing has begun, so nothing can be lost; and who loads models does not listen
                worker.process.terminate()
        for worker in reversed(self._workers.values()):
            worker.wait(deadline_s - time.monotonic())
        for worker in self._workers.values():  # a file that broke off is a failure, however the session ended
            if worker.spec.kind == "capture" and worker.spec.worker in self._ended and worker.process.returncode > 0:
                self._failure = self._failure or worker.error()
