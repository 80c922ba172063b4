"""The log of a session and its public stream, in the one process that lives as long as the session does.

Perception, tracker, recorder and screen each talk to the broker alone; so each of them may die, and another one goes on
where the log says, while subscribers notice nothing. What is said of the conversation stands in the log in one order:
what perception heard, what the tracker made of it, what was lost. The log lies in a file without a name, which the
system removes with the process, or in memory (`spool`).
The rule of this file: it starts no process and decides nothing; the supervisor does.
"""

import os
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, BinaryIO

from msgspec import structs

from erc_live.live.alerts.alert_rules import AlertRules
from erc_live.live.session.fed_events import FedEvents
from erc_live.live.session.session_notes import SessionNotes
from erc_live.live.session.spec import PUBLIC, SUBSCRIPTIONS, SessionSpec
from erc_live.live.session.totals import SessionTotals
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.bus import Publisher, Subscriber
from erc_live.streams.clock import Clock
from erc_live.streams.curve_keys import KeyPair
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import (
    SUPERVISOR,
    AnyMessage,
    EmotionEvent,
    Hello,
    Relabel,
    SourceEnd,
    UtteranceFeatures,
    UtteranceFields,
    WorkerStatus,
)
from erc_live.streams.ring import Retention

NAME = SUPERVISOR  # of this publisher and reader
PASSING_S = 30.0  # for how long what is provisional is kept
SPARE = "spare-"  # how a process is called that stands in for nobody yet
_VOICE = re.compile(r"#(\d+)$")  # the number of a voice of a shared microphone (`speakers/clustering.py`)
CONTEXT = 32  # utterances whose words who takes the place of perception is told

Answerable = tuple[str, int, bool] | Relabel  # an utterance with its revision, and whether it is final


