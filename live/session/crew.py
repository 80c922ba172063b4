"""The processes of a session: started, watched, and replaced where one dies or no longer answers.

Who takes the place of a dead one goes on where that one was: perception hears again what was not worked off, the
tracker reads the log of the session from the start and says what is new, the recorder opens its bundle again. So a
death loses nothing but time; of a device, what is older than its ring (`streams/ring.py`). For perception and
tracker, which load for seconds, spares stand ready where somebody waits for the answers.
The rule of this file: no worker dies in silence. Each death is a `WorkerLost`: in the stream, on the screen, in a line.
"""

import logging
import signal
import time
from collections.abc import Callable

from msgspec import structs

from erc_live.live.errors import WorkerError
from erc_live.live.session.broker import Broker
from erc_live.live.session.restarts import Restarts
from erc_live.live.session.spec import SessionSpec, Start, WorkerSpec, plan, waits
from erc_live.live.session.worker_process import Worker
from erc_live.streams.address import BusAddresses
from erc_live.streams.messages import SourceEnd, WorkerLost, WorkerStatus

SPARES = ("perception", "tracker")
SPARE_AFTER_S = 3.0  # of a session, and of each other: spares load when the rest has settled
LATE_S = 0.5  # a supervisor that looks so late judges nobody: the whole machine was late

log = logging.getLogger(__name__)


