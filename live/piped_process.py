"""A process of this machine that does one thing after the other for who started it.

Each has a pipe of its own, so when one dies, it is known what it was at. The standard library's executor ends as a
whole with one of its processes, and does not say which task it was.
The rules of this file: it alone knows how such processes start, die and are ended; none outlives who started it.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process, resource_tracker
from typing import Any

LEAVE_S = 10.0  # for a process to end by itself
ORPHANED = 7  # what a process ends with that has lost who started it
_SPAWN = get_context("spawn")  # a fork would share the threads and locks of libraries


class PipedProcess:
    """It calls `life(receive, send, *arguments)`, until that returns or the pipe ends. `pipe` is ready when there is an
    answer, or it died. `lost`: what `receive` raises then.
    """

    def __init__(self, name: str, lost: type[Exception], life: Callable[..., object], *arguments: object) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._lost = lost
        self._process = _SPAWN.Process(target=_live, args=(theirs, life, arguments), name=name, daemon=True)
        with _uninterrupted():
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, message: object) -> None:
        with suppress(OSError):  # it died: `receive` says so
            self.pipe.send(message)

    def receive(self) -> Any:
        """What it answers next; waits for it."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            self.pipe.close()
            raise self._lost(_cause(self._process.exitcode)) from None

    def kill(self) -> None:
        """At once; of any thread, so that who waits in `receive` learns it there."""
        self._process.kill()

    def end(self) -> None:
        """Nothing is asked any more, and it cleans up what its libraries hold of the system."""
        self.pipe.close()
        self._process.join(LEAVE_S)
        self.close()

    def close(self) -> None:
        """Nothing is left of it."""
        self.kill()
        self._process.join(LEAVE_S)  # one that waits for a disk that is gone cannot be killed
        self.pipe.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A block that starts a process. Ctrl-C waits for its end, and is for this process alone: the other one inherits
    that it gets none, also while it starts, when it could only answer with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else it is started in the block, and lets interrupts through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}: perhaps it took too much memory" if name == "SIGKILL" else name
    return f"exit code {code}"


def _live(pipe: Any, life: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it is not inherited
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        life(pipe.recv, pipe.send, *arguments)


def _leave_with_parent() -> None:
    """However who asks ends: nobody would take the answer."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(ORPHANED)
