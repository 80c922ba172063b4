"""In the place of the tracker of a session: what perception says goes to a server, which decides.

The rule of this file: the loop of that worker, and the words of its start and end; what becomes of each message is
decided in `dialogue_feed.py`. It loads no network.
"""

import os
import time
from contextlib import closing

from msgspec import structs

from erc_live.live.privacy.notice import introduced
from erc_live.live.session.dialogue_feed import LAST_S, DialogueFeed
from erc_live.live.session.shell import POLL_S, Shell
from erc_live.models import card
from erc_live.streams.clock import Clock
from erc_live.streams.feature_channel import FeatureSender
from erc_live.streams.messages import SCHEMA, Hello, Relabel, SourceEnd, UtteranceFeatures, WorkerStatus


def feed(shell: Shell) -> None:
    """`UtteranceFeatures`, `Relabel` -> a server; each is published once more when it is stored there. Who takes
    another's place sends what had no receipt.
    """
    place, control = shell.spec.session.feed, shell.control
    assert place is not None
    clock = shell.ready()
    shell.publisher.publish(_hello(shell))
    ending: SourceEnd | None = None
    with closing(FeatureSender(place.endpoint)) as sender, closing(shell.subscribe()) as bus:
        core = DialogueFeed(sender, place, time.monotonic)
        while not control.stopped():
            for message, number in bus.receive_numbered(POLL_S):
                if isinstance(message, SourceEnd):
                    ending = message
                if isinstance(message, UtteranceFeatures | Relabel | SourceEnd):
                    (core.remember if number < control.start.number else core.take)(message)
            for done in core.poll():
                if not isinstance(done, SourceEnd):
                    shell.publisher.publish(done)
            _print(shell, core)
            if ending is not None and (not core.waiting or core.silent_s > LAST_S):
                _end(shell, core, clock, ending)
                ending = None
            shell.beat("running", note=f"{core.stored} stored at {place.endpoint} as {place.dialogue}")


def _end(shell: Shell, core: DialogueFeed, clock: Clock, ending: SourceEnd) -> None:
    """Say what was stored, and what is lost."""
    place = shell.spec.session.feed
    assert place is not None
    for gap in core.give_up(clock.now_ns()):
        shell.publisher.publish(gap)
    note = f"{core.stored} utterances are stored at {place.endpoint} as {place.dialogue}"
    if core.waiting:
        note += f"; it was waited for receipts for {LAST_S:g} s, and {core.waiting} messages have none"
    note = "; ".join(part for part in (note, ending.note) if part)
    shell.publisher.publish(structs.replace(ending, source=shell.spec.worker, note=note))


def _print(shell: Shell, core: DialogueFeed) -> None:
    """Tell people, through the supervisor."""
    lines, core.lines = core.lines, []
    for line in lines:
        worker, now_ns = shell.spec.worker, time.monotonic_ns()
        shell.publisher.publish(
            WorkerStatus(worker=worker, pid=os.getpid(), t_ns=now_ns, phase="running", warning=line)
        )


def _hello(shell: Shell) -> Hello:
    """The greeting of a session that tells what is done with people, and no events."""
    session = shell.spec.session
    hello = Hello(
        schema=SCHEMA,
        session=session.session,
        t_ns=shell.control.start.t_ns,
        wall_ns=time.time_ns(),
        labels=card.read(session.config.tracker.weights).card.labels,
        speakers=(),
        model=f"of {session.feed.dialogue}@{session.feed.endpoint}" if session.feed else "",
        notice="",
        last_seq=-1,
    )
    visual = any(source.kind == "camera" for source in session.sources)
    return introduced(hello, session.config.session, recorded=True, visual=visual)  # the server writes it down
