"""The public event stream over ZeroMQ: one publisher, any number of programs that follow it.

A message on the wire is [topic, JSON]. Who comes late asks by subscribing to a topic of its own, and is answered on it:
so a program needs no second connection, and what it missed and what comes have one order.
"""

import contextlib
from collections import deque
from collections.abc import Iterable

import msgspec
import zmq

from erc_live.streams import codec
from erc_live.streams.address import check_endpoint
from erc_live.streams.errors import BadMessage
from erc_live.streams.messages import EmotionEvent, Hello, PublicEvent, PublicMessage, SessionEnd, SessionState
from erc_live.streams.sockets import BATCH, MAX_FRAME_BYTES, QUEUE, RECONNECT_MS, Outlet, close_socket, open_socket
from erc_live.streams.topics import BY_MESSAGE, BY_NAME

SNAPSHOT = "snapshot."  # + an id of its own: the topic on which one late subscriber is told what it missed


class EventPublisher:
    """The public stream. Whoever joins late is told who speaks and what the last `history` events were.

    A subscriber asks by subscribing to `snapshot.<an id of its own>` after the live topics, and is answered on that
    topic: `Hello`, the newest `SessionState`, the last events, and `SessionEnd` if it has come. Events that it reads
    before the `Hello` are in the answer, those that follow on the live topic are not: none is missing and none comes
    twice.
    """

    def __init__(self, endpoint: str, history: int) -> None:
        self._outlet = Outlet(endpoint, QUEUE + history)  # a whole snapshot fits in any case
        self._hello: Hello | None = None
        self._state: bytes | None = None
        self._end: bytes | None = None
        self._events: deque[bytes] = deque(maxlen=history)
        self._last_seq = -1
        self._speakers: dict[int, str] = {}
        self._waiting: list[bytes] = []

    def greet(self, hello: Hello) -> None:
        """Set what subscribers are told first, and answer who waits; `last_seq` and `speakers` are kept current."""
        self._hello = hello
        self._speakers |= enumerate(hello.speakers)
        self.poll()

    def publish(self, message: PublicEvent) -> None:
        """Send to every subscriber."""
        self.poll()  # who asked before is answered before, so the order on its socket is right
        if isinstance(message, Hello):
            self.greet(message)
        data = codec.to_json(message)
        if isinstance(message, EmotionEvent):
            self._events.append(data)
            self._last_seq = message.seq
            self._speakers[message.speaker] = message.speaker_name
        elif isinstance(message, SessionState):
            self._state = data
        elif isinstance(message, SessionEnd):
            self._end = data
        self._outlet.send([BY_MESSAGE[type(message)].name.encode(), data])

    def poll(self) -> None:
        """Answer those who asked for a snapshot. Call it every 20 ms or so: they wait for it."""
        prefix = SNAPSHOT.encode()
        self._waiting += [topic for topic in self._outlet.new_subscriptions() if topic.startswith(prefix)]
        if self._hello is None or not self._waiting:
            return
        names = tuple(self._speakers.get(i, "") for i in range(max(self._speakers, default=-1) + 1))
        hello = msgspec.structs.replace(self._hello, speakers=names, last_seq=self._last_seq)
        state, end = ([data] if data else [] for data in (self._state, self._end))
        snapshot = [codec.to_json(hello), *state, *self._events, *end]
        for topic in self._waiting:
            for data in snapshot:
                self._outlet.send([topic, data])
        self._waiting.clear()

    def subscribers(self, topic: str) -> int:
        """How many subscriptions cover `topic` now."""
        self.poll()
        return self._outlet.count(topic)

    def close(self) -> None:
        """Answer who still waits, let what was published leave (at most `LINGER_MS`), and stop listening."""
        self.poll()
        self._outlet.close()


class EventReceiver:
    """The inlet of a program that follows the stream at `endpoint`, whether or not it is there yet.

    `topics` are names of the table, and a snapshot topic after them. `bad` counts messages that were refused.
    """

    def __init__(self, endpoint: str, topics: Iterable[str]) -> None:
        self.bad = 0
        check_endpoint(endpoint)
        self._topics = tuple(topics)
        self._socket = open_socket(zmq.SUB, endpoint)
        self._socket.set(zmq.RCVHWM, QUEUE)
        self._socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.connect(endpoint)
        for topic in self._topics:  # in this order: the snapshot topic after those of the live messages
            self._socket.subscribe(topic)

    def receive(self, timeout_s: float) -> list[PublicMessage]:
        """Wait at most `timeout_s` for a message; return it and those behind it. Call it often: ZeroMQ reconnects in
        the background, but asks for its topics again from here.
        """
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            return []
        batch: list[PublicMessage] = []
        with contextlib.suppress(zmq.Again):
            for _ in range(BATCH):
                batch += self._read(self._socket.recv_multipart(zmq.NOBLOCK))
        return batch

    def close(self) -> None:
        close_socket(self._socket, linger_ms=0)

    def _read(self, frames: list[bytes]) -> list[PublicMessage]:
        """The message, if it is one of the stream and of its topic."""
        try:
            topic, data = frames
            full, message = topic.decode(), codec.from_json(data)
        except (BadMessage, UnicodeDecodeError, ValueError):
            self.bad += 1
            return []
        if full not in self._topics:
            return []  # ZeroMQ matches prefixes
        known = BY_NAME.get(full)
        if isinstance(message, PublicMessage) and (known is None or isinstance(message, known.message)):
            return [message]
        self.bad += 1
        return []
