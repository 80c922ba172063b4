"""The shells: each worker is a process that subscribes, calls a core, and publishes. All its loops are here, and they
are short.

A worker is started as `python -m erc_live.live.session.workers`. Its standard input carries, in order: one line of JSON
(`WorkerSpec`); one line `start` with the instant at which media begins, or where the one before it was (`Start`); then
`excuse <reader>`, `pause` or `resume`, if any; and, as its end, the request to stop. So a worker whose supervisor dies
stops too, and no worker outlives its session. It is a plain sub-process, never a fork: one mechanism on every system.
Its standard error is the supervisor's to show.

There are five kinds: capture, perception, tracker, recorder and screen. They are processes because a recogniser's
native code can abort its process, and must not take the dialogue with it. The cores that they call do no I/O: replay at
maximum speed, training and the tests compose the same ones in one process.

Every session ends the same way, live or in replay: capture publishes `SourceEnd`; perception finishes what was said,
then publishes its own, and so does the tracker; the supervisor answers with `SessionEnd`; recorder and screen stop at
that.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch is imported: spinning threads are ruinous on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from msgspec import structs

from erc_live.live.errors import EngineError, exit_code
from erc_live.live.session.heap import bound_kernel_caches
from erc_live.live.session.shell import POLL_S, STATUS_S, Control, Shell, Stopped
from erc_live.live.session.spec import SessionSpec, waits
from erc_live.streams.annotations import Annotation
from erc_live.streams.bus import Subscriber, times
from erc_live.streams.clock import Clock
from erc_live.streams.errors import MediaError
from erc_live.streams.messages import (
    AnyMessage,
    AudioChunk,
    Gap,
    Phase,
    Relabel,
    SessionCommand,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
)

if TYPE_CHECKING:  # not at run time: only one kind of worker loads the engines
    from erc_live.live.capture.source import Source
    from erc_live.live.perception.front_end import FrontEnd
    from erc_live.live.perception.time_order import TimeOrder
    from erc_live.live.session.analyser import Engines
    from erc_live.live.tracking.tracker import Tracker

BUSY_POLL_S = 0.005  # while an answer is awaited
HUNG_S = 120.0  # of one analysis: native code that hangs; the longest utterance is 15 s
SCREENSHOT = (100, 26)  # columns and rows


def capture(shell: Shell) -> None:
    """A device or file -> `AudioChunk` or `VideoFrame`."""
    from erc_live.live.capture.source import open_source

    spec, control = shell.spec, shell.control
    assert spec.source is not None
    source = open_source(spec.source, spec.session.config.capture)
    try:
        clock = shell.ready()
        source.start(clock, control.start.at_ns if spec.source.live and control.start.anew else control.start.t_ns)
        _deliver(shell, source)
    finally:
        source.close()
    damage = source.note if source.finished else ""
    reason = damage or ("end of file" if source.finished else "stopped")
    end_ns = source.end_ns if source.finished else None
    shell.publisher.publish(SourceEnd(source=spec.worker, t_ns=end_ns or clock.now_ns(), reason=reason))
    shell.stay()
    if damage:
        raise MediaError(damage)


def _deliver(shell: Shell, source: "Source") -> None:
    """The loop of capture: publish what a source has, or let it wait for its readers, if it can."""
    from erc_live.live.capture.pause_gate import PauseGate

    spec, control = shell.spec, shell.control
    assert spec.source is not None
    waiting, gate = waits(spec.session, spec.source), PauseGate(spec.worker)
    while not control.stopped() and not source.finished:
        while control.excused:
            shell.publisher.excuse(control.excused.pop())
        if waiting and (shell.publisher.full or control.paused):  # a recording waits, also for people
            time.sleep(BUSY_POLL_S)
        else:
            for message in gate.pass_on(source.read(POLL_S), control.paused):
                if waiting or times(message)[1] > control.start.at_ns:  # the rest passed while nobody captured it
                    shell.publisher.publish(message)
        shell.beat(
            "running", dropped=source.dropped, note=source.note, level_db=source.level_db, rate_hz=source.rate_hz
        )
    for gap in gate.end():
        shell.publisher.publish(gap)


def perception(shell: Shell) -> None:
    """`AudioChunk`, `VideoFrame` -> `UtteranceFeatures`; the analyser runs in one thread of its own."""
    from erc_live.live.asr.pooled_words import PoolPatience
    from erc_live.live.perception.load_shedding import LATE_S
    from erc_live.live.perception.time_order import TimeOrder
    from erc_live.live.session.engines import closing_note, front_end, load_engines

    spec, session, control = shell.spec, shell.spec.session, shell.control
    transcript = Path(session.transcript) if session.transcript else None
    patience = PoolPatience(LATE_S if session.hurry else None, required=False, notify=shell.warn)
    engines = load_engines(session.config, transcript, lambda what: shell.beat("starting", note=what), patience)
    clock = shell.ready()
    order = TimeOrder(source.name for source in session.sources if waits(session, source))
    executor = ThreadPoolExecutor(1)  # nobody waits for its end: native code may never come back
    core = front_end(session, engines, clock, control.start, executor)
    with closing(shell.subscribe(since_ns=control.start.since_ns)) as bus:
        _perceive(shell, bus, core, order, engines, clock)
    executor.shutdown(wait=False, cancel_futures=True)
    note = "" if control.start.anew else closing_note(core.account, engines.transcriber)  # else it heard a part
    shell.publisher.publish(SourceEnd(source=spec.worker, t_ns=clock.now_ns(), reason="all sources ended", note=note))
    shell.stay()


def _perceive(
    shell: Shell, bus: Subscriber, core: "FrontEnd", order: "TimeOrder", engines: "Engines", clock: Clock
) -> None:
    """The loop of perception, until all sources have ended or the supervisor asks to stop."""
    session = shell.spec.session
    since_ns = published_ns = shell.control.start.since_ns
    waiting = session.config.transcriber.engine == "pool" and not session.hurry  # a recording waits for a pool
    while not core.ended and not shell.control.stopped():
        behind_s = _listen(shell, bus, core, order)
        if core.running_s(time.monotonic_ns()) > HUNG_S and not waiting:
            raise EngineError(f"an analysis has not come back for {HUNG_S:.0f} s")
        for result in core.poll(clock.now_ns(), time.monotonic_ns(), behind_s):
            shell.publisher.publish(result)
        if shell.publisher.settled:  # what was given on has arrived: only then it is worked off
            since_ns = _since(core.since_ns, session)
        shell.beat(
            "running",
            lag_s=core.lag_s(clock.now_ns()) / session.speed,
            note=engines.transcriber.name,
            warning=engines.warning,
            waiting=core.account.waiting,
            closed=core.account.closed,
            since_ns=since_ns,
        )
        if shell.published["since_ns"] is not published_ns:
            bus.let_go(published_ns)  # one sign of life later, for the last one may never arrive
            published_ns = shell.published["since_ns"]


def _listen(shell: Shell, bus: Subscriber, front_end: "FrontEnd", order: "TimeOrder") -> float:
    """Feed perception with what has come; returns for how long messages have waited on the bus, in s."""
    poll_s = BUSY_POLL_S if front_end.busy else POLL_S
    if front_end.crowded and not shell.spec.session.hurry:
        time.sleep(poll_s)  # a recording waits
        return 0.0
    for message, number in bus.receive_numbered(poll_s):
        if isinstance(message, Gap) and number < 0:
            shell.publisher.publish(message)  # a loss that is noticed here
        if isinstance(message, AudioChunk | VideoFrame | Gap | SourceEnd):
            for due in order.take(message):
                front_end.feed(due, time.monotonic_ns())
    return bus.behind_s


def _since(microphones: Mapping[str, int], session: SessionSpec) -> dict[str, int]:
    """Of each source what is worked off; pictures are needed for as long as sound of their time is."""
    latest = min(microphones.values())
    return {source.name: microphones.get(source.name, latest) for source in session.sources}


def tracker(shell: Shell) -> None:
    """`UtteranceFeatures` -> `EmotionEvent`. Who takes another's place reads all of the log, and says what is new."""
    if shell.spec.session.feed is not None:
        from erc_live.live.session.feeding import feed

        feed(shell)
        return
    from erc_live.live.privacy.notice import introduced
    from erc_live.live.tracking.tracker import SessionStart, Tracker
    from erc_live.models.checkpoint import load

    spec, control, config = shell.spec, shell.control, shell.spec.session.config
    shell.beat("starting", note=f"loading the emotion model {config.tracker.weights}")
    checkpoint = load(config.tracker.weights)
    clock = shell.ready()
    session = SessionStart(spec.session.session, control.start.t_ns, time.time_ns())
    core = Tracker(checkpoint, session, clock, config.tracker.device, config.tracker.coordinates)
    core.go_on(control.start.seq)
    visual = any(source.kind == "camera" for source in spec.session.sources)
    shell.publisher.publish(introduced(core.hello(), config.session, spec.session.record is not None, visual))
    with closing(shell.subscribe()) as bus:
        while not control.stopped():
            for message, number in bus.receive_numbered(POLL_S):
                _track(shell, core, message, number < control.start.number)
            shell.beat("running", dropped=core.spoilt)


