"""Requests to a session that runs, from any program of this user: a ROUTER socket, JSON in, JSON out.

A request is one JSON object in the last frame (a REQ socket puts an empty one before it, a DEALER need not); each gets
one reply with its `id`. It may pause, resume, stop, mark, name and correct, and nothing else; what is asked is done by
who serves the channel, which is the supervisor of the session.
On TCP, which other users of this machine reach, it takes the key of this user; it never leaves this machine.
The rule of this file: whatever a client sends, or does not take, costs a bounded amount and stops nobody.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import zmq
from msgspec import Meta

from erc_live.streams.address import BusAddresses, check_endpoint, check_unused
from erc_live.streams.annotations import Note
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.doorkeeper import Doorkeeper
from erc_live.streams.errors import AddressError
from erc_live.streams.relay import Allowance, Relay
from erc_live.streams.sockets import close_socket, open_socket

CONTROL_SCHEMA = "erc.control/1"
MOST_BYTES = 16 << 10  # of one request: a note has 2,000 characters
CONNECTION_BYTES = 1 << 20  # that a connection may say in all: some 5,000 requests
_QUEUE = 64  # requests of one client that wait
_TURN = 16  # requests that are looked at in one turn
_BURST, _PER_S = 200, 50.0  # requests of all clients
_ERROR_LETTERS = 300
_LINGER_MS = 200  # for the last answers; a client that stays connected does not hold up the end of a session
ANSWER_S = 3.0  # in which a session that runs answers
Id = Annotated[str, Meta(max_length=100)]
SpeakerNumber = Annotated[int, Meta(ge=0, description="As in the events: by first appearance, from 0, not from 1.")]
Stamp = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]  # what the bus can carry

log = logging.getLogger(__name__)


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", forbid_unknown_fields=True):
    """What every request has. `id` comes back in the reply. `session`: only of this one; null: of whichever it is."""

    id: Id = ""
    session: str | None = None


class PauseRequest(SessionRequest, frozen=True, kw_only=True, tag="pause"):
    """Listen to nothing and look at nothing, until a resume."""


class ResumeRequest(SessionRequest, frozen=True, kw_only=True, tag="resume"):
    """Listen and look again."""


class StopRequest(SessionRequest, frozen=True, kw_only=True, tag="stop"):
    """End the session in order; a second time, at once."""


class NoteRequest(SessionRequest, frozen=True, kw_only=True):
    """What an annotation is made of. `author`: who says so, a person or a program."""

    author: Note = "control"


class MarkRequest(NoteRequest, frozen=True, kw_only=True, tag="mark"):
    """Mark a moment with a note. `t_ns`: which, on the clock of the session; null: now."""

    text: Note = ""
    t_ns: Stamp | None = None


class NameRequest(NoteRequest, frozen=True, kw_only=True, tag="name"):
    """Say how a speaker is called. `speaker`: the number in the events."""

    speaker: SpeakerNumber
    text: Note


class LabelRequest(NoteRequest, frozen=True, kw_only=True, tag="label"):
    """Say what you take the expression of an utterance for; the estimate stays beside it."""

    utterance: Annotated[str, Meta(max_length=200)]
    label: Note


ControlRequest = PauseRequest | ResumeRequest | StopRequest | MarkRequest | NameRequest | LabelRequest


class ControlReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request. `ok`: it was done; else `error` says why not. `session`: who answers."""

    type: Literal["ControlReply"] = "ControlReply"
    schema: str = CONTROL_SCHEMA
    id: str = ""
    ok: bool
    error: str = ""
    session: str = ""


