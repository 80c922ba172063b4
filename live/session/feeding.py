"""In the place of the tracker of a session: what perception says goes to a server, which decides, and its events come
back (`fed_events.py` says as what they are published here).

The rule of this file: the loop of that worker, its sockets, and the words of its start and end; what becomes of each
message is decided in `dialogue_feed.py`, of each event in `server_events.py`. It loads no network.
"""

import time
import uuid
from contextlib import closing

from msgspec import structs

from erc_live.live.privacy.notice import introduced
from erc_live.live.session.dialogue_feed import LAST_S, DialogueFeed
from erc_live.live.session.server_events import ServerEvents
from erc_live.live.session.shell import POLL_S, Shell
from erc_live.models import card
from erc_live.models.dimensions import DIMENSIONS
from erc_live.streams.clock import Clock
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import AddressError
from erc_live.streams.event_stream import NO_KEY, EventReceiver
from erc_live.streams.feature_channel import FeatureSender
from erc_live.streams.messages import (
    SCHEMA,
    EmotionEvent,
    Hello,
    Relabel,
    SourceEnd,
    UtteranceFeatures,
)


def feed(shell: Shell) -> None:
    """`UtteranceFeatures`, `Relabel` -> a server -> `EmotionEvent`. What is stored there is published once more, when
    its event is here. Who takes another's place sends what had none.
    """
    place, control, keyless = shell.spec.session.feed, shell.control, shell.spec.session.config.events.keyless
    assert place is not None
    clock = shell.ready()
    hello = _hello(shell)
    shell.publisher.publish(hello)
    ending: SourceEnd | None = None
    with (
        closing(FeatureSender(place.endpoint)) as sender,
        closing(DialogueReader(place.dialogue, keyless)) as reader,
        closing(shell.subscribe()) as bus,
    ):
        core = DialogueFeed(sender, place, time.monotonic)
        events = ServerEvents(hello.labels, time.monotonic)
        while not control.stopped():
            for message, number in bus.receive_numbered(POLL_S):
                if isinstance(message, SourceEnd):
                    ending = message
                if isinstance(message, UtteranceFeatures | Relabel | SourceEnd):
                    (core.remember if number < control.start.number else core.take)(message)
            settled = core.poll()
            for message in (*reader.read(core.events, events), *events.release(settled)):
                if not isinstance(message, SourceEnd):
                    shell.publisher.publish(message)
            _warn(shell, core.lines, events.lines)
            if ending is not None and not events.held and (not core.waiting or core.silent_s > LAST_S):
                _end(shell, core, clock, ending)
                ending = None
            shell.beat("running", note=f"{core.stored} stored at {place.endpoint} as {place.dialogue}")


class DialogueReader:
    """The stream of a dialogue, where receipts say that it is. `keyless`: it takes no keys, as that of this session."""

    def __init__(self, dialogue: str, keyless: bool) -> None:
        self._topics = (f"event.{dialogue}", f"snapshot.{uuid.uuid4().hex}.{dialogue}")  # the second asks for the past
        self._keyless = keyless
        self._place = ""
        self._inlet: EventReceiver | None = None

    def read(self, place: str, events: ServerEvents) -> list[EmotionEvent]:
        """What came since the last call from that place ("": nowhere). Where it cannot be read, `events` are told."""
        try:
            if place != self._place:
                self.close()
                self._place = place
                self._inlet = EventReceiver(place, self._topics, server_key=self._key(place))
                events.begin(place)
            return events.take(self._inlet.receive(0.0)) if self._inlet else []
        except AddressError as error:
            self.close()
            events.fail(str(error))
            return []

    def _key(self, place: str) -> str | None:
        """A server that takes our features is this user's, wherever its events go."""
        if self._keyless:
            return NO_KEY
        return KeyFolder().own().public if place.startswith("tcp:") else None

    def close(self) -> None:
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close()


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


def _warn(shell: Shell, *lines: list[str]) -> None:
    """Tell people, and empty the lists."""
    for each in lines:
        for line in each:
            shell.warn(line)
        each.clear()


def _hello(shell: Shell) -> Hello:
    """The greeting of a session that tells what is done with people, and what a server decides."""
    session = shell.spec.session
    weights = card.read(session.config.tracker.weights).card
    hello = Hello(
        schema=SCHEMA,
        session=session.session,
        t_ns=shell.control.start.t_ns,
        wall_ns=time.time_ns(),
        labels=weights.labels,
        speakers=(),
        model=f"of {session.feed.dialogue}@{session.feed.endpoint}" if session.feed else "",
        notice="",
        last_seq=-1,
        learnt=tuple(name for name in DIMENSIONS if weights.config.get(name)),
    )
    visual = any(source.kind == "camera" for source in session.sources)
    return introduced(hello, session.config.session, recorded=True, visual=visual)  # the server writes it down
