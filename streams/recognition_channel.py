"""Sound to a pool of recognisers that many sessions share, and words back.

Up goes a `RecognitionRequest` as msgpack, and behind it, where words are asked for, the samples. Down comes a
`RecognitionReply`, and behind it the words, in a form that those who ask and those who recognise agree on. A request
has a number, which its reply has, too; nothing is known of it anywhere but where it waits. Who has no answer yet asks
now and then whether it still waits: a pool that was started anew says "unknown", and is given the sound again.
The rules: sockets as in `guarded_router.py`; what goes up is sound and nothing that says whose; and what does not fit
these types is answered with why, and taken nowhere.
"""

import weakref
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import msgspec
import zmq
from msgspec import Meta

from erc_live.streams import codec
from erc_live.streams.address import check_endpoint
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import BadMessage
from erc_live.streams.guarded_router import GuardedRouter, RouterLimits
from erc_live.streams.messages import SAMPLE_RATE_HZ
from erc_live.streams.sockets import RECONNECT_MS, close_socket, guard, open_socket

SOUND_S = 60  # the longest that is taken
SAMPLE_BYTES = 2
SOUND_BYTES = SOUND_S * SAMPLE_RATE_HZ * SAMPLE_BYTES
WORDS_BYTES = 1 << 20  # of a reply: words of a minute take some 50 kB
_QUEUE = 8  # requests of one sender that wait in its connection; a session has one at a time, and asks after it
_ANSWERS = 1000
WHY_LETTERS = 300

Verdict = Literal["here", "waiting", "unknown", "done", "dropped", "refused", "unreadable", "failed"]


class RecognitionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ask`: "who" answers, for "words", or whether the request of this number is "still" there. `partial`: the
    utterance goes on. `within_s`: after so long nobody waits for the words; None: somebody always does.
    """

    ask: Literal["who", "words", "still"]
    number: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    partial: bool = False
    within_s: Annotated[float, Meta(gt=0.0)] | None = None


class RecognitionReply(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request. `why`: in one line. `name`: the recogniser; `quick`: as of `Transcriber`.

    "here": it can be asked; "waiting": it, or a recogniser that loads, is waited for; "unknown": there is no such
    request; "done": words follow; "dropped": it waited for too long; "refused": not now, try later; "unreadable": never
    like this; "failed": the processes that recognised it died.
    """

    number: int
    verdict: Verdict
    why: str = ""
    name: str = ""
    quick: bool = False


class AskedRecognition(NamedTuple):
    """What came from `sender`: a request with its samples (int16, "" but for words); or None, and why it is none."""

    sender: bytes
    request: RecognitionRequest | None
    sound: bytes = b""
    refusal: str = ""


class RecognitionInlet:
    """The pool's end, bound to `endpoint`. Raises AddressError where it cannot be used."""

    def __init__(self, endpoint: str, keys: KeyFolder | None = None) -> None:
        self._router = GuardedRouter(endpoint, RouterLimits(SOUND_BYTES, _QUEUE, _ANSWERS, "--endpoint"), keys)
        self.endpoint = self._router.endpoint
        self.wait, self.wake, self.close = self._router.wait, self._router.wake, self._router.close

    def receive(self, most: int) -> Iterator[AskedRecognition]:
        """What has come, at most so many messages; the rest waits where it is."""
        return (read_request(sender, frames) for sender, frames in self._router.receive(most))

    def answer(self, sender: bytes, reply: RecognitionReply, words: bytes = b"") -> None:
        """To who asked, if it is still there and takes it."""
        self._router.send(sender, msgspec.msgpack.encode(reply), *([words] if words else []))


class RecognitionOutlet:
    """A session's end, connected to the pool at `endpoint`. Raises AddressError."""

    def __init__(self, endpoint: str, keys: KeyFolder | None = None) -> None:
        check_endpoint(endpoint)
        self.endpoint = endpoint
        self._socket = open_socket(zmq.DEALER, endpoint)
        self.close = weakref.finalize(self, close_socket, self._socket, 0)  # engines have no end: also uncalled
        self._socket.set(zmq.LINGER, 0)  # what nobody took holds up no end of a program
        self._socket.set(zmq.IMMEDIATE, 1)  # what is for a pool that is not there stays here
        self._socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        self._socket.set(zmq.MAXMSGSIZE, WORDS_BYTES)
        if endpoint.startswith("tcp:"):
            guard(self._socket, (keys or KeyFolder()).own(), server=False)
        self._socket.connect(endpoint)

    def send(self, request: RecognitionRequest, sound: bytes = b"") -> bool:
        """Whether somebody is there, and it is on its way."""
        try:
            self._socket.send_multipart([msgspec.msgpack.encode(request), *([sound] if sound else [])], zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, timeout_s: float) -> tuple[RecognitionReply, bytes] | None:
        """The next reply and its words; None where none comes within `timeout_s`. Raises BadMessage."""
        if not self._socket.poll(max(0, round(timeout_s * 1000))):
            return None
        return read_reply(self._socket.recv_multipart())


def read_request(sender: bytes, frames: list[bytes]) -> AskedRecognition:
    """The request that came, or why it is none."""
    try:
        request = msgspec.msgpack.decode(frames[0] if frames else b"", type=RecognitionRequest)
    except codec.UNREADABLE as error:
        return AskedRecognition(sender, None, refusal=f"is no request for words: {error}"[:WHY_LETTERS])
    sound = b"".join(frames[1:2])
    wrong = ""
    if len(frames) != (2 if request.ask == "words" else 1):
        wrong = f"has {len(frames)} frames: a request for words has two, another one has one"
    elif request.ask == "words" and (not sound or len(sound) > SOUND_BYTES or len(sound) % SAMPLE_BYTES):
        wrong = f"has {len(sound)} bytes of sound: int16 at {SAMPLE_RATE_HZ} Hz is taken, up to {SOUND_S} s"
    return AskedRecognition(sender, request, b"" if wrong else sound, wrong)


def read_reply(frames: list[bytes]) -> tuple[RecognitionReply, bytes]:
    """The reply that came, and the words with it. Raises BadMessage."""
    try:
        reply = msgspec.msgpack.decode(frames[0] if frames else b"", type=RecognitionReply)
    except codec.UNREADABLE as error:
        raise BadMessage(f"a reply of recognisers that is none: {error}") from error
    return reply, b"".join(frames[1:2])
