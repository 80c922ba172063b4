"""Publishers and subscribers over ZeroMQ. Only this file imports `zmq`.

Why publish/subscribe: the recorder or a second screen can listen to any topic without taking a message from anybody.
What ZeroMQ does silently is made visible here: a message lost to a slow reader or with a writer becomes a `Gap`.
A message on the wire is

    [topic, number (8 bytes, big-endian, counts per topic from 0), header, array, array, ...]   encoded as "frames"
    [topic, JSON]                                                                               encoded as "json"

The number is of the envelope and not of the message: so one mechanism finds what is missing of any kind of message.
The rules: a publisher never waits for its readers; every queue has a limit; nothing listens outside this machine; what
a peer sends may be counted and dropped, but never stops us. An object belongs to one thread. Three options of ZeroMQ
are left alone: CONFLATE aborts the process on messages of several frames; XPUB_NODROP lets one slow reader stop all;
and heartbeats take a reader whose queue is full for dead, after which libzmq aborts the process that empties the queue
(its bug report 3937). The kernel tells of peers on this machine that died.
"""

import contextlib
import errno
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import zmq

from erc_live.streams import codec
from erc_live.streams.address import check_endpoint, check_unused
from erc_live.streams.errors import AddressError, BadMessage
from erc_live.streams.messages import (
    AnyMessage,
    EmotionEvent,
    Gap,
    Hello,
    PublicEvent,
    PublicMessage,
    SessionEnd,
)
from erc_live.streams.topics import BY_MESSAGE, BY_NAME

SNAPSHOT = "snapshot."  # + an id of its own: the topic on which one late subscriber is told what it missed
RECONNECT_MS = 50
LINGER_MS = 2000
QUEUE = 1000  # messages; 32 s of audio
MAX_FRAME_BYTES = 16 << 20  # a JPEG is far smaller; ZeroMQ cuts off for good who sends more
MAX_REQUEST_BYTES = 1024  # all that a subscriber sends: topics
BATCH = 256  # messages taken in one call, so that a flood cannot hold the caller


class Publisher:
    """The outlet of one worker, bound to `endpoint`. Raises AddressError if that cannot be used.

    `queue`: messages held for each slow reader before it loses some; for video `topics.BY_NAME["video"].queue`.
    """

    def __init__(self, endpoint: str, queue: int = QUEUE) -> None:
        self._outlet = _Outlet(endpoint, queue)
        self._next_number: Counter[str] = Counter()

    def publish(self, message: AnyMessage, source: str = "") -> None:
        """Send to whoever listens to the topic of this type of message, or to `<topic>.<source>`."""
        topic = BY_MESSAGE[type(message)]
        full = f"{topic.name}.{source}" if source else topic.name
        if topic.encoding == "json":
            frames = [codec.to_json(message)]
        else:
            frames = [self._next_number[full].to_bytes(8, "big"), *codec.encode(message)]
            self._next_number[full] += 1
        self._outlet.send([full.encode(), *frames])

    def subscribers(self, topic: str) -> int:
        """How many subscriptions cover `topic` now: one for each `Subscriber` that asked for it."""
        self._outlet.new_subscriptions()
        return self._outlet.count(topic)

    def close(self) -> None:
        """Let what was published leave (at most `LINGER_MS`), and stop listening."""
        self._outlet.close()


class _Last(NamedTuple):
    number: int
    t_end_ns: int


class Subscriber:
    """The inlet of one worker: one socket, connected to several publishers, whether or not they are there yet.

    `topics` are names of the table ("audio": of all sources), full topics ("audio.mic"), or a snapshot topic. A peer
    that dies is reconnected to when it is back. `keep_all`, for recording, keeps all messages where the table says that
    only the newest counts. Attributes: `bad` messages refused, and messages `skipped` because a newer one was there.
    """

    def __init__(self, endpoints: Iterable[str], topics: Iterable[str], *, keep_all: bool = False) -> None:
        self.bad = 0
        self.skipped = 0
        self._topics = tuple(topics)
        self._newest = {t.name for t in BY_NAME.values() if t.late == "newest" and not keep_all}
        self._last: dict[str, _Last] = {}
        endpoints = tuple(endpoints)
        for endpoint in endpoints:
            check_endpoint(endpoint)
        self._socket = _socket(zmq.SUB, *endpoints)
        self._socket.set(zmq.RCVHWM, QUEUE)
        self._socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        for endpoint in endpoints:
            self._socket.connect(endpoint)
        for topic in self._topics:  # in this order: the snapshot topic after those of the live messages
            self._socket.subscribe(topic)

    def receive(self, timeout_s: float) -> list[AnyMessage]:
        """Wait at most `timeout_s` for a message; return it and those behind it, in order for each publisher.

        A `Gap` stands where numbers are missing (`lost` is 0 where a publisher began again: nobody knows). Call it
        often: ZeroMQ reconnects in the background, but asks for its topics again from here.
        """
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            return []
        batch: list[tuple[str, AnyMessage]] = []
        with contextlib.suppress(zmq.Again):
            for _ in range(BATCH):
                batch += self._read(self._socket.recv_multipart(zmq.NOBLOCK))
        return self._without_outdated(batch)

    def close(self) -> None:
        _close(self._socket, linger_ms=0)

    def _read(self, frames: list[bytes]) -> list[tuple[str, AnyMessage]]:
        """The full topic and message of an envelope, after a Gap if some are missing; nothing if it is not ours."""
        try:
            full = frames[0].decode()
            if not any(full == topic or full.startswith(topic + ".") for topic in self._topics):
                return []  # ZeroMQ matches prefixes: who asks for audio.mic is sent audio.mic2, too
            number, message = _open_envelope(full, frames[1:])
        except (BadMessage, UnicodeDecodeError):
            self.bad += 1
            return []
        gap = self._gap_before(full, number, message) if number is not None else None
        return [("", gap), (full, message)] if gap else [(full, message)]

    def _gap_before(self, full: str, number: int, message: AnyMessage) -> Gap | None:
        last = self._last.get(full)
        t_start_ns, t_end_ns = _times(message)
        self._last[full] = _Last(number, t_end_ns)
        name, _, source = full.partition(".")
        if last is None or number == last.number + 1 or not BY_NAME[name].recorded:
            return None  # the topic that is not recorded, status, says everything each time
        return Gap(
            source=source or name,
            t_start_ns=last.t_end_ns,
            t_end_ns=max(t_start_ns, last.t_end_ns),
            lost=max(0, number - last.number - 1),
            cause="bus",
        )

    def _without_outdated(self, batch: list[tuple[str, AnyMessage]]) -> list[AnyMessage]:
        kept: list[AnyMessage] = []
        seen: set[str] = set()
        for full, message in reversed(batch):
            if full in seen:
                self.skipped += 1
                continue
            if full.partition(".")[0] in self._newest:
                seen.add(full)
            kept.append(message)
        return kept[::-1]