class Broker:
    """`receive` what workers say, and pass it on. `endpoint`: where they listen. `observe` is called with each message
    afterwards. `pair`: the keys of the session, where it has such. Raises AddressError where the public stream cannot
    be published.
    """

    def __init__(
        self,
        session: SessionSpec,
        endpoint: str,
        spool: BinaryIO,
        observe: Callable[[AnyMessage], None],
        pair: KeyPair | None = None,
    ) -> None:
        microphones = [source.name for source in session.sources if source.kind == "mic"]
        self.totals = SessionTotals(session.session, microphones)
        self._notes = SessionNotes(session.session)
        self._alerts = AlertRules(session.config.alerts, session.session, microphones)
        self._fed = FedEvents(session.session) if session.feed is not None else None
        self.over = False
        self.clock: Clock | None = None
        self.last_end_ns: dict[str, int] = {}  # by microphone: before it, every utterance is in the log
        self.voices: dict[str, int] = {}  # by microphone: how many were told apart
        self.context: deque[tuple[str, str]] = deque(maxlen=CONTEXT)
        self._observe = observe
        self._unanswered: deque[tuple[int, Answerable]] = deque()  # by the tracker, with their numbers in the log
        self._next_seq = 0
        self.greeted = False
        self._log = Publisher(endpoint, NAME, Retention(keep_s=PASSING_S, spool=spool), pair)
        try:
            events = session.config.events
            self._public = EventPublisher(events.endpoint, events.history, keyless=events.keyless)
        except Exception:
            self._log.close()
            raise
        self._bus = Subscriber((), SUBSCRIPTIONS[NAME].topics, NAME, pair=pair)

    def begin(self, clock: Clock) -> None:
        """The media begins, on this clock."""
        self.clock = self._public.clock = clock

    def close(self) -> None:
        """Let what was published leave."""
        self._bus.close()
        self._public.close()
        self._log.close()

    def connect(self, endpoint: str) -> None:
        """Listen to one more worker."""
        self._bus.connect(endpoint)

    def bar(self, publisher: str, endpoint: str) -> None:
        """Take nothing more of a process that is dead."""
        self._bus.bar(publisher)
        self._bus.disconnect(endpoint)

    def receive(self, timeout_s: float) -> None:
        """Wait at most `timeout_s` for workers to say something, and pass it on."""
        for message in self._bus.receive(timeout_s):
            self.report(message)
        self._log.poll()
        self._public.poll()

    def report(self, message: AnyMessage) -> None:
        """Pass on what a worker says, or what the supervisor has to say: a loss, the end of a source.

        Its observers hear of it first, so who has read a message on the stream finds it counted.
        """
        self._observe(message)
        self._pass_on(message)

    def end_source(self, end: SourceEnd) -> None:
        """Say in the place of a dead one that nothing more comes of a source."""
        self._log.publish(end)
        self._observe(end)

    def warn(self, line: str) -> None:
        """Tell people something that is of no process."""
        pid, now_ns = os.getpid(), time.monotonic_ns()
        self.report(WorkerStatus(worker=NAME, pid=pid, t_ns=now_ns, phase="running", warning=line))

    def annotate(self, annotation: Annotation) -> str:
        """Publish what somebody says about the session; why it cannot be, "" where it is done."""
        if not self.greeted or self.over:
            return "the session has ended" if self.over else "the session has not begun"
        if why_not := self._notes.check(annotation):
            return why_not
        noted = self._notes.stamped(annotation)
        self._publish(noted)
        return ""

    def end(self, reason: str, note: str = "") -> None:
        """Say that the session has ended; only once."""
        if not self.over:
            self._raise(self._alerts.finish())
            self.over = True
            assert self.clock is not None
            self.report(self.totals.end(self.clock.now_ns(), reason, note))

    @property
    def resume(self) -> tuple[int, int]:
        """Where a new tracker goes on: the number of the first message that was not answered, and the next `seq`."""
        return (self._unanswered[0][0] if self._unanswered else self._log.end), self._next_seq

    @property
    def unanswered(self) -> int:
        """Utterances that the tracker has not classified yet."""
        return sum(not isinstance(answerable, Relabel) and answerable[2] for _, answerable in self._unanswered)

    def awaited_by(self, reader: str) -> int:
        """The number of the first message that this reader has not read."""
        return self._log.awaited_by(reader)

    def excuse(self, reader: str) -> None:
        """Wait for this reader no more."""
        self._log.excuse(reader)

    @property
    def settled(self) -> bool:
        """Whether every reader has read everything."""
        return self._log.settled

    def _pass_on(self, message: AnyMessage) -> None:
        match message:
            case UtteranceFeatures():
                self._take_features(message)
            case Relabel() if not self._settle(message):  # perception says it; when the tracker does, it is public
                self._take_features(message)
            case EmotionEvent() if self._fed is not None:
                self._relay(message, self._fed)
            case EmotionEvent():
                self._answer(message)
            case SourceEnd():
                self._end_source(message)
            case WorkerStatus():
                self._take_status(message)
            case PublicMessage():
                self._take_public(message)

    def _take_status(self, status: WorkerStatus) -> None:
        if status.worker.startswith(SPARE):
            return
        self._log.publish(status)
        if not self._unanswered:  # else not all that ended before is classified
            self._raise(self._alerts.advance(status.since_ns))

    def _take_public(self, message: PublicMessage) -> None:
        if isinstance(message, Annotation):
            if why_not := self.annotate(message):
                self.warn(f"what was noted was not taken: {why_not}")
        elif not (isinstance(message, Hello) and self.greeted):  # trackers after the first go on, and do not greet
            self._publish(message)

    def _end_source(self, end: SourceEnd) -> None:
        """At the end of all sources perception ends; at that the tracker, and at that the session."""
        self._alerts.take(end)
        if end.source == "tracker":
            self.end(end.reason, end.note)
        elif end.source == "perception":
            self._log.publish(end, topic="features")

    def _take_features(self, message: UtteranceFeatures | Relabel) -> None:
        """What perception says of the conversation: for the tracker, in this order."""
        if self._fed is not None and isinstance(message, UtteranceFeatures):
            if self._settle(_key(message)):
                return  # perception says it; when who feeds a server does, the server has it
            self._fed.expect(message)
        passing = isinstance(message, UtteranceFeatures) and not message.final
        number = self._log.publish(message, topic="features", passing=passing)
        self._unanswered.append((number, message if isinstance(message, Relabel) else _key(message)))
        if isinstance(message, UtteranceFeatures) and message.final:
            last_ns = self.last_end_ns.get(message.source, 0)
            self.last_end_ns[message.source] = max(last_ns, message.t_end_ns)
            if told_apart := _VOICE.search(message.voice or ""):
                self.voices[message.source] = max(self.voices.get(message.source, 0), int(told_apart[1]))
            if message.t_end_ns > last_ns:
                self.context.append((message.speaker_name or message.voice or message.source, message.text))

    def _answer(self, event: EmotionEvent) -> None:
        """What the tracker says of an utterance. What a dead one had said before is not said again."""
        if event.seq < self._next_seq:
            return
        self._settle(_key(event))
        self._publish_event(event)

    def _relay(self, event: EmotionEvent, fed: FedEvents) -> None:
        """What the server says of an utterance; whether that is done, who feeds it says."""
        assert self.clock is not None
        if own := fed.own(event, self._next_seq, self.clock.now_ns()):
            self._publish_event(own)

    def _publish_event(self, event: EmotionEvent) -> None:
        assert self.clock is not None
        self._next_seq = event.seq + 1
        named = self._notes.named(event)
        self._publish(structs.replace(named, t_published_ns=self.clock.now_ns()), passing=not event.final)

    def _settle(self, answered: Answerable) -> bool:
        """Whether the tracker has answered this, and so everything before it; False if nobody waits for that."""
        if not any(answerable == answered for _, answerable in self._unanswered):
            return False
        while self._unanswered.popleft()[1] != answered:
            pass
        return True

    def _publish(self, message: Any, passing: bool = False) -> None:
        self.greeted = self.greeted or isinstance(message, Hello)
        self.totals.take(message)
        self._public.publish(message)
        self._log.publish(message, topic=PUBLIC, passing=passing)
        if not isinstance(message, Alert):
            self._raise(self._alerts.take(message))

    def _raise(self, alerts: list[Alert]) -> None:
        """Publish what the rules of the configuration found."""
        for alert in alerts:
            self._publish(alert)
            self._observe(alert)


def _key(message: UtteranceFields) -> Answerable:
    return message.utterance, message.revision, message.final