def _track(shell: Shell, core: "Tracker", message: AnyMessage, answered: bool) -> None:
    """Take a message of the log; of what a dead tracker has `answered`, only remember it."""
    if isinstance(message, UtteranceFeatures):
        if answered:
            core.remember(message)
        else:
            shell.publisher.publish(core.observe(message))
    elif isinstance(message, Relabel):
        core.go_back(message)
        if not answered:
            shell.publisher.publish(message)
    elif isinstance(message, SourceEnd):
        shell.publisher.publish(structs.replace(message, source=shell.spec.worker))


def recorder(shell: Shell) -> None:
    """Everything that the topics table records -> a bundle on disk."""
    from erc_live.live.session import recording

    spec = shell.spec
    shell.ready()
    with (
        recording.recorder(spec.session, shell.control.start.t_ns) as bundle,
        closing(shell.subscribe(since_ns=bundle.until_ns if bundle else {})) as bus,
    ):
        assert bundle is not None
        while (messages := bus.receive(STATUS_S)) or not shell.control.stopped():  # to the last message
            for message in messages:
                bundle.write(message)
            bus.let_go(bundle.until_ns)
            shell.beat("running", note=spec.session.record)


def screen(shell: Shell) -> None:
    """Events and signs of life -> the terminal, or JSON lines where there is none."""
    spec, session = shell.spec, shell.spec.session
    stopped = shell.control.stopped
    with closing(shell.subscribe(awaited={"supervisor": spec.number})) as bus:
        if not session.dashboard:
            from erc_live.live.screen import sinks

            sinks.run(bus, sys.stdout, stopped, as_json=session.jsonl)
            return
        from rich.console import Console

        from erc_live.live.screen import dashboard

        def ask(request: SessionCommand | Annotation) -> None:
            shell.publisher.poll()  # the supervisor's questions have waited
            shell.publisher.publish(request)

        shown = session.config.dashboard
        view = dashboard.run(
            bus, Console(), shown.refresh_hz, stopped, session.speed, ask=ask, transcript=shown.transcript
        )
    if session.picture and view.end:
        Path(session.picture).write_text(dashboard.screenshot(view, *SCREENSHOT, view.end.t_ns), encoding="utf-8")


SHELLS = {"capture": capture, "perception": perception, "tracker": tracker, "recorder": recorder, "screen": screen}


def main() -> int:
    """Run the worker that standard input describes. An error that a person can mend is the last line on standard
    error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the supervisor decides
    bound_kernel_caches()
    control = Control()
    shell = Shell(control)
    phase: Phase = "failed"
    try:
        SHELLS[control.spec.kind](shell)
        phase = "done"
    except Stopped:
        phase = "done"
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise  # our bug: loud
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - standard error is how a worker reports to its supervisor
        return code
    finally:
        shell.beat(phase)
        shell.publisher.close()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # at once: everything is closed, and taking torch apart lasts longer than a person waits
