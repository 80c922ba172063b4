"""Servers that a load test starts, listens to, and kills: one in one process, and one of several shards.

The rule of this file: a server is known by what it prints, and killed as the system kills, from outside.
"""

import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from erc_live.live.errors import WorkerError
from erc_live.live.serving.rendezvous import shard_of

READY_S = 300.0  # in which a server is ready, on a machine that does something else


class LoadServer(Protocol):
    """`differing`: utterances that came out otherwise than they were published; `used_s`: CPU time of all processes."""

    differing: int
    used_s: float

    @property
    def spare_stands_by(self) -> bool: ...

    def kill(self, dice: random.Random) -> None: ...

    def is_back(self, dialogue: str) -> bool:
        """Whether a receipt of that dialogue, now, is one of who took the place of who was killed last."""
        ...

    def bytes(self) -> int: ...

    def close(self) -> None: ...


class SingleServer:
    """A server process, and one that stands by for it where it will be killed (`spared`)."""

    def __init__(self, command: Sequence[str], spared: bool, on_news: Callable[[str], None]) -> None:
        import psutil

        self._psutil, self._command, self._on_news = psutil, [*command, "--standby"], on_news
        self.differing = 0
        self.used_s = 0.0
        self._ready: dict[int, threading.Event] = {}
        self._standing: dict[int, threading.Event] = {}
        self.active = self._start()
        self._wait(self.active, self._ready)
        self.spare = self._start() if spared else None
        self._begin()

    @property
    def spare_stands_by(self) -> bool:
        return self.spare is not None and self._standing[self.spare.pid].is_set()

    def kill(self, dice: random.Random) -> None:
        """It is gone at once, and the other one takes over."""
        assert self.spare is not None
        self._count()
        self.active.kill()
        self.active.wait()
        self.active, self.spare = self.spare, self._start()
        self._begin()

    def is_back(self, dialogue: str) -> bool:
        return True

    def bytes(self) -> int:
        return int(self._psutil.Process(self.active.pid).memory_info().rss)

    def close(self) -> None:
        """End both, in order; whoever does not listen, at once."""
        self._count()
        processes = [process for process in (self.spare, self.active) if process]
        for process in processes:
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._ready[process.pid], self._standing[process.pid] = threading.Event(), threading.Event()
        threading.Thread(target=self._read, args=[process], daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._note(process.pid, line)

    def _note(self, pid: int, line: str) -> None:
        if line.startswith("standing by"):
            self._standing[pid].set()
        elif line.startswith("recovered"):
            self._ready[pid].set()
        elif other := re.match(r"(\d+) of them came out other", line):
            self.differing += int(other[1])
        self._on_news(line.strip())

    def _wait(self, process: subprocess.Popen[str], events: Mapping[int, threading.Event]) -> None:
        deadline_s = time.monotonic() + READY_S
        while not events[process.pid].wait(0.2):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise WorkerError("the server did not start: the line above says why", process.returncode)

    def _begin(self) -> None:
        with suppress(self._psutil.Error):
            self._cpu_s = sum(self._psutil.Process(self.active.pid).cpu_times()[:2])

    def _count(self) -> None:
        with suppress(self._psutil.Error):
            self.used_s += sum(self._psutil.Process(self.active.pid).cpu_times()[:2]) - self._cpu_s


class ShardedServer:
    """A gateway, and the processes of its shards, one of which is killed at random, whoever it is."""

    def __init__(self, command: Sequence[str], shards: int, on_news: Callable[[str], None]) -> None:
        import psutil

        self._psutil, self._on_news = psutil, on_news
        self.differing = 0
        self.used_s = 0.0
        self._active: dict[int, int] = {}  # shard -> process
        self._killed = (0, 0)  # likewise
        self._ready, self._standing = threading.Event(), threading.Event()
        self._gateway = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline_s = time.monotonic() + READY_S
        while not self._ready.wait(0.2):
            if self._gateway.poll() is not None or time.monotonic() > deadline_s:
                self.close()
                raise WorkerError("the server did not start: the line above says why", self._gateway.returncode)
        self._idle_s = self._cpu_s()

    @property
    def spare_stands_by(self) -> bool:
        return self._standing.is_set()

    def kill(self, dice: random.Random) -> None:
        """A process is gone at once, and the spare takes its shard over."""
        self._standing.clear()
        self._killed = dice.choice(sorted(self._active.items()))
        victim = self._psutil.Process(self._killed[1])
        self._idle_s -= sum(victim.cpu_times()[:2])
        victim.kill()

    def is_back(self, dialogue: str) -> bool:
        shard, process = self._killed
        return self._active[shard] != process and shard_of(dialogue, len(self._active)) == shard

    def bytes(self) -> int:
        return sum(int(self._psutil.Process(process).memory_info().rss) for process in self._active.values())

    def close(self) -> None:
        if self._gateway.poll() is None:
            self.used_s = self._cpu_s() - self._idle_s
        self._gateway.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._gateway.wait(60)
        self._gateway.kill()
        self._gateway.wait()
        self._reader.join()

    def _cpu_s(self) -> float:
        """Of the gateway, of Ray, and of all shards."""
        used_s = 0.0
        gateway = self._psutil.Process(self._gateway.pid)
        for process in (gateway, *gateway.children(recursive=True)):
            with suppress(self._psutil.Error):
                used_s += sum(process.cpu_times()[:2])
        return used_s

    def _read(self) -> None:
        assert self._gateway.stderr is not None
        with self._gateway.stderr as lines:
            for line in lines:
                self._note(line)

    def _note(self, line: str) -> None:
        if shard := re.match(r"shard (\d+) in process (\d+):", line):
            self._active[int(shard[1])] = int(shard[2])
        elif line.startswith("standing by in process"):
            self._standing.set()
        elif line.startswith("features:"):
            self._ready.set()
        elif other := re.match(r"(\d+) of them came out other", line):
            self.differing += int(other[1])
        self._on_news(line.strip())