class EventPublisher:
    """The public stream. Whoever joins late is told who speaks and what the last `history` events were.

    A subscriber asks by subscribing to `snapshot.<an id of its own>` after the live topics, and is answered on that
    topic: `Hello`, then the last events, then `SessionEnd` if it has come. Events that it reads before the `Hello` are
    in the answer, those that follow on the live topic are not: none is missing and none comes twice.
    """

    def __init__(self, endpoint: str, history: int) -> None:
        self._outlet = _Outlet(endpoint, QUEUE + history)  # a whole snapshot fits in any case
        self._hello: Hello | None = None
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
        snapshot = [codec.to_json(hello), *self._events, *([self._end] if self._end else [])]
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


class _Outlet:
    """A bound XPUB socket: it sends, and knows which topics are subscribed to."""

    def __init__(self, endpoint: str, queue: int) -> None:
        check_endpoint(endpoint)
        check_unused(endpoint)
        self._subscriptions: Counter[bytes] = Counter()
        self._socket = _socket(zmq.XPUB, endpoint)
        self._socket.set(zmq.SNDHWM, queue)
        self._socket.set(zmq.XPUB_VERBOSER, 1)  # tell of every peer, not only of the first and last on a topic
        self._socket.set(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            _close(self._socket, linger_ms=0)
            raise AddressError(_bind_problem(endpoint, error)) from error

    def send(self, frames: list[bytes]) -> None:
        """Send without waiting: a reader whose queue is full loses it."""
        self._socket.send_multipart(frames)

    def new_subscriptions(self) -> list[bytes]:
        """The topics that were subscribed to since the last call, in order."""
        new: list[bytes] = []
        with contextlib.suppress(zmq.Again):
            while True:
                request = self._socket.recv(zmq.NOBLOCK)  # 1 or 0, then the topic; anything else is not for us
                if request[:1] == b"\x01":
                    self._subscriptions[request[1:]] += 1
                    new.append(request[1:])
                elif request[:1] == b"\x00":
                    self._subscriptions -= Counter([request[1:]])  # this form of subtraction drops what falls to zero
        return new

    def count(self, topic: str) -> int:
        return sum(n for prefix, n in self._subscriptions.items() if topic.encode().startswith(prefix))

    def close(self) -> None:
        _close(self._socket, LINGER_MS)


def _open_envelope(full: str, frames: list[bytes]) -> tuple[int | None, AnyMessage]:
    """The number (None on topics encoded as JSON) and the message. Raises BadMessage."""
    topic = BY_NAME.get(full.partition(".")[0])
    if topic is not None and topic.encoding == "frames":
        if len(frames) < 2 or len(frames[0]) != 8:
            raise BadMessage(f"{full}: no number, or no message")
        number, message = int.from_bytes(frames[0], "big"), codec.decode(frames[1:])
    elif len(frames) == 1:
        number, message = None, codec.from_json(frames[0])
    else:
        raise BadMessage(f"{full}: {len(frames)} frames of JSON")
    if not isinstance(message, topic.message if topic else PublicMessage):
        raise BadMessage(f"{full}: unexpected {type(message).__name__}")
    return number, message


def _times(message: AnyMessage) -> tuple[int, int]:
    """When what the message tells of began and ended; the same instant for messages of one stamp."""
    start: int = getattr(message, "t_start_ns", getattr(message, "t_ns", 0))
    return start, getattr(message, "t_end_ns", start)


def _socket(kind: int, *endpoints: str) -> zmq.Socket[bytes]:
    # A context of its own, so that `_close` can wait until this socket has sent everything. In-process endpoints are
    # the exception: they are only visible within a context.
    shared = any(endpoint.startswith("inproc:") for endpoint in endpoints)
    opened = (zmq.Context.instance() if shared else zmq.Context()).socket(kind)
    opened.set(zmq.IPV6, int(any("[" in endpoint for endpoint in endpoints)))
    return opened


def _close(used: zmq.Socket[bytes], linger_ms: int) -> None:
    context = used.context
    used.close(linger=linger_ms)
    if context is not zmq.Context.instance():
        context.term()


def _bind_problem(endpoint: str, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        port = endpoint.rpartition(":")[2]
        return f"port {port} is in use, perhaps by another erc-live; stop it or set events.endpoint to another port"
    return f"cannot listen on {endpoint}: {error.strerror}; set events.endpoint to another address"
