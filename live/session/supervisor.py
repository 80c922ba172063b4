"""A session from its start to its end: its processes load, the media begins, and it ends in order.

The supervisor does no work of its own, so it answers at once: to Ctrl-C, to a worker that died, to the end of the
media. What the processes say to each other passes through its broker (`broker.py`); who dies is replaced by `crew.py`.

The rule of this file: a session that lost what somebody said does not end as if all were well, and none waits for ever.
"""

import io
import logging
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import BinaryIO

from erc_live.live.errors import WorkerError
from erc_live.live.screen.console import err, print_line
from erc_live.live.session.broker import Broker
from erc_live.live.session.crew import Crew
from erc_live.live.session.operators import Operators
from erc_live.live.session.session_notes import annotation_of
from erc_live.live.session.spec import SessionSpec, Start
from erc_live.live.session.worker_process import READY_S
from erc_live.streams.address import BusAddresses
from erc_live.streams.clock import SessionClock
from erc_live.streams.control_channel import ControlRequest, PauseRequest, ResumeRequest, StopRequest
from erc_live.streams.messages import (
    AnyMessage,
    Command,
    Gap,
    SessionCommand,
    SessionEnd,
    SessionState,
    SourceEnd,
    WorkerStatus,
)

NOBODY = Operators()
POLL_S = 0.02
SHOW_S = 1.0  # between signs, on the screen, of those who load and cannot give any
REPORT_S = 10.0  # of waiting for a start, after which a line says what is awaited
DRAIN_S = 10.0  # after a request to stop: to finish the words that were being said
PATIENCE_S = 2.0  # of a person who pressed Ctrl-C and looks at a full screen
IDLE_S = 30.0  # after the end of all media, in which something moves while there is something to do
STOP_S = 5.0  # to close files and sockets
AT_ONCE_S = 1.0  # for the screen to give the terminal back
UNHEARD_NS = 2_000_000_000  # of sound: less is the silence after the last words
LEAD_NS = 200_000_000  # between the word to start and the first sample of a file

_DIGITS = re.compile(r"[-+]?[\d.]+")

log = logging.getLogger(__name__)


