"""The public event stream over ZeroMQ: one publisher, any number of programs that follow it.

A message on the wire is [topic, JSON]. Who comes late asks by subscribing to a topic of its own, and is answered on it:
so a program needs no second connection, and what it missed and what comes have one order.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from erc_live.streams import codec
from erc_live.streams.address import check_endpoint, check_unused, public_endpoint, stays_here
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.clock import Clock, SessionClock
from erc_live.streams.curve_keys import KeyFolder, is_key
from erc_live.streams.errors import AddressError, BadMessage
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import EmotionEvent, Heartbeat, Hello, PublicEvent, SessionEnd, SessionState
from erc_live.streams.public_outlet import PublicOutlet
from erc_live.streams.snapshot_queue import SnapshotQueue
from erc_live.streams.sockets import BATCH, MAX_FRAME_BYTES, QUEUE, RECONNECT_MS, close_socket, open_socket
from erc_live.streams.topics import BY_MESSAGE, BY_NAME

HEARTBEAT_S = 1.0
NO_KEY = "none"  # the key of a publisher that takes none
_LIVE_QUEUE = 400  # messages held for each slow reader, beside its snapshot: 4 minutes of talk, 1 MB
_NOTES = 500  # annotations and alerts that a late subscriber is sent


class EventPublisher:
    """The public stream. Whoever joins late is told who speaks and what the last `history` events were.

    A subscriber asks by subscribing to `snapshot.<an id of its own>` after the live topics, and is answered on that
    topic: `Hello`, the newest `SessionState`, the last events, what people and rules added, and `SessionEnd` if it has
    come. Events that it reads before the `Hello` are in the answer, those that follow on the live topic are not: none
    is missing and none comes twice. From the `Hello` on, a `Heartbeat` is sent once a second. `clock` is that of its
    stamps, and may be set when the session starts.

    On TCP the stream is encrypted, and read by who has a key of `keys` (default: the keys of this user). `keyless`, on
    this machine alone: whoever can reach the endpoint reads. Raises AddressError if it cannot be used like that.
    """

    def __init__(
        self,
        endpoint: str,
        history: int,
        *,
        keys: KeyFolder | None = None,
        keyless: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        endpoint = public_endpoint(endpoint)
        keys = keys or KeyFolder()
        check_publishable(endpoint, keys, keyless=keyless)
        guarded = endpoint.startswith("tcp:") and not keyless
        queue = _LIVE_QUEUE + history + _NOTES  # a whole snapshot fits in any case
        self._outlet = PublicOutlet(endpoint, queue, keys if guarded else None, private=not keyless)
        self.endpoint = self._outlet.endpoint
        self.clock: Clock = SessionClock()
        self._now = now
        self._heartbeat_at = now() + HEARTBEAT_S
        self._hello: Hello | None = None
        self._state: zmq.Frame | None = None
        self._end: zmq.Frame | None = None
        self._events: deque[zmq.Frame] = deque(maxlen=history)  # frames: all that are sent one share its bytes
        self._notes: deque[tuple[str, zmq.Frame]] = deque(maxlen=_NOTES)  # with their topics
        self._last_seq = -1
        self._published = dict.fromkeys((t.name for t in BY_NAME.values() if _is_counted(t.message)), 0)
        self._speakers: dict[int, str] = {}
        self._snapshots = SnapshotQueue(now)

    def greet(self, hello: Hello) -> None:
        """Set what subscribers are told first, and answer who waits; what it says of the stream is kept current."""
        self._hello = hello
        self._speakers |= enumerate(hello.speakers)
        self.poll()

    def publish(self, message: PublicEvent) -> None:
        """Send to every subscriber."""
        if isinstance(message, Hello):
            self.greet(message)
        data = zmq.Frame(codec.to_json(message), copy=True)
        if isinstance(message, EmotionEvent):
            self._events.append(data)
            self._last_seq = message.seq
            self._speakers[message.speaker] = message.speaker_name
        elif isinstance(message, SessionState):
            self._state = data
        elif isinstance(message, SessionEnd):
            self._end = data
        self._send(message, data)

    def _send(self, message: PublicEvent, data: zmq.Frame) -> None:
        topic = BY_MESSAGE[type(message)].name
        if isinstance(message, Annotation | Alert):
            self._notes.append((topic, data))
        if isinstance(message, Annotation) and message.kind == "name" and message.speaker is not None:
            self._speakers[message.speaker] = message.text
        if topic in self._published:
            self._published[topic] += 1
        self._outlet.send([topic.encode(), data])

    def poll(self) -> None:
        """Answer the next who asked for a snapshot, and give a sign of life when it is due. Call it every 20 ms or so:
        they wait for it.
        """
        self._snapshots.add(self._outlet.requests())
        owed = len(self._events) + len(self._notes) + 3
        if self._hello is not None and self._snapshots.due(owed):
            self._answer()
        if self._now() >= self._heartbeat_at:
            self._heartbeat_at = self._now() + HEARTBEAT_S
            self._outlet.look_after()
            self._give_sign_of_life()

    def subscribers(self, topic: str) -> int:
        """How many subscriptions cover `topic` now."""
        self.poll()
        return self._outlet.count(topic)

    def close(self) -> None:
        """Answer who still waits, let what was published leave (at most `LINGER_MS`), and stop listening."""
        self.poll()
        while self._hello is not None and self._snapshots:
            self._answer()
        self._outlet.close()

    def _answer(self) -> None:
        """The snapshot for the connection whose turn it is."""
        assert self._hello is not None
        hello = zmq.Frame(codec.to_json(self._current(self._hello)), copy=True)
        topic = self._snapshots.pop()
        state, end = ([frame] if frame else [] for frame in (self._state, self._end))
        for frame in (hello, *state, *self._events, *(note for _, note in self._notes), *end):
            self._outlet.send([topic, frame])

    def _current(self, hello: Hello) -> Hello:
        names = tuple(self._speakers.get(i, "") for i in range(max(self._speakers, default=-1) + 1))
        published = dict(self._published)
        for topic, _ in self._notes:  # these follow, and are counted by who reads them
            published[topic] -= 1
        return msgspec.structs.replace(hello, speakers=names, last_seq=self._last_seq, published=published)

    def _give_sign_of_life(self) -> None:
        if self._hello is None:
            return
        heartbeat = Heartbeat(
            session=self._hello.session,
            t_ns=self.clock.now_ns(),
            last_seq=self._last_seq,
            published=self._published,
        )
        self._outlet.send([BY_MESSAGE[Heartbeat].name.encode(), codec.to_json(heartbeat)])


def check_publishable(endpoint: str, keys: KeyFolder, *, keyless: bool) -> None:
    """Raise AddressError unless the stream may be published there: beyond this machine it takes keys, and readers."""
    endpoint = public_endpoint(endpoint)
    check_endpoint(endpoint, anywhere=True)
    scheme, _, place = endpoint.partition("://")
    if scheme not in ("ipc", "tcp") or (scheme == "ipc" and place.startswith("@")):
        raise AddressError(f"{endpoint}: other programs cannot be kept out of it, or in; write ipc://PATH or tcp://...")
    if not stays_here(endpoint):
        if keyless:
            raise AddressError(f"{endpoint} is reachable from other machines, where events.keyless cannot be; unset it")
        if not keys.allowed():
            raise AddressError(
                f"{endpoint} is reachable from other machines, and none may read: allow its key first, with "
                "`erc-live keys allow NAME KEY` (`erc-live keys list` there prints it)"
            )
    check_unused(endpoint)


class EventReceiver:
    """The inlet of a program that follows the stream at `endpoint`, whether or not it is there yet.

    `topics` are names of the table, and a snapshot topic after them; of one dialogue of many, with its id behind a dot,
    and of all of them with the dot alone. `server_key`: the public key of who publishes on
    TCP; None is this user, `NO_KEY` a publisher without keys. `bad` counts messages that were refused. Raises
    AddressError if the endpoint cannot be used, or a key is missing.
    """

    def __init__(
        self, endpoint: str, topics: Iterable[str], *, server_key: str | None = None, keys: KeyFolder | None = None
    ) -> None:
        self.bad = 0
        self.endpoint = public_endpoint(endpoint)
        check_endpoint(self.endpoint, anywhere=True)
        curve = _curve(self.endpoint, server_key, keys or KeyFolder())
        self._topics = tuple(topics)
        self._socket = open_socket(zmq.SUB, self.endpoint)
        self._socket.set(zmq.RCVHWM, QUEUE)
        self._socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        for option, value in curve.items():
            self._socket.set(option, value)
        self._monitor = self._socket.get_monitor_socket(_REFUSALS)
        self._socket.connect(self.endpoint)
        for topic in self._topics:  # in this order: the snapshot topic after those of the live messages
            self._socket.subscribe(topic)

    def receive(self, timeout_s: float) -> list[PublicMessage]:
        """Wait at most `timeout_s` for a message; return it and those behind it. Call it often: ZeroMQ reconnects in
        the background, but asks for its topics again from here. Raises AddressError where the other side refuses us.
        """
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            self._check_refusal()
            return []
        batch: list[PublicMessage] = []
        with contextlib.suppress(zmq.Again):
            for _ in range(BATCH):
                batch += self._read(self._socket.recv_multipart(zmq.NOBLOCK))
        return batch

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        close_socket(self._socket, linger_ms=0)

    def _check_refusal(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise AddressError(
                    f"{self.endpoint} does not know the key of this user; who publishes there has to allow it: "
                    "`erc-live keys list` prints it"
                )
            if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                raise AddressError(
                    f"{self.endpoint} is no event stream, or one of the two sides uses keys and the other does not "
                    "(events.keyless)"
                )

    def _read(self, frames: list[bytes]) -> list[PublicMessage]:
        """The message, if it is one of the stream and of its topic."""
        try:
            topic, data = frames
            full, message = topic.decode(), codec.from_json(data)
        except (BadMessage, UnicodeDecodeError, ValueError):
            self.bad += 1
            return []
        name, dot, _ = full.partition(".")
        if full not in self._topics and name + dot not in self._topics:
            return []  # ZeroMQ matches prefixes
        known = BY_NAME.get(name)
        if isinstance(message, PublicMessage) and (known is None or isinstance(message, known.message)):
            return [message]
        self.bad += 1
        return []


_REFUSALS = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


def _is_counted(kind: type) -> bool:
    return issubclass(kind, PublicMessage) and kind not in (Hello, Heartbeat, SessionState)


def _curve(endpoint: str, server_key: str | None, keys: KeyFolder) -> dict[int, bytes]:
    """The options of a socket that reads an encrypted stream; none for one that is not."""
    if not endpoint.startswith("tcp:") or server_key == NO_KEY:
        return {}
    if server_key is None and not stays_here(endpoint):
        raise AddressError(
            f"{endpoint} is on another machine: give the key of who publishes there (`erc-live keys list` there)"
        )
    own = keys.own()
    if server_key is not None and not is_key(server_key):
        raise AddressError(f"{server_key!r} is no public key; `erc-live keys list` where the stream is published")
    return {
        zmq.CURVE_SERVERKEY: (server_key or own.public).encode(),
        zmq.CURVE_PUBLICKEY: own.public.encode(),
        zmq.CURVE_SECRETKEY: own.secret.encode(),
    }
