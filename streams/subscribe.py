"""The event stream for other programs: one generator, whether the session began an hour ago or begins in a minute.

The public stream is one socket. Who comes late asks by subscribing to a topic of its own, and is answered on it: so a
program needs no second connection, and what it missed and what comes have one order. A sign of life says every second
how much was sent, so that neither a message nor the publisher itself can be missing in silence.
"""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from erc_live.streams.address import DEFAULT_ENDPOINT
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.errors import AddressError, StreamLost
from erc_live.streams.messages import (
    EmotionEvent,
    Gap,
    Heartbeat,
    Hello,
    PublicEvent,
    SessionEnd,
    SessionState,
)
from erc_live.streams.topics import BY_NAME

if TYPE_CHECKING:  # not at run time: who only reads sessions does not load ZeroMQ
    from erc_live.streams.curve_keys import KeyFolder

LIVE_TOPICS = (
    "event",
    "annotation",
    "alert",
    "gap",
    "relabel",
    "overload",
    "worker_lost",
    "session_state",
    "session_end",
)
_NOTES = 2000  # annotations and alerts that are known again
LOST_S = 3.0  # without a sign of life; there is one a second
_HEARTBEAT = "heartbeat"
_SNAPSHOT = "snapshot."  # + an id of its own: the topic on which it is told what it missed
_ANSWER_S = 0.4  # in which a session that runs answers
_LOOK_S = 0.5  # how often a wait looks up, so that Ctrl-C works everywhere
_OTHERS = {BY_NAME[name].message: name for name in LIVE_TOPICS if name not in ("event", "session_state", "session_end")}


def subscribe(  # noqa: PLR0913 - each is of use alone
    endpoint: str = DEFAULT_ENDPOINT,
    *,
    timeout_s: float | None = None,
    on_wait: Callable[[], None] | None = None,
    follow: bool = False,
    over: Callable[[], bool] = lambda: False,
    server_key: str | None = None,
    keys: "KeyFolder | None" = None,
    dialogue: str = "",
) -> Iterator[PublicEvent]:
    """Yield a `Hello`, the last events before it, then what happens, up to the `SessionEnd`.

    No event comes twice. What was missed, because this program read too slowly or the connection broke, is told by a
    `Gap` of cause "bus" whose source is the topic: "event", "relabel" and so on. A session that begins anew on the same
    endpoint says `Hello` again. `follow`: go on with the next session, when one has ended or vanished. `over` is asked
    twice a second at least, and ends the stream.

    `endpoint` is "auto", the socket of this user, or what `events.endpoint` says. An endpoint of another machine needs
    `server_key`, the public key of who publishes there; "none" is a publisher without keys. `keys`: another folder of
    keys than that of this user. `dialogue`: follow this one of a server that publishes many (`erc-live serve`).

    Raises AddressError if nobody says `Hello` within `timeout_s` (None: wait for ever), or the endpoint cannot be used;
    StreamLost if the session vanished: no sign of life for `LOST_S`, and no `SessionEnd`. `on_wait` is called where a
    session that runs would have answered and none has, once for each wait.
    """
    from erc_live.streams.event_stream import EventReceiver  # here: who only reads sessions does not load ZeroMQ

    one = f".{dialogue}" if dialogue else ""
    topics = [*(topic + one for topic in (*LIVE_TOPICS, _HEARTBEAT)), f"{_SNAPSHOT}{uuid.uuid4().hex}{one}"]
    inlet = EventReceiver(endpoint, topics, server_key=server_key, keys=keys)
    stream, patience = InOrder(), _StreamWait(inlet.endpoint, timeout_s, on_wait)
    try:
        while not (stream.ended or over()):
            begun_s = time.monotonic()
            messages = inlet.receive(patience.wait_s(stream.alive))
            waited_s = time.monotonic() - begun_s
            for message in messages:
                yield from stream.feed(message)
            if stream.ended and follow:
                stream = InOrder(after=stream.session)
                patience.begin()
            elif patience.is_lost(0.0 if messages else waited_s, stream):
                if not follow:
                    raise StreamLost(
                        f"{inlet.endpoint}: no sign of life for {LOST_S:g} s: the session or its machine is gone; "
                        "events may be missing"
                    )
                stream.alive = False
                patience.begin()
    finally:
        inlet.close()


