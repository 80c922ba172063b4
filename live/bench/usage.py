"""What processes take from the processors, read from outside while they run.

A process takes its figures with it when it ends, so those of a session are read again and again; what one did after the
last reading is not known. What a worker starts is the worker's (pocketsphinx is a process of its own), and of a worker
that was started again both count.
"""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

import psutil

EVERY_S = 0.5  # between readings: a fraction of a millisecond for each process
_SEARCH_S = 5.0  # between searches for processes that were started again; a search reads all of the machine
SUPERVISOR = "supervisor"
_WORKERS = "erc_live.live.session.workers"  # the module after whose name a worker's own stands


class Usage:
    """Reads in a thread of its own while it is entered; `begin` says from when on usage counts."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._processes: dict[int, tuple[str, Any]] = {}
        self._used_s: dict[int, float] = {}
        self._before_s: dict[int, float] = {}
        self._searched_s = -_SEARCH_S
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Count from now on."""
        with self._lock:
            self._search()
            self._read()
            self._before_s = dict(self._used_s)

    def used_s(self) -> dict[str, float]:
        """Processor time of each worker since `begin`, in s; that of what started them is `SUPERVISOR`."""
        found: dict[str, float] = {}
        with self._lock:
            for pid, used_s in self._used_s.items():
                name = self._processes[pid][0]
                found[name] = found.get(name, 0.0) + used_s - self._before_s.get(pid, 0.0)
        return found

    def __enter__(self) -> "Usage":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY_S):
            with self._lock:
                if time.monotonic() - self._searched_s >= _SEARCH_S:
                    self._search()
                self._read()

    def _search(self) -> None:
        self._searched_s = time.monotonic()
        try:
            running = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return
        for process in running:  # who was started comes after who started it
            try:
                parent = self._processes.get(process.ppid(), (SUPERVISOR,))[0]
                name = _name(process.cmdline()) or parent
            except psutil.Error:
                continue
            self._processes.setdefault(process.pid, (name, process))

    def _read(self) -> None:
        for pid, (_, process) in self._processes.items():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            self._used_s[pid] = times.user + times.system


def used_here_s() -> float:
    """Processor time of this process and of all that it started and that still run, in s."""
    used_s = time.process_time()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            used_s += times.user + times.system
    return used_s


def _name(command: list[str]) -> str:
    """What a worker is called; "" of any other process."""
    return command[command.index(_WORKERS) + 1] if _WORKERS in command[:-1] else ""
