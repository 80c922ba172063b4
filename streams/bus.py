r"""Publishers and subscribers between the processes of one session, over ZeroMQ.

Each publisher has one log (`ring.py`) and gives every reader what it asks for. Publish/subscribe sockets carry it, so
that no process needs to be there before another one; a reader's questions go up the same connection:

    down  [b"<reader>\0<instance>", publisher, number, header, array, array, ...]      numbers: 8 bytes, big-endian
          [b"status", publisher, header]                   not in the log: only the newest counts, whoever listens
    up    0x02, then `Question` as msgpack                 several times a second

A question says which number the reader awaits of each publisher: so it acknowledges what was read, gives credit for
what may follow, and tells one that began anew where to go on. What was read twice for that reason is known by its
number and passed over. Who takes the place of a reader that died is another instance, and is sent nothing that was
meant for the one before. The rules: a publisher never waits for a reader, but who publishes a recording may ask whether
it should (`full`); what was lost is a `Gap`, whoever loses it. An object belongs to one thread.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import zmq

from erc_live.streams import codec
from erc_live.streams.address import check_endpoint, check_unused
from erc_live.streams.curve_keys import KeyPair
from erc_live.streams.errors import AddressError, BadMessage
from erc_live.streams.messages import AnyMessage, AudioChunk, Gap, VideoFrame, WorkerStatus
from erc_live.streams.ring import WINDOW, Entry, Retention, Ring
from erc_live.streams.sockets import (
    BATCH,
    LINGER_MS,
    MAX_FRAME_BYTES,
    QUEUE,
    RECONNECT_MS,
    close_socket,
    guard,
    open_socket,
)
from erc_live.streams.topics import BY_MESSAGE, BY_NAME

ASK_S = 0.05  # a reader asks at least as often, if it can
MAX_QUESTION_BYTES = 64 << 10
_QUESTION = b"\x02"
_STATUS = b"status"


class Question(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a reader says to all publishers. `instance`: another process of the same name has another. `awaited`: number
    by publisher. `since_ns`, by source: what ended before is never asked for again; None: that is what was read.
    """

    reader: str
    instance: int
    topics: tuple[str, ...]
    awaited: dict[str, int]
    since_ns: dict[str, int] | None


class Publisher:
    """The outlet of one worker, bound to `endpoint`. Raises AddressError if that cannot be used.

    `name` tells it from others, also from one that it takes the place of, unless it numbers its messages as that one
    did. Call `poll` often, or `publish`: readers are answered there. `pair`: the keys of the session, where others can
    reach the endpoint.
    """

    def __init__(
        self,
        endpoint: str,
        name: str,
        retention: Retention = Retention(),  # noqa: B008 - a value
        pair: KeyPair | None = None,
    ) -> None:
        check_endpoint(endpoint)
        check_unused(endpoint)
        self._name = name.encode()
        self._socket = open_socket(zmq.XPUB, endpoint)
        self._socket.set(zmq.SNDHWM, QUEUE)
        self._socket.set(zmq.MAXMSGSIZE, MAX_QUESTION_BYTES)
        if pair is not None:
            guard(self._socket, pair, server=True)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            close_socket(self._socket, linger_ms=0)
            raise AddressError(f"cannot listen on {endpoint}: {error.strerror}") from error
        self._ring = Ring(retention)
        self.bad = 0  # questions that were refused

    @property
    def end(self) -> int:
        """The number of the next message."""
        return self._ring.end

    def publish(self, message: AnyMessage, *, topic: str = "", passing: bool = False) -> int:
        """Number a message, keep it and send it to whoever wants it; returns its number. A sign of life is only sent.

        `topic`: under which readers ask for it; default: that of its type. `passing`: need not be kept for long.
        """
        frames = codec.encode(message)
        if isinstance(message, WorkerStatus):
            self._socket.send_multipart([_STATUS, self._name, *frames])
            return self._ring.end
        start_ns, end_ns = times(message)
        topic = topic or BY_MESSAGE[type(message)].name
        entry = Entry(topic, getattr(message, "source", ""), start_ns, end_ns, tuple(frames))
        number = self._ring.append(entry, passing=passing)
        self._send()
        return number

    def poll(self) -> None:
        """Take the questions of readers, and send what they may have."""
        with contextlib.suppress(zmq.Again):
            while True:
                data = self._socket.recv(zmq.NOBLOCK)
                if data[:1] == _QUESTION:  # the rest are the subscriptions of ZeroMQ itself
                    self._take(data[1:])
        self._send()

    def excuse(self, reader: str) -> None:
        """Keep nothing for this reader any more."""
        self._ring.excuse(reader)

    def awaited_by(self, reader: str) -> int:
        """The number of the first message that this reader has not said to have read."""
        return self._ring.awaited_by(reader)

    @property
    def full(self) -> bool:
        """Whether who publishes a recording should wait for its readers."""
        self.poll()
        return self._ring.full

    @property
    def settled(self) -> bool:
        """Whether every reader has read everything."""
        self.poll()
        return self._ring.settled

    def close(self) -> None:
        """Let what was sent leave (at most `LINGER_MS`), and stop listening."""
        close_socket(self._socket, LINGER_MS)

    def _take(self, data: bytes) -> None:
        try:
            question = msgspec.msgpack.decode(data, type=Question)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.bad += 1
            return
        awaited = question.awaited.get(self._name.decode())
        gone = self._ring.ask(
            question.reader, question.instance, question.topics, awaited, question.since_ns, time.monotonic()
        )
        self._notify(question.reader, question.instance, gone)

    def _send(self) -> None:
        for reader, instance in self._ring.readers.items():
            self._notify(reader, instance, self._ring.missed(reader))
            for number, entry in self._ring.due(reader):
                envelope = [_address(reader, instance), self._name, number.to_bytes(8, "big")]
                self._socket.send_multipart([*envelope, *entry.frames])

    def _notify(self, reader: str, instance: int, gaps: Iterable[Gap]) -> None:
        """Of a loss: for this reader only, so without a number."""
        for gap in gaps:
            self._socket.send_multipart([_address(reader, instance), self._name, b"", *codec.encode(gap)])