class _StreamWait:
    """How long to wait: for a `Hello` as long as was asked for, and then for signs of life."""

    def __init__(self, endpoint: str, timeout_s: float | None, on_wait: Callable[[], None] | None) -> None:
        self._endpoint, self._timeout_s, self._on_wait = endpoint, timeout_s, on_wait
        self.begin()

    def begin(self) -> None:
        """From now on, nobody is there."""
        now_s = time.monotonic()
        self._deadline_s = None if self._timeout_s is None else now_s + self._timeout_s
        self._answer_s: float | None = now_s + _ANSWER_S
        self._silent_s = 0.0

    def wait_s(self, alive: bool) -> float:
        """How long the next look may take."""
        if alive:
            return min(_LOOK_S, max(0.0, LOST_S - self._silent_s))
        return _LOOK_S if self._deadline_s is None else min(_LOOK_S, max(0.0, self._deadline_s - time.monotonic()))

    def is_lost(self, waited_s: float, stream: "InOrder") -> bool:
        """Whether the session vanished, after another `waited_s` in vain; time that this program took does not count.

        Raises AddressError where nobody has said `Hello` in time.
        """
        now_s = time.monotonic()
        if stream.alive:
            self._deadline_s = self._answer_s = None
            self._silent_s = self._silent_s + waited_s if waited_s else 0.0
            return stream.watched and self._silent_s >= LOST_S
        if self._deadline_s is not None and now_s >= self._deadline_s:
            raise AddressError(
                f"nobody answers at {self._endpoint} within {self._timeout_s:g} s; is erc-live running there?"
            )
        if self._answer_s is not None and now_s >= self._answer_s:
            self._answer_s = None
            if self._on_wait:
                self._on_wait()
        return False


class InOrder:
    """What to show of what was received: nothing before the Hello, nothing twice, nothing lost in silence.

    `alive`: a session has said Hello, and is not known to have gone. `watched`: it gives signs of life. `after`: the id
    of a session that has ended, which may say so once more.
    """

    def __init__(self, after: str = "") -> None:
        self.ended = False
        self.alive = False
        self._after = after
        self._hello: Hello | None = None
        self._seq: int | None = None  # of the last event; None where the first one may have any number
        self._known: Counter[str] = Counter()  # messages of each topic that came, or whose loss was told; not events
        self._notes: dict[Annotation | Alert, None] = {}  # in the order in which they came
        self._t_end_ns = 0

    @property
    def session(self) -> str:
        return self._hello.session if self._hello else ""

    @property
    def watched(self) -> bool:
        return self._hello is not None and self._hello.published is not None

    def feed(self, message: object) -> Iterator[PublicEvent]:
        """Yield what is new in `message`."""
        if isinstance(message, Hello):
            yield from self._greet(message)
        elif self._hello is None or self.ended:
            return
        elif isinstance(message, EmotionEvent):
            yield from self._event(message)
        elif isinstance(message, Heartbeat):
            yield from self._live(message)
        elif isinstance(message, SessionState):
            yield message
        elif isinstance(message, SessionEnd):
            self.ended = True
            yield message
        elif topic := _OTHERS.get(type(message)):
            yield from self._other(topic, cast("PublicEvent", message))

    def _other(self, topic: str, message: PublicEvent) -> Iterator[PublicEvent]:
        self._known[topic] += 1
        if not self._is_known(message):
            yield message

    def _is_known(self, message: object) -> bool:
        """Whether this annotation or alert came before: a session that greets once more sends them once more."""
        if not isinstance(message, Annotation | Alert) or message in self._notes:
            return isinstance(message, Annotation | Alert)
        self._notes[message] = None
        if len(self._notes) > _NOTES:
            del self._notes[next(iter(self._notes))]
        return False

    def _greet(self, hello: Hello) -> Iterator[Hello | Gap]:
        """After a broken connection the same session greets again, and a restarted one counts from 0 again."""
        if hello.session == self._after:
            return
        old, self._hello = self._hello, hello
        self.alive = True
        if old and old.session == hello.session and hello.last_seq >= (-1 if self._seq is None else self._seq):
            yield from self._missing(hello.published or {}, hello.t_ns)
            self._known = Counter(hello.published or {})  # the annotations that follow are counted once more
            return
        self._seq = None if hello.last_seq >= 0 else -1
        self._known = Counter(hello.published or {})
        self._t_end_ns = hello.t_ns
        yield hello

    def _event(self, event: EmotionEvent) -> Iterator[EmotionEvent | Gap]:
        if self._seq is not None and event.seq <= self._seq:
            return
        yield from self._missing_events(event.seq - 1, event.t_start_ns)
        self._seq, self._t_end_ns = event.seq, event.t_end_ns
        yield event

    def _live(self, heartbeat: Heartbeat) -> Iterator[Gap]:
        if heartbeat.session == self.session:
            self.alive = True
            yield from self._missing_events(heartbeat.last_seq, heartbeat.t_ns)
            yield from self._missing(heartbeat.published, heartbeat.t_ns)

    def _missing_events(self, last_seq: int, until_ns: int) -> Iterator[Gap]:
        """What is missing up to that event, if the one to begin with is known."""
        if self._seq is not None and last_seq > self._seq:
            yield self._gap("event", last_seq - self._seq, until_ns)
            self._seq = last_seq

    def _missing(self, published: dict[str, int], until_ns: int) -> Iterator[Gap]:
        """What is missing of other messages; a later version may publish what nobody here subscribes to."""
        for topic in _OTHERS.values():
            lost = published.get(topic, 0) - self._known[topic]
            if lost > 0:
                self._known[topic] += lost
                yield self._gap(topic, lost, until_ns)

    def _gap(self, source: str, lost: int, until_ns: int) -> Gap:
        return Gap(
            source=source,
            t_start_ns=self._t_end_ns,
            t_end_ns=max(self._t_end_ns, until_ns),
            lost=lost,
            cause="bus",
        )
