"""What a rule does beside the stream: a program that is run, a web page of this machine that is told.

Each rule has a thread of its own and at most one action at a time; a few more wait, in order. What is passed on is the
JSON of the `Alert`, a line: on the standard input of the program, as the body of the request.
The rule of this file: never a shell, never another machine, and nobody ever waits for an action. What failed is one
line.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import IO, Any

from erc_live.live.config import AlertRule
from erc_live.streams import codec
from erc_live.streams.annotations import Alert

ACTION_S = 10.0  # one may take
WAITING = 16  # alerts of one rule; more are given up, and that is said
CLOSE_S = 2.0  # for actions that have begun when the session ends
_READ_BYTES = 64 << 10  # of an answer or of what a program complains about
_LAST_WORDS_S = 0.5  # for what a program that has ended complained about


class AlertActions:
    """Does what the rules ask for. `replaying`: only those that ask for it in replays, too."""

    def __init__(self, rules: Sequence[AlertRule], replaying: bool, action_s: float = ACTION_S) -> None:
        self._failures: queue.SimpleQueue[str] = queue.SimpleQueue()
        wanted = [rule for rule in rules if (rule.run or rule.webhook) and (rule.in_replays or not replaying)]
        self._runners = {rule.name: _Runner(rule, self._failures, action_s) for rule in wanted}

    def observe(self, message: object) -> None:
        """Take note of a message; an alert is acted on."""
        if isinstance(message, Alert) and message.rule in self._runners:
            self._runners[message.rule].add(message)

    def failures(self) -> list[str]:
        """What failed since the last call, a line each."""
        lines: list[str] = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._failures.get_nowait())
        return lines

    def close(self) -> None:
        """Let what has begun, and what waits, be done, in `CLOSE_S` at most; what was not is one of the `failures`."""
        until_s = time.monotonic() + CLOSE_S
        for runner in self._runners.values():
            runner.close()
        for runner in self._runners.values():
            runner.join(until_s - time.monotonic())


class _Runner:
    """The actions of one rule, one after the other."""

    def __init__(self, rule: AlertRule, failures: "queue.SimpleQueue[str]", action_s: float) -> None:
        self._rule, self._failures, self._action_s = rule, failures, action_s
        self._alerts: queue.SimpleQueue[Alert | None] = queue.SimpleQueue()  # None: nothing follows
        self._process: subprocess.Popen[bytes] | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._work, name=f"alert {rule.name}", daemon=True)
        self._thread.start()

    def add(self, alert: Alert) -> None:
        if self._alerts.qsize() < WAITING:
            self._alerts.put(alert)
        else:
            self._fail("too many alerts wait for it; one was not acted on")

    def close(self) -> None:
        self._alerts.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for what is done; what takes longer is ended, and what waits behind it is not begun."""
        self._thread.join(max(0.0, timeout_s))
        if not self._thread.is_alive():
            return
        left = self._alerts.qsize()  # None is one of them, and stands for the one that has begun
        self._fail(f"the session ended before it was done; alerts that were not acted on: {left}")
        self._given_up = True
        if self._process is not None and self._process.poll() is None:
            _end(self._process)

    def _work(self) -> None:
        for alert in iter(self._alerts.get, None):
            data = codec.to_json(alert) + b"\n"
            if self._rule.run and not self._given_up:
                self._run(data)
            if self._rule.webhook and not self._given_up:
                self._post(data)

    def _run(self, data: bytes) -> None:
        program = self._rule.run[0]
        try:
            process = subprocess.Popen(
                self._rule.run,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the session
            )
        except OSError as error:
            self._fail(f"{program} cannot be run: {error.strerror}")
            return
        self._process = process
        assert process.stdin is not None
        assert process.stderr is not None
        complaint = _Complaint(process.stderr)
        with contextlib.suppress(OSError), process.stdin as asks:  # it need not read
            asks.write(data)
        try:
            process.wait(self._action_s)
        except subprocess.TimeoutExpired:
            _end(process)
            process.wait()
            self._fail(f"{program} did not end within {self._action_s:g} s, and was ended")
            return
        if process.returncode:
            last = complaint.last_line()
            self._fail(f"{program} ended with {process.returncode}" + (f": {last}" if last else ""))

    def _post(self, data: bytes) -> None:
        request = urllib.request.Request(self._rule.webhook, data, {"Content-Type": "application/json"})
        try:
            with _OPENER.open(request, timeout=self._action_s) as answer:
                answer.read(_READ_BYTES)
        except (OSError, ValueError) as error:  # HTTP errors are OSErrors, too
            self._fail(f"{self._rule.webhook}: {error}")

    def _fail(self, why: str) -> None:
        if not self._given_up:  # that was said
            self._failures.put(f"alert {self._rule.name}: {why}")


class _Complaint(threading.Thread):
    """Reads what a program complains about, and has the end of it: it may write more than there is memory, or leave a
    process behind that keeps the pipe open.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._tail = b""
        self.start()

    def run(self) -> None:
        with self._pipe:
            while data := self._pipe.read(_READ_BYTES):
                self._tail = (self._tail + data)[-_READ_BYTES:]

    def last_line(self) -> str:
        """Of a program that has ended."""
        self.join(_LAST_WORDS_S)
        return self._tail.decode(errors="replace").strip().rpartition("\n")[2]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """A program that was not waited for yet, and those that it has started in turn."""
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own


class _NowhereElse(urllib.request.HTTPRedirectHandler):
    """A page of this machine may not send an alert to another one."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NowhereElse)
