"""Publishers and subscribers between the processes of a session, over ZeroMQ.

What ZeroMQ does silently is made visible here: a message lost to a slow reader or with a writer becomes a `Gap`.
A message on the wire is

    [topic, number (8 bytes, big-endian, counts per topic from 0), header, array, array, ...]   encoded as "frames"
    [topic, JSON]                                                                               encoded as "json"

The number is of the envelope and not of the message: so one mechanism finds what is missing of any kind of message.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import zmq

from erc_live.streams import codec
from erc_live.streams.address import check_endpoint
from erc_live.streams.errors import BadMessage
from erc_live.streams.messages import AnyMessage, Gap, PublicMessage
from erc_live.streams.sockets import BATCH, MAX_FRAME_BYTES, QUEUE, RECONNECT_MS, Outlet, close_socket, open_socket
from erc_live.streams.topics import BY_MESSAGE, BY_NAME


class Publisher:
    """The outlet of one worker, bound to `endpoint`. Raises AddressError if that cannot be used.

    `queue`: messages held for each slow reader before it loses some; for video `topics.BY_NAME["video"].queue`.
    """

    def __init__(self, endpoint: str, queue: int = QUEUE) -> None:
        self._outlet = Outlet(endpoint, queue)
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
        self._socket = open_socket(zmq.SUB, *endpoints)
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
        close_socket(self._socket, linger_ms=0)

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
