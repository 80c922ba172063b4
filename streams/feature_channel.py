"""The features of many dialogues, from any number of programs, to one server: a ROUTER socket, and a receipt for each
final utterance that is on its disk.

Up goes a message as on the bus (`codec.py`): `UtteranceFeatures`, a `Relabel`, or a `SourceEnd` whose source is a
dialogue that has ended. Down comes a `Receipt` as msgpack. What got no receipt is sent again, whoever died meanwhile;
the server knows it by dialogue, utterance and revision, and takes it once. Of what it cannot read it knows no dialogue:
the receipt names the digest of its frames, so that it is given up, too. Of one dialogue the sender has one message on
its way at a time, so nothing overtakes what is sent again. A provisional utterance gets no receipt, and is never sent
again.
The rules: an `ipc://` place is this user's alone; on TCP, which does not leave this machine, it takes the key of this
user. A sender that floods waits in its own queue; one that takes no receipts goes without.
"""

import contextlib
import hashlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec
import zmq
from msgspec import structs

from erc_live.streams import codec
from erc_live.streams.address import check_endpoint
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import BadMessage
from erc_live.streams.guarded_router import GuardedRouter, RouterLimits
from erc_live.streams.messages import Relabel, SourceEnd, UtteranceFeatures
from erc_live.streams.sockets import RECONNECT_MS, close_socket, open_socket

FRAME_BYTES = 256 << 10  # of a message of features: vectors and words of 15 s take 10 kB
_FRAMES = 8  # a header, and a vector for each modality
_QUEUE = 256  # messages of one sender that wait here, and receipts that wait for it
_MOST = 50_000  # receipts for all senders: a second of them
DIALOGUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # ids of dialogues that a server takes
RESEND_S = 0.5  # without a receipt; longer than a server that works takes
WHY_LETTERS = 300

