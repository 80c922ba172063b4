"""One process of a session, as its supervisor sees it: started, told, judged by its signs of life, stopped, and why it
ended.

It learns what to be on its standard input (`workers.py`); the last line that it writes to standard error is its reason
when it dies. Everything that it writes there goes to the log file of the session.
"""

import logging
import re
import signal
import subprocess
import sys
import threading
import time
from typing import IO, NamedTuple

import msgspec
import psutil

from erc_live.live.errors import WorkerError
from erc_live.live.session.broker import SPARE
from erc_live.live.session.spec import Start, WorkerSpec, waits
from erc_live.streams.messages import WorkerStatus

MODULE = "erc_live.live.session.workers"
SILENT_S = 1.5  # without a sign of life and without work
IDLE_CPU_S = 0.02  # less than this of processor time is no work
READY_S = 600.0  # the slowest start: a large recogniser, on a small machine that does something else
BUSY_S = 20.0  # without a sign of life: it works, but not at what it should

_DIGITS = re.compile(r"[-+]?[\d.]+")

log = logging.getLogger(__name__)


class _Signs(NamedTuple):
    """The last sign of life: when. And what processor time had been used when somebody looked last."""

    at_s: float
    cpu_s: float
    looked_s: float


def publisher_name(spec: WorkerSpec, pid: int) -> str:
    """What a worker is called on the bus. Who reads a recording anew numbers all as the one before did, so it goes on
    under the same name; any other process begins anew.
    """
    if spec.source is not None and waits(spec.session, spec.source):
        return spec.worker
    return f"{spec.worker}:{pid}"


class Worker:
    """One running process: what it is, the newest sign of life, and the last line that it wrote to standard error."""

    def __init__(self, spec: WorkerSpec, logfile: str) -> None:
        self.spec = spec
        self.status: WorkerStatus | None = None
        self.begun = False  # it was told to start
        self.stopping = False
        self.last_line = ""
        self._logfile = logfile
        self._signs = _Signs(time.monotonic(), 0.0, 0.0)
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, self.name],  # the name is for who looks at `ps`
            stdin=subprocess.PIPE,
            stdout=None if spec.kind == "screen" else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the supervisor alone
            text=True,
        )
        self.send(msgspec.json.encode(spec).decode())
        self._listener = threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True)
        self._listener.start()

    @property
    def name(self) -> str:
        """What it is called; a spare is not yet what it stands in for."""
        return f"{SPARE}{self.spec.worker}" if self.spec.spare and not self.begun else self.spec.worker

    @property
    def publisher(self) -> str:
        """What it is called on the bus."""
        return publisher_name(self.spec, self.process.pid)

    @property
    def ready(self) -> bool:
        """Whether it waits for the start."""
        return self.status is not None and self.status.phase == "ready"

    def begin(self, start: Start) -> None:
        """Tell it when the media begins, or where to go on."""
        self.begun = True
        self._sign()
        self.send(f"start {msgspec.json.encode(start).decode()}")

    def alive(self, status: WorkerStatus) -> None:
        """It gave a sign of life."""
        self.status = status
        self._sign()

    def stuck(self, now_s: float) -> bool:
        """Whether it is there and answers no more: no sign of life for `SILENT_S` while it does nothing, or for
        `BUSY_S` whatever it does. Before it has begun it may load for `READY_S`; a screen waits for its terminal, which
        somebody may have stopped.
        """
        signs = self._signs
        if not (self.begun or self.stopping or self.spec.kind == "screen"):
            return now_s - signs.at_s >= READY_S
        if self.spec.kind == "screen" or not self.begun or self.stopping or now_s - signs.looked_s < SILENT_S:
            return False
        if now_s - signs.at_s >= BUSY_S:
            return True
        cpu_s = self._cpu_s()
        self._signs = signs._replace(cpu_s=cpu_s, looked_s=now_s)
        return self.spec.kind in ("perception", "tracker") and cpu_s - signs.cpu_s < IDLE_CPU_S

    def send(self, line: str) -> None:
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

    @property
    def exception(self) -> str:
        """What it raised, without the numbers in it; "" if it was killed."""
        self._listener.join(1.0)
        return "" if (self.process.returncode or 0) < 0 else _DIGITS.sub("", self.last_line or "died")

    def reason(self) -> str:
        """Why the worker ended, as it said itself."""
        self._listener.join(1.0)
        if self.last_line.startswith("error: "):
            return self.last_line.removeprefix("error: ")
        said = f": {self.last_line}" if self.last_line else ""
        return f"the {self.spec.worker} process {_fate(self.process.returncode)}{said}"

    def error(self) -> WorkerError:
        """The same as an error; where it is a bug of ours, with the log file that holds the rest."""
        reason = self.reason()
        if self.last_line.startswith("error: "):
            return WorkerError(reason, self.process.returncode)
        return WorkerError(f"{reason}; see {self._logfile}")

    def _sign(self) -> None:
        now_s = time.monotonic()
        self._signs = _Signs(now_s, self._cpu_s(), now_s)

    def _cpu_s(self) -> float:
        """Processor time that it has used."""
        try:
            used = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(used.user + used.system)

    def _listen(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                self.last_line = line.strip() or self.last_line
                log.info("%s", line.rstrip(), extra={"worker": self.spec.worker})


def _fate(code: int) -> str:
    """What an exit status says."""
    names = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names[-code]}" if -code in names else f"died (exit status {code})"
