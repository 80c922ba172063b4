"""The event stream for other programs: one generator, whether the session began an hour ago or begins in a minute.

The public stream is one socket. Who comes late asks by subscribing to a topic of its own, and is answered on it: so a
program needs no second connection, and what it missed and what comes have one order.
"""

import time
import uuid
from collections.abc import Callable, Iterator

from erc_live.streams.address import DEFAULT_ENDPOINT
from erc_live.streams.errors import AddressError
from erc_live.streams.messages import (
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    PublicEvent,
    Relabel,
    SessionEnd,
    SessionState,
    WorkerLost,
)

LIVE_TOPICS = ("event", "gap", "relabel", "overload", "worker_lost", "session_state", "session_end")
_ANSWER_S = 0.4  # in which a session that runs answers
_LOOK_S = 0.5  # how often a wait looks up, so that Ctrl-C works everywhere


def subscribe(
    endpoint: str = DEFAULT_ENDPOINT, *, timeout_s: float | None = None, on_wait: Callable[[], None] | None = None
) -> Iterator[PublicEvent]:
    """Yield a `Hello`, the last events before it, then what happens, up to the `SessionEnd`.

    No event comes twice. Those that were missed, because this program read too slowly or the connection broke, are
    told by a `Gap` of source "event". A session that begins anew on the same endpoint says `Hello` again. Raises
    AddressError if nobody says `Hello` within `timeout_s` (None: wait for ever), or the endpoint cannot be used.
    `on_wait` is called once, where a session that runs would have answered and none has.
    """
    from erc_live.streams.event_stream import (  # here: who only reads sessions does not load ZeroMQ
        SNAPSHOT,
        EventReceiver,
    )

    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    answered = time.monotonic() + _ANSWER_S
    inlet = EventReceiver(endpoint, [*LIVE_TOPICS, SNAPSHOT + uuid.uuid4().hex])
    stream = InOrder()
    try:
        while not stream.ended:
            wait_s = _LOOK_S if deadline is None else min(_LOOK_S, deadline - time.monotonic())
            for message in inlet.receive(wait_s):
                yield from stream.feed(message)
            if on_wait and not stream.greeted and time.monotonic() >= answered:
                on_wait()
                on_wait = None
            if stream.greeted:
                deadline = None
            elif deadline is not None and time.monotonic() >= deadline:
                raise AddressError(f"nobody answers at {endpoint} within {timeout_s:g} s; is erc-live running there?")
    finally:
        inlet.close()


class InOrder:
    """What to show of what was received: nothing before the Hello, nothing twice, nothing lost in silence."""

    def __init__(self) -> None:
        self.ended = False
        self._hello: Hello | None = None
        self._seq: int | None = None  # of the last event; None where the first one may have any number
        self._t_end_ns = 0

    @property
    def greeted(self) -> bool:
        return self._hello is not None

    def feed(self, message: object) -> Iterator[PublicEvent]:
        """Yield what is new in `message`."""
        if isinstance(message, Hello):
            yield from self._greet(message)
        elif self._hello is None or self.ended:
            return
        elif isinstance(message, EmotionEvent):
            yield from self._event(message)
        elif isinstance(message, Gap | Relabel | Overload | WorkerLost | SessionState):
            yield message
        elif isinstance(message, SessionEnd):
            self.ended = True
            yield message

    def _greet(self, hello: Hello) -> Iterator[Hello]:
        """After a broken connection the same session greets again, and a restarted one counts from 0 again."""
        old, self._hello = self._hello, hello
        if old and old.session == hello.session and hello.last_seq >= (-1 if self._seq is None else self._seq):
            return
        self._seq = None if hello.last_seq >= 0 else -1
        self._t_end_ns = hello.t_ns
        yield hello

    def _event(self, event: EmotionEvent) -> Iterator[EmotionEvent | Gap]:
        if self._seq is not None and event.seq <= self._seq:
            return
        if self._seq is not None and event.seq > self._seq + 1:
            t_end_ns = max(self._t_end_ns, event.t_start_ns)
            lost = event.seq - self._seq - 1
            yield Gap(source="event", t_start_ns=self._t_end_ns, t_end_ns=t_end_ns, lost=lost, cause="bus")
        self._seq, self._t_end_ns = event.seq, event.t_end_ns
        yield event