Verdict = Literal["stored", "full", "refused"]
DialogueInput = UtteranceFeatures | Relabel | SourceEnd
MessageKey = tuple[str, int]  # an utterance and its revision, or what stands for these


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an utterance (`utterance` "" of the end of a dialogue, "relabel-" and a digest of a `Relabel`).
    "stored": it is on the disk, and its event is published. "full": there is no room for another dialogue now.
    "refused": it is never taken like this. `why` in one line. `digest`: of the frames, where they cannot be read.
    `events`: the endpoint of the public streams, where what is decided can be read.
    """

    dialogue: str
    utterance: str
    revision: int
    verdict: Verdict
    why: str = ""
    digest: str = ""
    events: str = ""


class FeatureFrames(NamedTuple):
    """A message as it came from `sender`."""

    sender: bytes
    frames: list[bytes]


class FeatureHead(msgspec.Struct):
    """Of a message, what says where it belongs. `source`: the dialogue that has ended, where there is no other."""

    dialogue: str = ""
    source: str = ""
    final: bool = True


class FeatureMessage(NamedTuple):
    """From `sender`; None where it is no message of ours, and then the receipt that says so."""

    sender: bytes
    message: DialogueInput | None
    refusal: Receipt | None = None


def message_key(message: DialogueInput) -> MessageKey:
    """How a receipt names a message of a dialogue."""
    match message:
        case UtteranceFeatures():
            return message.utterance, message.revision
        case Relabel():
            return f"relabel-{_digest(codec.encode(message))}", 0
        case SourceEnd():
            return "", 0


class FeatureInlet:
    """The server's end, bound to `endpoint`. `events`: what receipts say of where events are. Raises AddressError where
    it cannot be used.
    """

    def __init__(self, endpoint: str, keys: KeyFolder | None = None) -> None:
        self.events = ""
        self._router = GuardedRouter(endpoint, RouterLimits(FRAME_BYTES, _QUEUE, _MOST, "--features"), keys)
        self.endpoint = self._router.endpoint

    def wait(self, timeout_s: float) -> bool:
        """Whether something has come, within `timeout_s`, or until somebody calls `wake`."""
        return self._router.wait(timeout_s)

    def wake(self) -> None:
        """End a `wait`; of any thread."""
        self._router.wake()

    def receive(self, most: int) -> Iterator[FeatureMessage]:
        """What has come, at most so many messages; the rest waits where it is."""
        return (read_features(*message) for message in self.receive_frames(most))

    def receive_frames(self, most: int) -> Iterator[FeatureFrames]:
        """As `receive`, and nothing is read yet."""
        return (FeatureFrames(*message) for message in self._router.receive(most))

    def answer(self, sender: bytes, receipt: Receipt) -> None:
        """To who sent it, if it is still there and takes it."""
        self._router.send(sender, msgspec.msgpack.encode(structs.replace(receipt, events=self.events)))

    def close(self) -> None:
        self._router.close()


@dataclass
class _Line:
    """What of a dialogue has no receipt yet, in order; the first is on its way since `sent_s` (0: not yet)."""

    waiting: deque[tuple[MessageKey, list[bytes]]] = field(default_factory=deque)
    sent_s: float = 0.0


class FeatureSender:
    """A program's end: `send` what perception says of any number of dialogues, and `poll` often.

    `waiting` counts messages without a receipt; provisional utterances get none. Raises AddressError.
    """

    def __init__(self, endpoint: str, keys: KeyFolder | None = None, now: Callable[[], float] = time.monotonic) -> None:
        check_endpoint(endpoint)
        self._now = now
        self._lines: dict[str, _Line] = {}
        self._socket = open_socket(zmq.DEALER, endpoint)
        self._socket.set(zmq.IMMEDIATE, 1)  # what is for a server that is not there stays here
        self._socket.set(zmq.SNDHWM, _QUEUE)
        self._socket.set(zmq.RCVHWM, _MOST)
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        if endpoint.startswith("tcp:"):
            own = (keys or KeyFolder()).own()
            self._socket.set(zmq.CURVE_SERVERKEY, own.public.encode())
            self._socket.set(zmq.CURVE_PUBLICKEY, own.public.encode())
            self._socket.set(zmq.CURVE_SECRETKEY, own.secret.encode())
        self._socket.connect(endpoint)

    @property
    def waiting(self) -> int:
        return sum(len(line.waiting) for line in self._lines.values())

    def send(self, features: UtteranceFeatures) -> None:
        """A provisional utterance is dropped where its dialogue waits, or the server does not keep up.

        Raises BadMessage for one that is too large: the server would hang up, each time that it were sent again.
        """
        frames = codec.encode(features)
        if (largest := max(map(len, frames))) > FRAME_BYTES:
            raise BadMessage(
                f"{features.dialogue}, {features.utterance}: a frame has {largest} bytes, {FRAME_BYTES} at most"
            )
        if features.final:
            self._add(features.dialogue, (features.utterance, features.revision), frames)
        elif features.dialogue not in self._lines:
            self._give(frames)

    def relabel(self, relabel: Relabel) -> None:
        """The dialogue goes back; `send` the utterances from the first that moved on once more, each with a higher
        revision. Where this is refused, do not: the dialogue stays as it was.
        """
        self._add(relabel.dialogue, message_key(relabel), codec.encode(relabel))

    def end(self, dialogue: str, t_ns: int, reason: str = "stopped") -> None:
        """Nothing more comes of this dialogue."""
        end = SourceEnd(source=dialogue, t_ns=t_ns, reason=reason)
        self._add(dialogue, message_key(end), codec.encode(end))

    def poll(self, timeout_s: float = 0.0) -> list[Receipt]:
        """Wait at most `timeout_s` for receipts; send what is due."""
        receipts: list[Receipt] = []
        if self._socket.poll(max(0, round(timeout_s * 1000))):
            with contextlib.suppress(zmq.Again):
                while True:
                    receipts += self._take(self._socket.recv(zmq.NOBLOCK))
        now_s = self._now()
        for line in self._lines.values():
            if now_s - line.sent_s >= RESEND_S and self._give(line.waiting[0][1]):
                line.sent_s = now_s
        return receipts

    def close(self) -> None:
        close_socket(self._socket, linger_ms=100)

    def _add(self, dialogue: str, key: MessageKey, frames: list[bytes]) -> None:
        line = self._lines.setdefault(dialogue, _Line())
        line.waiting.append((key, frames))
        if len(line.waiting) == 1 and self._give(frames):
            line.sent_s = self._now()

    def _take(self, data: bytes) -> list[Receipt]:
        """The receipt, where it is awaited or of what the server cannot read; what comes next is then sent."""
        receipt = msgspec.msgpack.decode(data, type=Receipt)
        if receipt.digest:
            receipt = self._named(receipt)
        if not receipt.dialogue:
            return [receipt]
        line = self._lines.get(receipt.dialogue)
        if line is None or line.waiting[0][0] != (receipt.utterance, receipt.revision):
            return []
        line.waiting.popleft()
        if not line.waiting:
            del self._lines[receipt.dialogue]
        elif self._give(line.waiting[0][1]):
            line.sent_s = self._now()
        else:
            line.sent_s = 0.0
        return [receipt]

    def _named(self, receipt: Receipt) -> Receipt:
        """The receipt of what the server cannot read, with the names of what that was, where it is still awaited."""
        for dialogue, line in self._lines.items():
            (utterance, revision), frames = line.waiting[0]
            if _digest(frames) == receipt.digest:
                return structs.replace(receipt, dialogue=dialogue, utterance=utterance, revision=revision)
        return receipt

    def _give(self, frames: list[bytes]) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:  # nobody is there, or does not keep up
            return False
        return True


def head(frames: list[bytes]) -> FeatureHead:
    """Where a message belongs, for little; what cannot be read belongs to the dialogue ""."""
    try:
        return msgspec.msgpack.decode(frames[0], type=FeatureHead) if frames else FeatureHead()
    except codec.UNREADABLE:
        return FeatureHead()


def read_features(sender: bytes, frames: list[bytes]) -> FeatureMessage:
    """The message that came."""
    try:
        if len(frames) > _FRAMES:
            raise BadMessage(f"{len(frames)} frames; a message has {_FRAMES} at most")
        message = codec.decode(frames)
        if not isinstance(message, DialogueInput):
            name = type(message).__name__
            raise BadMessage(f"{name} is not taken here: send UtteranceFeatures, Relabel or SourceEnd")
    except BadMessage as error:
        why = str(error)[:WHY_LETTERS]
        refusal = Receipt(dialogue="", utterance="", revision=0, verdict="refused", why=why, digest=_digest(frames))
        return FeatureMessage(sender, None, refusal)
    return FeatureMessage(sender, message)


def _digest(frames: Sequence[bytes]) -> str:
    return hashlib.blake2b(b"".join(frames), digest_size=8).hexdigest()