class Supervisor:
    """`run` a session to its end. `operators` follow it, and ask things of it. `logfile`: where people find the log."""

    def __init__(self, session: SessionSpec, logfile: str, operators: Operators = NOBODY) -> None:
        self._session = session
        self._operators = operators
        self._state: SessionState | None = None  # as it was published last
        self._logfile = logfile
        self._devices = {source.name for source in session.sources}
        self._printed: set[tuple[str, str]] = set()  # worker and note, less its numbers
        self._at_once = False
        self._stop = threading.Event()
        self._lines: list[str] = []  # for standard error, once the terminal is given back
        self._closed = 0  # utterances, by perception's word
        self._waiting = 0  # of them, or being said, and not given on
        self._unfinished = 0  # utterances that were begun, and given up at the end
        self._progress: tuple[object, ...] = ()
        self._moved_s = time.monotonic()

    def run(self) -> None:
        """Until the media ends, somebody stops it, or it cannot go on. Raises WorkerError with the reason and exit
        code.
        """
        with ExitStack() as stack:
            addresses = stack.enter_context(closing(BusAddresses()))
            spool = stack.enter_context(self._spool())
            place = addresses.endpoint("supervisor")
            self._broker = stack.enter_context(closing(Broker(self._session, place, spool, self._take, addresses.pair)))
            self._crew = Crew(self._session, addresses, self._broker, self._logfile, self._print)
            stack.enter_context(self._signals())  # from here on there is somebody to end
            try:
                self._crew.start()
                if self._begin():
                    self._watch()
                    self._settle()
            finally:
                self._crew.finish(time.monotonic() + (AT_ONCE_S if self._at_once else STOP_S))
        self._judge()

    def _spool(self) -> BinaryIO:
        """Where the log of the session lies: in memory where nothing may be on the disk."""
        return io.BytesIO() if self._session.config.session.ephemeral else tempfile.TemporaryFile()

    def stop(self) -> None:
        """End the session in order; a second time, at once."""
        if self._stop.is_set():
            self._at_once = True
            self._crew.terminate()
        self._stop.set()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def on_signal(number: int, frame: object) -> None:
            self.stop()

        kinds = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        before = [signal.signal(kind, on_signal) for kind in kinds]
        try:
            yield
        finally:
            for kind, handler in zip(kinds, before, strict=True):
                signal.signal(kind, handler)

    def _begin(self) -> bool:
        """Wait until every worker is ready, then say when the media begins. False: somebody stopped it before."""
        begun_s = shown_s = printed_s = time.monotonic()
        while waiting := self._crew.waiting():
            self._broker.receive(POLL_S)
            self._listen_to_operators()
            if self._stop.is_set():
                if not self._session.dashboard:  # which says so itself
                    print_line(f"The session ended before it began: still loading {', '.join(waiting)}.")
                return False
            now_s = time.monotonic()
            if now_s - shown_s > SHOW_S:
                shown_s = now_s
                self._crew.show_who_loads()
            if not self._session.dashboard and now_s - printed_s > REPORT_S:
                printed_s = now_s
                print_line(f"Still loading after {now_s - begun_s:.0f} s: {', '.join(waiting)}.")
            if now_s - begun_s > READY_S:
                raise WorkerError(f"not loaded after {READY_S:.0f} s: {', '.join(waiting)}; see {self._logfile}")
        start = Start(t_ns=time.monotonic_ns() + LEAD_NS)
        self._broker.begin(SessionClock(start.t_ns, self._session.speed))
        self._crew.begin(start)
        return True

    def _watch(self) -> None:
        """Until the tracker says that the session has ended."""
        asked_s = float("inf")
        while not (self._broker.over or self._at_once) and time.monotonic() < asked_s + DRAIN_S:
            if self._stop.is_set() and asked_s == float("inf"):
                asked_s = time.monotonic()
                self._crew.stop_capture()
            if time.monotonic() > asked_s + PATIENCE_S:
                self._give_the_terminal_back()
            self._broker.receive(POLL_S)
            self._crew.watch(self._stop.is_set())
            self._listen_to_operators()
            self._publish_state()
            if self._crew.reader_left:
                self._stop.set()
            if self._all_ended and self._idle_s() > IDLE_S:
                reason = f"nothing has moved for {IDLE_S:.0f} s after the end of all media"
                self._crew.failure = self._crew.failure or WorkerError(f"{reason}; see {self._logfile}")
                return self._cut_short(reason)
        if not self._broker.over:
            self._cut_short("stopped")
        return None

    def _give_the_terminal_back(self) -> None:
        screen = self._crew.workers["screen"]
        if not screen.stopping:
            screen.stop()
            screen.wait(PATIENCE_S)
            self._broker.excuse("screen")
            err.print("Finishing what was being said; Ctrl-C again ends at once.")

    @property
    def _all_ended(self) -> bool:
        return self._devices <= self._crew.ended.keys()

    def _idle_s(self) -> float:
        """For how long nothing has been said or worked off."""
        now_s = time.monotonic()
        progress = self._closed, self._waiting, self._broker.resume, sorted(self._crew.since_ns.items())
        if progress != self._progress or not self._crew.complete:
            self._progress, self._moved_s = progress, now_s
        return now_s - self._moved_s

    def _take(self, message: AnyMessage) -> None:
        """What passes through the broker."""
        self._operators.observe(message)
        match message:
            case WorkerStatus():
                self._crew.note(message)
                self._print_notes(message)
                if message.worker == "perception":
                    self._closed, self._waiting = max(self._closed, message.closed), message.waiting
            case SourceEnd():
                self._crew.ended[message.source] = message
            case SessionCommand():
                self._obey(message.command)
            case SessionEnd():
                self._print(message.note)

    def _listen_to_operators(self) -> None:
        """Do what was asked since the last call, and say what failed aside."""
        if (command := self._operators.asked()) is not None:
            self._obey(command)
        if self._operators.control is not None:
            self._operators.control.poll(self._comply)
        for line in self._operators.complaints():
            self._broker.warn(line)

    def _comply(self, request: ControlRequest) -> str:
        """Do what a program asks for; why it cannot be done, "" if it was."""
        match request:
            case PauseRequest() | ResumeRequest() | StopRequest() if self._broker.over:
                return "the session has ended"
            case PauseRequest():
                self._obey("pause")
            case ResumeRequest():
                self._obey("resume")
            case StopRequest():
                self._obey("stop")
            case _:
                return self._broker.annotate(annotation_of(request, self._broker.clock))
        return ""

    def _obey(self, command: Command) -> None:
        """Stop listening and looking, or begin again, or end; at once, and whoever asked."""
        if command == "stop":
            self.stop()
            return
        self._crew.paused = command == "pause"
        self._crew.send("capture", command)

    def _publish_state(self) -> None:
        """Say what is being done with people, after the first Hello and when it changes."""
        recorder = self._crew.workers.get("recorder")
        recording = recorder is not None and recorder.process.poll() is None
        doing = recording, self._crew.paused
        if not self._broker.greeted or (self._state and (self._state.recording, self._state.paused) == doing):
            return
        assert self._broker.clock is not None
        self._state = SessionState(
            session=self._session.session,
            t_ns=self._broker.clock.now_ns(),
            recording=recording,
            paused=self._crew.paused,
            purpose=self._session.config.session.purpose,
        )
        self._broker.report(self._state)

    def _print_notes(self, status: WorkerStatus) -> None:
        """Say once what is to be known about a device or its sound where no dashboard does, and any warning."""
        if status.phase in ("starting", "failed"):
            return  # that is said where it is noticed
        if status.worker in self._devices and not self._session.dashboard:
            self._print_once(status.worker, status.note, f"{status.worker}: {status.note}")
        self._print_once(status.worker, status.warning, status.warning)

    def _print_once(self, worker: str, note: str, line: str) -> None:
        kind = (worker, note if worker in ("perception", "tracker") else _DIGITS.sub("", note))  # these name utterances
        if note and kind not in self._printed:
            self._printed.add(kind)
            self._print(line)

    def _print(self, line: str) -> None:
        """A line for people on standard error: at once where lines are written, else when the dashboard has gone."""
        if not line:
            return
        log.info(line)
        if not self._session.dashboard:
            print_line(line)
        else:
            self._lines.append(line)

    def _cut_short(self, reason: str) -> None:
        """Time is up: what still waits is lost, and that is said."""
        waiting = self._unfinished = self._waiting + self._broker.unanswered
        self._crew.workers["perception"].stopping = True
        self._crew.workers["perception"].process.kill()
        assert self._broker.clock is not None
        now_ns = self._broker.clock.now_ns()
        if waiting:
            self._print(f"{waiting} of the utterances that were begun were not finished in time, and are lost")
            since_ns = min(self._crew.since_ns.values(), default=now_ns)
            gap = Gap(source="perception", t_start_ns=since_ns, t_end_ns=now_ns, lost=waiting, cause="overload")
            self._broker.report(gap)
        for source in self._broker.totals.microphones:  # what nobody listened to
            heard_ns, end = self._crew.since_ns.get(source), self._crew.ended.get(source)
            if heard_ns is not None and end is not None and end.t_ns - heard_ns > UNHEARD_NS:
                gap = Gap(source=source, t_start_ns=heard_ns, t_end_ns=end.t_ns, lost=0, cause="overload")
                self._broker.report(gap)
        self._broker.end(reason)

    def _settle(self) -> None:
        """Let recorder and screen read to the end."""
        until_s = time.monotonic() + STOP_S
        while not (self._broker.settled or self._at_once) and time.monotonic() < until_s:
            self._broker.receive(POLL_S)

    def _judge(self) -> None:
        """Say what is left to say, and raise what the session failed of."""
        failure, totals = self._crew.failure, self._broker.totals
        if failure is None and not self._at_once:
            failure = self._loss()
        for line in self._lines:
            if not (failure and line.startswith(str(failure))):
                print_line(line)
        recorder = self._crew.workers.get("recorder")
        if self._at_once and recorder is not None and recorder.process.returncode != 0:
            print_line(f"The recording was not closed: erc-live session recover {self._session.record}")
        if failure is None and totals.losses and not self._unfinished:
            print_line(f"{totals.losses.capitalize()}; the stream has a Gap for each.")
        if failure:
            raise failure

    def _loss(self) -> WorkerError | None:
        """What was lost of what was said, where that is a failure."""
        totals, feed = self._broker.totals, self._session.feed
        if feed is not None:
            reason = f"the server at {feed.endpoint} did not take all that was said: {totals.losses}"
            return WorkerError(reason) if totals.lost else None
        if (self._closed or self._unfinished) and not totals.utterances:
            return WorkerError(f"of what was said, nothing was classified; see {self._logfile}")
        return WorkerError(f"{totals.losses}; see {self._logfile}") if totals.lost_by_deaths else None
