"""One process of a session, as its supervisor sees it: started, told, restarted, stopped, and why it ended.

It learns what to be on its standard input (`workers.py`); the last line that it writes to standard error is its reason
when it dies. Everything that it writes there goes to the log file of the session.
"""

import logging
import signal
import subprocess
import sys
import threading
from typing import IO

import msgspec
from msgspec import structs

from erc_live.live.errors import WorkerError
from erc_live.live.session.spec import WorkerSpec

log = logging.getLogger(__name__)


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
            [
                sys.executable,
                "-m",
                "erc_live.live.session.workers",
                self.spec.worker,
            ],  # the name is for who looks at `ps`
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

    def do_without_a_reader(self) -> None:
        """From its next start on, not to wait for one of those who read what it publishes: that one is dead."""
        fewer = {topic: max(1, readers - 1) for topic, readers in self.spec.consumers.items()}
        self.spec = structs.replace(self.spec, consumers=fewer)

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
        return WorkerError(f"{reason}; see {self._logfile.name}")

    def _listen(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                self.last_line = line.strip() or self.last_line
                self._logfile.write(f"{self.spec.worker}: {line}")
                self._logfile.flush()


def _fate(code: int) -> str:
    """What an exit status says."""
    names = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names[-code]}" if -code in names else f"died (exit status {code})"
