"""What every worker has: the orders of its supervisor, a place to publish, and a sign of life now and then."""

import os
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any

import msgspec

from erc_live.live.session.broker import SPARE
from erc_live.live.session.heap import Heap
from erc_live.live.session.spec import Start, WorkerSpec, waits
from erc_live.live.session.worker_process import publisher_name
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.clock import Clock, SessionClock
from erc_live.streams.curve_keys import KeyPair
from erc_live.streams.messages import Phase, WorkerStatus
from erc_live.streams.ring import Retention

POLL_S = 0.02
STATUS_S = 0.25
ORPHANED_S = 12.0  # after the request to stop, in case nobody is left to end the process


class Stopped(Exception):
    """The supervisor asked to stop before the session began."""


class Control:
    """The supervisor's side of standard input: what to be, when to start, when to stop."""

    def __init__(self) -> None:
        self.spec = msgspec.json.decode(sys.stdin.readline(), type=WorkerSpec)
        self.start = Start(t_ns=0)
        self.started = threading.Event()
        self.excused: list[str] = []  # readers that are waited for no more
        self.paused = False
        self._stopped = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def stopped(self) -> bool:
        """Whether the supervisor asked to stop, or is gone."""
        return self._stopped.is_set()

    def take(self, line: str) -> None:
        """One order."""
        word, _, value = line.strip().partition(" ")
        match word:
            case "start":
                self.start = msgspec.json.decode(value, type=Start)
                self.started.set()
            case "excuse":
                self.excused.append(value)
            case "pause" | "resume":
                self.paused = word == "pause"

    def _read(self) -> None:
        for line in sys.stdin:
            self.take(line)
        self._stopped.set()
        time.sleep(ORPHANED_S)
        os._exit(1)


class Shell:
    """What every worker has: its orders, a place to publish, and a sign of life several times a second."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.spec = control.spec
        self.publisher = Publisher(
            self.spec.address, publisher_name(self.spec, os.getpid()), _retention(self.spec), _pair(self.spec)
        )
        self._phase: Phase = "starting"
        self._last_s = 0.0
        self.published: dict[str, Any] = {}
        self._heap = Heap()
        self._warnings = SimpleQueue[str]()

    def subscribe(self, **begin: Any) -> Subscriber:
        """Listen to all that this worker subscribes to."""
        return Subscriber(self.spec.upstream, self.spec.topics, self.spec.worker, pair=_pair(self.spec), **begin)

    def beat(self, phase: Phase | None = None, **fields: Any) -> None:
        """Publish the status: at once when the phase changes or more is at stake, else once in `STATUS_S` at most."""
        self.publisher.poll()
        while not self._warnings.empty():
            self._publish(self.published | {"warning": self._warnings.get()})
        self._heap.trim()
        same = phase in (None, self._phase) and fields.get("waiting", 0) <= self.published.get("waiting", 0)
        now_s = time.monotonic()
        if same and now_s - self._last_s < STATUS_S:
            return
        self.published |= fields
        self._phase = phase or self._phase
        self._last_s = now_s
        self._publish(self.published)

    def warn(self, line: str) -> None:
        """Tell people, through the supervisor, with the next sign of life; of any thread."""
        self._warnings.put(line)

    def _publish(self, fields: dict[str, Any]) -> None:
        spare = self.spec.spare and not self.control.started.is_set()
        status = WorkerStatus(
            worker=SPARE + self.spec.worker if spare else self.spec.worker,
            pid=os.getpid(),
            t_ns=time.monotonic_ns(),
            phase=self._phase,
            **fields,
        )
        self.publisher.publish(status)

    def ready(self) -> Clock:
        """Report ready, wait for the start, and return the clock of the session. Raises Stopped when there is none."""
        while not self.control.started.is_set():
            if self.control.stopped():
                raise Stopped
            self.beat("ready", note="")
            self.control.started.wait(POLL_S)
        session = self.spec.session
        return SessionClock(self.control.start.t_ns if session.speed != 1.0 else 0, session.speed)

    def stay(self) -> None:
        """Until the supervisor ends the session: what a reader that is behind has not taken yet waits here, and would
        be lost with this process, the end of the source with it.
        """
        while not self.control.stopped():
            self.beat("done")
            time.sleep(POLL_S)


def _pair(spec: WorkerSpec) -> KeyPair | None:
    return None if spec.pair is None else KeyPair(*spec.pair)


def _retention(spec: WorkerSpec) -> Retention:
    """A device cannot wait for its readers; a recording can."""
    if spec.source is None or waits(spec.session, spec.source):
        return Retention(readers=spec.readers)
    return Retention(keep_s=spec.session.config.capture.ring_s)