class Numbered(NamedTuple):
    """A message and its number in the log of its publisher; -1: it is in none."""

    message: AnyMessage
    number: int


class _Latest(NamedTuple):
    """The last of a source: who published it, when it began and ended, and how long after the one before."""

    publisher: bytes
    t_start_ns: int
    t_end_ns: int
    each_ns: int


class Subscriber:
    """The inlet of one worker: one socket, connected to several publishers, whether or not they are there yet.

    `topics` are names of the table. `since_ns`: where to begin of each source, for who takes another's place, and from
    then on what will never be asked for again (`let_go`); None: what was read. `awaited`: of each publisher, the number
    to begin with. `bad` counts messages refused.
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        topics: Iterable[str],
        reader: str,
        since_ns: Mapping[str, int] | None = None,
        awaited: Mapping[str, int] | None = None,
        pair: KeyPair | None = None,
    ) -> None:
        self.bad = 0
        self._drained_s = time.monotonic()  # when nothing waited last
        self._topics = tuple(topics)
        self._reader = reader
        self._instance = os.getpid() << 32 | time.monotonic_ns() & 0xFFFFFFFF
        self.since_ns = None if since_ns is None else dict(since_ns)
        self._awaited: dict[str, int] = dict(awaited or {})
        self._latest: dict[tuple[type, str], _Latest] = {}
        self._begin_ns = dict(self.since_ns or {})
        self._missing_until_ns: dict[str, int] = {}  # by source, up to when gaps have told what is missing
        self._barred: set[bytes] = set()
        self._endpoints: set[str] = set()
        self._asked_s = 0.0
        self._unasked = 0  # messages since
        self._socket = open_socket(zmq.XSUB)
        self._socket.set(zmq.RCVHWM, QUEUE)
        self._socket.set(zmq.SNDHWM, QUEUE)
        self._socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        if pair is not None:
            guard(self._socket, pair, server=False)
        self._socket.send(b"\x01" + _address(reader, self._instance))
        if "status" in self._topics:
            self._socket.send(b"\x01" + _STATUS)
        for endpoint in endpoints:
            self.connect(endpoint)

    def connect(self, endpoint: str) -> None:
        """Listen to one more publisher; to one place once, whoever publishes there in turn."""
        check_endpoint(endpoint)
        if endpoint not in self._endpoints:
            self._endpoints.add(endpoint)
            self._socket.connect(endpoint)
        self._asked_s = 0.0

    def disconnect(self, endpoint: str) -> None:
        """Listen there no more, and look no more for who may come there."""
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)
            self._socket.disconnect(endpoint)

    def bar(self, publisher: str) -> None:
        """Take nothing of this publisher any more: it is dead, and another one says it again."""
        self._barred.add(publisher.encode())

    @property
    def behind_s(self) -> float:
        """For how long messages have waited here, in s."""
        return time.monotonic() - self._drained_s

    def let_go(self, since_ns: Mapping[str, int]) -> None:
        """Of each source, what ended before this is never asked for again, by whoever takes this reader's place."""
        self.since_ns = dict(since_ns)

    def receive(self, timeout_s: float) -> list[AnyMessage]:
        """The messages of `receive_numbered`."""
        return [message for message, _ in self.receive_numbered(timeout_s)]

    def receive_numbered(self, timeout_s: float) -> list[Numbered]:
        """Wait at most `timeout_s` for a message; return it and those behind it, in order for each publisher.

        A `Gap` stands where something was lost: because this reader was too slow for a device, or because a publisher
        died and another one went on. Call it often: what is not asked for is not sent.
        """
        self._ask()
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            self._drained_s = time.monotonic()
            return []
        batch: list[Numbered] = []
        try:
            for _ in range(BATCH):
                batch += self._read(self._socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            self._drained_s = time.monotonic()
        self._ask()
        return _without_outdated(batch)

    def close(self) -> None:
        """Acknowledge what was read, and stop listening."""
        self._asked_s = 0.0
        self._ask()
        close_socket(self._socket, linger_ms=100)

    def _ask(self) -> None:
        now_s = time.monotonic()
        if now_s - self._asked_s < ASK_S and self._unasked < WINDOW // 4:
            return
        self._asked_s, self._unasked = now_s, 0
        question = Question(self._reader, self._instance, self._topics, self._awaited, self.since_ns)
        with contextlib.suppress(zmq.Again):
            self._socket.send(_QUESTION + msgspec.msgpack.encode(question), zmq.NOBLOCK)

    def _read(self, frames: list[bytes]) -> list[Numbered]:
        """What an envelope brings: nothing if it is not ours, or was read before."""
        try:
            address, publisher, *rest = frames
            if publisher in self._barred:
                return []
            if address == _STATUS:
                return [Numbered(codec.decode(rest), -1)]
            number = int.from_bytes(rest[0], "big") if rest[0] else -1
            name = publisher.decode()
            if rest[0] and number < self._awaited.get(name, 0):
                return []
            message = codec.decode(rest[1:])
        except (BadMessage, ValueError, IndexError):
            self.bad += 1
            return []
        if rest[0]:
            self._awaited[name] = number + 1
            self._unasked += 1
        if isinstance(message, Gap):
            self._missing_until_ns[message.source] = max(
                message.t_end_ns, self._missing_until_ns.get(message.source, 0)
            )
        hole = self._hole_before(publisher, message)
        return [*([Numbered(hole, -1)] if hole else []), Numbered(message, number)]

    def _hole_before(self, publisher: bytes, message: AnyMessage) -> Gap | None:
        """What was lost where another publisher goes on with a source."""
        if not isinstance(message, AudioChunk | VideoFrame):
            return None
        start_ns, end_ns = times(message)
        key = type(message), message.source
        before = self._latest.get(key)
        each_ns = start_ns - before.t_start_ns if before and before.publisher == publisher else 0
        self._latest[key] = _Latest(publisher, start_ns, end_ns, each_ns)
        if before is None and isinstance(message, AudioChunk):
            return self._hole_at_begin(message)
        if before is None or before.publisher == publisher or start_ns <= before.t_end_ns:
            return None
        lost = round((start_ns - before.t_end_ns) / before.each_ns) if before.each_ns else 0
        return Gap(source=message.source, t_start_ns=before.t_end_ns, t_end_ns=start_ns, lost=lost, cause="worker")

    def _hole_at_begin(self, first: AudioChunk) -> Gap | None:
        """What was lost because who published it died, too, before it could be asked for again."""
        since_ns = self._begin_ns.get(first.source)
        if since_ns is None or first.t_ns <= (since_ns := max(since_ns, self._missing_until_ns.get(first.source, 0))):
            return None
        lost = round((first.t_ns - since_ns) / max(first.t_end_ns - first.t_ns, 1))
        return Gap(source=first.source, t_start_ns=since_ns, t_end_ns=first.t_ns, lost=lost, cause="worker")


def times(message: AnyMessage) -> tuple[int, int]:
    """When what the message tells of began and ended; the same instant for messages of one stamp."""
    start: int = getattr(message, "t_start_ns", getattr(message, "t_ns", 0))
    return start, getattr(message, "t_end_ns", start)


def _address(reader: str, instance: int) -> bytes:
    """ZeroMQ matches prefixes; no name holds a zero byte, so no name is a prefix of another."""
    return reader.encode() + b"\0" + instance.to_bytes(8, "big")


def _without_outdated(batch: list[Numbered]) -> list[Numbered]:
    """The same, of messages of which only the newest counts, the newest of each worker, and of each of its warnings."""
    kept: list[Numbered] = []
    seen: set[tuple[str, int, str]] = set()
    for received in reversed(batch):
        message = received.message
        if isinstance(message, WorkerStatus) and BY_NAME["status"].late == "newest":
            kind = message.worker, message.pid, message.warning
            if kind in seen:
                continue
            seen.add(kind)
        kept.append(received)
    return kept[::-1]
