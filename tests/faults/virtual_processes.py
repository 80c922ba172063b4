"""Processes in virtual time: each is a thread, and one runs at a time, until it waits.

Time moves only when all wait, to the instant at which the first of them has something to do: so an hour of a session
lasts seconds, and a run is the same every time. A process can be killed at any message that it sends, frozen, kept
busy, or slowed down, and the whole machine can sleep. The rule of this file: it knows nothing of sessions.
"""

import itertools
import math
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

S = 1_000_000_000
SLOW_NS = S // 10  # that a slow process takes longer each time


class Killed(BaseException):
    """Unwinds the thread of a process that is no more."""


class VirtualProcess:
    """As `subprocess.Popen`, as far as a supervisor needs it. `inbox_ns`: when what it waits for arrives."""

    def __init__(self, machine: "Machine", name: str, run: Callable[[], int] | None) -> None:
        self.name = name
        self.pid = machine.next_pid()
        self.returncode: int | None = None
        self.wake_ns: float = machine.now_ns
        self.inbox_ns: Callable[[], float] = lambda: math.inf
        self.held_until_ns: float = 0  # frozen, or busy
        self.slow_until_ns = 0
        self.begun = False
        self.stopped = False  # frozen: it uses no processor
        self.steps_left: int | None = None  # until it is killed
        self.on_death: list[Callable[[], None]] = []
        self.baton = threading.Lock()
        self.baton.acquire()
        self.finished = run is None
        self._machine = machine
        self._run = run
        if run is not None:
            self._thread = threading.Thread(target=self._live, daemon=True)
            self._thread.start()

    @property
    def next_ns(self) -> float:
        """When it has something to do."""
        if self.dead:
            return 0
        due_ns = min(self.wake_ns, self.inbox_ns())
        slow_ns = SLOW_NS if due_ns < self.slow_until_ns else 0
        return max(due_ns + slow_ns, self.held_until_ns)

    @property
    def dead(self) -> bool:
        """Whether it was killed."""
        return self.returncode is not None and self.returncode < 0

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        return self.returncode

    def kill(self) -> None:
        """At once, whatever it is at."""
        if self.returncode is None:
            self.returncode = -9
            for act in self.on_death:
                act()

    terminate = kill

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises subprocess.TimeoutExpired."""
        deadline_ns = self._machine.now_ns + S * (math.inf if timeout is None else timeout)
        while self.returncode is None:
            if self._machine.now_ns >= deadline_ns:
                raise subprocess.TimeoutExpired(self.name, timeout or 0.0)
            self._machine.sleep(0.01)
        return self.returncode

    def _live(self) -> None:
        self.baton.acquire()
        assert self._run is not None
        with suppress(Killed):
            self._machine.check()
            code = self._run()
            if self.returncode is None:
                self.returncode = code
        self.finished = True
        self._machine.hand_on()


class Machine:
    """All processes, and the time. The thread that makes it is the first process."""

    def __init__(self) -> None:
        self.now_ns = 1000 * S
        self._pids = itertools.count(1)
        self._processes: list[VirtualProcess] = []
        self._plans: list[tuple[int, int, Callable[[], None]]] = []
        self.current = self.spawn("supervisor", None)

    def next_pid(self) -> int:
        return next(self._pids)

    def spawn(self, name: str, run: Callable[[], int] | None) -> VirtualProcess:
        """A new process, which runs when the present one waits."""
        process = VirtualProcess(self, name, run)
        self._processes.append(process)
        return process

    def at(self, t_s: float, act: Callable[[], None]) -> None:
        """Have something happen `t_s` from now."""
        self._plans.append((self.now_ns + int(t_s * S), self.next_pid(), act))
        self._plans.sort(reverse=True)

    def pass_over(self, seconds: float) -> None:
        """All sleep, and what was planned is put off."""
        self.now_ns += int(seconds * S)
        self._plans = [(t_ns + int(seconds * S), number, act) for t_ns, number, act in self._plans]

    def named(self, name: str) -> VirtualProcess | None:
        """The process of this name that runs."""
        return next((p for p in self._processes if p.name == name and p.returncode is None), None)

    def rename(self, old: str, new: str) -> None:
        """A spare becomes what it stood in for."""
        process = self.named(old)
        assert process is not None
        process.name = new

    def sleep(self, seconds: float) -> None:
        """Wait, as the present process."""
        self.wait_for(seconds, lambda: math.inf)

    def wait_for(self, seconds: float, inbox_ns: Callable[[], float]) -> None:
        """Wait for what arrives at `inbox_ns`, but not longer than `seconds`."""
        me = self.current
        me.wake_ns, me.inbox_ns = self.now_ns + round(seconds * S), inbox_ns
        following = self._following()
        if following is not me:
            self.current = following
            following.baton.release()
            me.baton.acquire()
        self.check()

    def check(self) -> None:
        """Whether the present process still lives; each call may be its last."""
        me = self.current
        if me.steps_left is not None and me.returncode is None:
            me.steps_left -= 1
            if me.steps_left < 0:
                me.kill()
        if me.dead:
            raise Killed

    def hand_on(self) -> None:
        """The present process has ended."""
        self._processes.remove(self.current)
        self.current = self._following()
        self.current.baton.release()

    def _following(self) -> VirtualProcess:
        """Who is next; time moves on to then."""
        while True:
            process = min(self._processes, key=lambda p: p.next_ns)
            if not self._plans or self._plans[-1][0] > process.next_ns:
                assert process.next_ns < math.inf, "all wait for ever"
                self.now_ns = max(self.now_ns, int(process.next_ns))
                return process
            due_ns, _, act = self._plans.pop()
            self.now_ns = max(self.now_ns, due_ns)
            act()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Afterwards nobody is left, and no thread."""
        try:
            yield
        finally:
            for process in [*self._processes[1:]]:
                process.kill()
            while len(self._processes) > 1:
                self.sleep(0.001)


class MachineTime:
    """In place of the module `time`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.sleep = machine.sleep

    def monotonic(self) -> float:
        return self._machine.now_ns / S

    def monotonic_ns(self) -> int:
        return self._machine.now_ns

    def time_ns(self) -> int:
        return 1_700_000_000 * S + self._machine.now_ns


class MachineOs:
    """In place of the module `os`, for who asks what process it is."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def getpid(self) -> int:
        return self._machine.current.pid


class MachineEvent:
    """As `threading.Event`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self, *_: Any) -> None:
        self._set = True

    def wait(self, timeout: float) -> bool:
        self._machine.wait_for(timeout, lambda: 0 if self._set else math.inf)
        return self._set