class Crew:
    """`start`, `begin`, then `watch` often. `say` a line to people."""

    def __init__(
        self,
        session: SessionSpec,
        addresses: BusAddresses,
        broker: Broker,
        logfile: str,
        say: Callable[[str], None],
    ) -> None:
        self.workers: dict[str, Worker] = {}
        self.failure: WorkerError | None = None
        self.ended: dict[str, SourceEnd] = {}  # of sources
        self.paused = False  # nothing is to be listened to or looked at
        self.reader_left = False  # who read the lines of the session reads no more
        self._session = session
        self._addresses = addresses
        self._broker = broker
        self._logfile = logfile
        self._say = say
        self._start: Start | None = None
        self._spares: dict[str, Worker] = {}
        self._spares_due_s: dict[str, float] = {}
        self._restarts: dict[str, Restarts] = {}
        self._missing_s: dict[str, float] = {}  # since when who is replaced does not work
        self._due: dict[str, tuple[float, WorkerSpec]] = {}  # who is started again, when
        self._looked_s = time.monotonic()
        self.since_ns: dict[str, int] = {}  # what perception said last of what is worked off
        self._places = 0

    def start(self) -> None:
        """Start every worker; they load, and wait."""
        for spec in plan(self._session, self._addresses.endpoint).workers:
            self._spawn(spec)

    def waiting(self) -> list[str]:
        """Who is not ready, and what they load. Raises WorkerError if one has died."""
        for worker in self.workers.values():
            if worker.process.poll() is not None:
                raise worker.error()
        waiting = [worker for worker in self.workers.values() if not worker.ready and worker.spec.kind != "screen"]
        notes = {worker.name: worker.status.note for worker in waiting if worker.status is not None}
        return [f"{worker.name} ({note})" if (note := notes.get(worker.name)) else worker.name for worker in waiting]

    def show_who_loads(self) -> None:
        """Give a sign of life for those who cannot while they load, so that the screen says what is awaited."""
        for name, worker in self.workers.items():
            if worker.status is None and worker.spec.kind != "screen":
                now_ns = time.monotonic_ns()
                loading = WorkerStatus(worker=name, pid=0, t_ns=now_ns, phase="starting", note="loading")
                self._broker.report(loading)

    def begin(self, start: Start) -> None:
        """Tell all when the media begins."""
        self._start = start
        for worker in self.workers.values():
            worker.begin(start)
        if self._session.hurry and self._session.config.supervisor.spares:
            now_s = time.monotonic()
            self._spares_due_s = {name: now_s + n * SPARE_AFTER_S for n, name in enumerate(SPARES, 1)}

    def note(self, status: WorkerStatus) -> None:
        """A sign of life."""
        for worker in (*self.workers.values(), *self._spares.values()):
            if worker.process.pid != status.pid:
                continue
            worker.alive(status)
            self.since_ns = status.since_ns or self.since_ns
            if status.phase == "running" and status.worker in self._missing_s:
                away_s = time.monotonic() - self._missing_s.pop(status.worker)
                self._say(f"{status.worker} works again after {away_s:.1f} s")
            if worker.ready and self._start is not None and not (worker.begun or worker.spec.spare):
                if self.paused and worker.spec.kind == "capture":
                    worker.send("pause")  # before it listens
                worker.begin(self._going_on(worker.spec))

    @property
    def complete(self) -> bool:
        """Whether nobody is missing or still loads."""
        return not self._due and all(worker.begun for worker in self.workers.values())

    def watch(self, stopping: bool) -> None:
        """Replace who died or is stuck, unless all are to end (`stopping`); start who is due."""
        now_s = time.monotonic()
        judged, self._looked_s = now_s - self._looked_s < LATE_S, now_s
        for worker in list(self.workers.values()):
            dead = worker.process.poll() is not None
            if not dead and judged and worker.stuck(now_s):
                log.warning("worker=%s stuck: it is ended", worker.name)
                worker.process.kill()
                worker.process.wait()
                worker.last_line = worker.last_line or "no sign of life"
                dead = True
            if dead and not worker.stopping:
                self._died(worker, now_s)
        for name, (due_s, spec) in [*self._due.items()]:
            if now_s >= due_s:
                del self._due[name]
                self._replace(spec)
        if not stopping:
            self._keep_spares(now_s)

    def _keep_spares(self, now_s: float) -> None:
        for name, spare in [*self._spares.items()]:
            if spare.process.poll() is not None:
                self._say(f"{spare.error()}; another one is started")
                self._broker.bar(spare.publisher, spare.spec.address)
                del self._spares[name]
                self._spares_due_s[name] = now_s + 2 * SPARE_AFTER_S
        for name, due_s in [*self._spares_due_s.items()]:
            if now_s >= due_s:
                del self._spares_due_s[name]
                self._spares[name] = self._process(structs.replace(self.workers[name].spec, spare=True))

    def stop_capture(self) -> None:
        """Ask all sources to end."""
        for worker in self.workers.values():
            if worker.spec.kind == "capture":
                worker.stop()

    def send(self, kind: str, line: str) -> None:
        """Write a line to all workers of a kind."""
        for worker in self.workers.values():
            if worker.spec.kind == kind:
                worker.send(line)

    def terminate(self) -> None:
        """End all at once, but let the screen give the terminal back."""
        for worker in self.workers.values():
            worker.process.terminate()

    def finish(self, deadline_s: float) -> None:
        """End who still runs: what feeds first, what keeps and shows last."""
        every = [*self.workers.values(), *self._spares.values()]
        for worker in reversed(every):
            worker.stop()
            if not worker.begun:  # nothing is lost with it; and who loads models does not listen
                worker.process.terminate()
        for worker in reversed(every):
            worker.wait(deadline_s - time.monotonic())
        for worker in self.workers.values():  # a file that broke off is a failure, however the session ended
            broke_off = worker.spec.worker in self.ended and worker.process.returncode > 0
            unfinished = worker.spec.kind == "recorder" and worker.process.returncode not in (0, -signal.SIGTERM)
            if (worker.spec.kind == "capture" and broke_off) or unfinished:  # or a recording that was not closed
                self.failure = self.failure or worker.error()

    def _spawn(self, spec: WorkerSpec) -> None:
        self.workers[spec.worker] = self._process(spec)

    def _process(self, spec: WorkerSpec) -> Worker:
        """Start a process where nobody else publishes; of a capture worker readers know the place."""
        if spec.kind != "capture":
            self._places += 1
            spec = structs.replace(spec, address=self._addresses.endpoint(f"{spec.worker}-{self._places}"))
        spec = structs.replace(spec, pair=self._addresses.pair)
        self._broker.connect(spec.address)
        return Worker(spec, self._logfile)

    def _died(self, worker: Worker, now_s: float) -> None:
        worker.stopping = True
        spec, name = worker.spec, worker.spec.worker
        for _ in range(3):
            self._broker.receive(0.0)  # its last words
        if spec.kind != "capture":
            self._broker.bar(
                worker.publisher, spec.address
            )  # what is still on its way would be heard again from the next one
        if name in self.ended and spec.source is not None and not waits(self._session, spec.source):
            self.failure = self.failure if worker.process.returncode == 0 else self.failure or worker.error()
            self._broker.end_source(self.ended[name])  # its readers may not have come to the end, and do not now
            return
        if spec.kind == "screen" and not self._session.dashboard and worker.process.returncode == 0:
            self.reader_left = True
            self._broker.excuse(name)
            return
        restarts = self._restarts.setdefault(name, Restarts())
        wait_s = restarts.died(now_s, worker.exception)
        if wait_s is None:
            self._do_without(worker, restarts.count)
            return
        self._announce(worker, "it is started again", restarts.count, 0)
        self._missing_s.setdefault(name, now_s)
        self._due[name] = now_s + wait_s, structs.replace(spec, spare=False)

    def _replace(self, spec: WorkerSpec) -> None:
        """A new process goes on in the place of a dead one: the spare, if it is ready."""
        spare = self._spares.get(spec.worker)
        if spare is not None and spare.ready:
            self.workers[spec.worker] = self._spares.pop(spec.worker)
            self._spares_due_s[spec.worker] = time.monotonic() + SPARE_AFTER_S
            spare.begin(self._going_on(spec))
            return
        if spec.kind == "screen":
            number = self._broker.awaited_by(spec.worker) if not self._session.dashboard else 0
            self._spawn(structs.replace(spec, number=number))
            self.workers[spec.worker].begin(self._going_on(spec))
            return
        self._spawn(spec)

    def _going_on(self, spec: WorkerSpec) -> Start:
        """Where a new process goes on."""
        assert self._start is not None
        assert self._broker.clock is not None
        if spec.source is not None:
            at_ns = self._start.t_ns if waits(self._session, spec.source) else self._broker.clock.now_ns()
            return structs.replace(self._start, anew=True, at_ns=at_ns)
        number, seq = self._broker.resume
        log_ns = self._broker.last_end_ns  # may know more of an utterance than the last sign of life did
        return structs.replace(
            self._start,
            anew=True,
            since_ns={name: max(t_ns, log_ns.get(name, 0)) for name, t_ns in self.since_ns.items()},
            context=tuple(self._broker.context),
            voices=self._broker.voices,
            number=number,
            seq=seq,
        )

    def _do_without(self, worker: Worker, restarts: int) -> None:
        """It died of the same again: no restart mends that."""
        name, ending = worker.spec.worker, worker.spec.ending
        if ending.required:
            self.failure = self.failure or worker.error()
        lost = worker.status.waiting if worker.status else 0
        consequence = {
            "end session": "the session ends with it",
            "end source": "nothing more comes of it",
            "go on": "nothing is recorded from here on" if name == "recorder" else "the session goes on without it",
        }[ending.then]
        self._announce(worker, consequence, restarts, lost)
        match ending.then:
            case "end session":
                self._broker.end(worker.reason())
            case "go on":
                self._broker.excuse(name)
                self.send("capture", f"excuse {name}")
            case "end source":
                assert self._broker.clock is not None
                self._broker.end_source(
                    SourceEnd(source=name, t_ns=self._broker.clock.now_ns(), reason=worker.reason())
                )

    def _announce(self, worker: Worker, consequence: str, restarts: int, lost: int) -> None:
        """Tell people and programs that a worker died."""
        assert self._broker.clock is not None
        name, line = worker.spec.worker, f"{worker.error()}; {consequence}"
        self._say(line)
        reason = worker.reason().removeprefix(f"the {name} process ")
        self._broker.report(
            WorkerStatus(
                worker=name,
                pid=worker.process.pid,
                t_ns=time.monotonic_ns(),
                phase="failed",
                note=reason,
                warning=line,
            )
        )
        self._broker.report(
            WorkerLost(
                t_ns=self._broker.clock.now_ns(),
                worker=name,
                reason=reason,
                consequence=consequence,
                restarts=restarts,
                lost=lost,
            )
        )