class ControlServer:
    """Serves the channel at `endpoint` for a session: call `poll` often. Raises AddressError where it cannot."""

    def __init__(
        self,
        endpoint: str,
        session: str,
        keys: KeyFolder | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        check_control(endpoint)
        self._session = session
        self._allowance = Allowance(_BURST, _PER_S, now)
        self._refused = 0
        self._addresses = BusAddresses()
        inner = self._addresses.endpoint("control")
        self._socket = open_socket(zmq.ROUTER, inner)
        self._doorkeeper: Doorkeeper | None = None
        try:
            for option, value in ((zmq.RCVHWM, _QUEUE), (zmq.SNDHWM, _QUEUE), (zmq.MAXMSGSIZE, MOST_BYTES)):
                self._socket.set(option, value)
            if endpoint.startswith("tcp:"):
                self._doorkeeper = Doorkeeper(self._socket, keys or KeyFolder(), own_only=True)
            self._socket.bind(inner)
            self._relay = Relay(endpoint, inner, private=True, most_bytes=CONNECTION_BYTES)
        except BaseException:
            self._close_inner(0)
            self._addresses.close()
            raise
        self.endpoint = self._relay.endpoint

    def poll(self, obey: Callable[[ControlRequest], str]) -> None:
        """Answer who has asked. `obey` does what is asked, and says why it cannot be done, "" if it was."""
        if self._doorkeeper:
            self._doorkeeper.answer()
        with contextlib.suppress(zmq.Again):
            for _ in range(_TURN):
                if not self._allowance.take(1):  # the rest waits in the socket, which takes no more of them
                    break
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
                self._send(frames, self._answer(frames, obey))
        if self._relay.refused > self._refused:
            self._refused = self._relay.refused
            log.warning("connections to the control channel that were refused or cut off: %d", self._refused)

    def close(self) -> None:
        """Let the last answers leave, and listen no more."""
        self._close_inner(_LINGER_MS)
        self._relay.close(_LINGER_MS / 1000)
        self._addresses.close()

    def _answer(self, frames: list[bytes], obey: Callable[[ControlRequest], str]) -> ControlReply:
        try:
            request = decode(frames[-1] if len(frames) in (2, 3) else b"")
        except msgspec.MsgspecError as error:
            why = f"not understood: {error}; `erc-live schema --control` has the schema"
            return ControlReply(id=_id(frames[-1]), ok=False, error=why[:_ERROR_LETTERS], session=self._session)
        if request.session not in (None, self._session):
            why = f"this is session {self._session}, not {request.session}"
        else:
            why = obey(request)
        return ControlReply(id=request.id, ok=not why, error=why[:_ERROR_LETTERS], session=self._session)

    def _send(self, frames: list[bytes], reply: ControlReply) -> None:
        """To who asked, in the same envelope; who does not take answers goes without."""
        envelope = frames[:2] if len(frames) > 2 and not frames[1] else frames[:1]
        with contextlib.suppress(zmq.Again, zmq.ZMQError):
            self._socket.send_multipart([*envelope, msgspec.json.encode(reply)], zmq.NOBLOCK)

    def _close_inner(self, linger_ms: int) -> None:
        if self._doorkeeper:
            self._doorkeeper.close()
        close_socket(self._socket, linger_ms)


def check_control(endpoint: str) -> None:
    """Raise AddressError unless a session may take requests there."""
    try:
        check_endpoint(endpoint)
        check_unused(endpoint)
    except AddressError as error:
        raise AddressError(str(error).replace("events.endpoint", "control.endpoint")) from error


def request_of(endpoint: str, request: ControlRequest, keys: KeyFolder | None = None) -> ControlReply:
    """Ask the session at `endpoint`, and wait for the answer. Raises AddressError where nobody gives one."""
    check_endpoint(endpoint)
    asking = open_socket(zmq.REQ, endpoint)
    try:
        if endpoint.startswith("tcp:"):
            own = (keys or KeyFolder()).own()
            asking.set(zmq.CURVE_SERVERKEY, own.public.encode())
            asking.set(zmq.CURVE_PUBLICKEY, own.public.encode())
            asking.set(zmq.CURVE_SECRETKEY, own.secret.encode())
        asking.connect(endpoint)
        asking.send(msgspec.json.encode(request))
        if not asking.poll(round(ANSWER_S * 1000)):
            raise AddressError(f"nobody answers at {endpoint} within {ANSWER_S:g} s; `erc-live status` lists who runs")
        return msgspec.json.decode(asking.recv(), type=ControlReply)
    except zmq.ZMQError as error:
        raise AddressError(
            f"{endpoint} cannot be asked ({error.strerror}); `erc-live status` lists who runs"
        ) from error
    except msgspec.MsgspecError as error:
        raise AddressError(f"{endpoint} gives no answer that is understood: {error}") from error
    finally:
        close_socket(asking, linger_ms=0)


def decode(data: bytes) -> ControlRequest:
    """A request. Raises msgspec.MsgspecError."""
    try:
        request: ControlRequest = msgspec.json.decode(data, type=ControlRequest)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    return request


def control_schema() -> dict[str, Any]:
    """One document (JSON Schema, draft 2020-12) that every request and every reply fulfils."""
    kinds = [ControlRequest, ControlReply]
    (requests, reply), definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for definition in definitions.values():
        definition["description"] = " ".join(definition["description"].replace("`", "").split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:erc-live:{CONTROL_SCHEMA}",
        "title": "A request to a running erc-live session, or the reply to one",
        "anyOf": [*requests["anyOf"], reply],
        "$defs": definitions,
    }


def _id(data: bytes) -> str:
    """Of a request that is not understood, if it has one."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode(data, type=dict[str, Any]).get("id", "")
        return found[:100] if isinstance(found, str) else ""
    return ""
