"""The control channel: any client is answered, and whatever one sends or does not take costs the session nothing."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from erc_live.streams import control_channel as channel
from erc_live.streams.control_channel import (
    ControlReply,
    ControlServer,
    LabelRequest,
    MarkRequest,
    NameRequest,
    PauseRequest,
    ResumeRequest,
    StopRequest,
    control_schema,
    decode,
    request_of,
)
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import AddressError
from erc_live.streams.schema import event_schema

PATIENCE_MS = 20_000
REQUESTS = [
    PauseRequest(id="1"),
    ResumeRequest(),
    StopRequest(session="s1"),
    MarkRequest(text="das Telefon läutet 東京", t_ns=5, author="Ann"),
    NameRequest(speaker=0, text="Ann"),
    LabelRequest(utterance="u3", label="joy"),
]
VALIDATOR = Draft202012Validator(control_schema())


class Served:
    """A server in a thread, and what it was asked."""

    def __init__(self, server: ControlServer) -> None:
        self.server, self.asked, self.refuse = server, [], ""
        self.slowest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.wait(0.002):
            begun_s = time.thread_time()
            self.server.poll(self._obey)
            self.slowest_s = max(self.slowest_s, time.thread_time() - begun_s)

    def _obey(self, request) -> str:
        self.asked.append(request)
        return self.refuse

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self.server.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with closing(Served(ControlServer(f"ipc://{tmp_path}/c", "s1"))) as made:
        yield made


@contextmanager
def client(kind: int, endpoint: str) -> Iterator[zmq.Socket]:
    with zmq.Context() as context, closing(context.socket(kind)) as socket:
        socket.linger = 0
        socket.connect(endpoint)
        yield socket


def answer(socket: zmq.Socket) -> dict:
    assert socket.poll(PATIENCE_MS)
    reply = json.loads(socket.recv_multipart()[-1])
    VALIDATOR.validate(reply)
    return reply


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_what_is_asked_arrives_and_is_answered(served: Served, request_) -> None:
    reply = request_of(served.server.endpoint, request_)
    assert reply == ControlReply(id=request_.id, ok=True, session="s1")
    assert served.asked == [request_]
    VALIDATOR.validate(json.loads(msgspec.json.encode(request_)))


def test_plain_sockets_of_both_kinds_are_understood(served: Served) -> None:
    plain = b'{"do": "mark", "text": "hello", "id": "7"}'
    with client(zmq.REQ, served.server.endpoint) as req, client(zmq.DEALER, served.server.endpoint) as dealer:
        req.send(plain)
        assert answer(req) == {
            "type": "ControlReply", "schema": "erc.control/1", "id": "7", "ok": True, "error": "", "session": "s1",
        }  # fmt: skip
        for frames in ([plain], [b"", plain]):
            dealer.send_multipart(frames)
            assert answer(dealer)["ok"]


def test_what_cannot_be_done_says_why(served: Served) -> None:
    served.refuse = "there is no speaker 7"
    assert request_of(served.server.endpoint, REQUESTS[4]).error == served.refuse
    other = request_of(served.server.endpoint, PauseRequest(session="s2"))
    assert "this is session s1, not s2" in other.error
    assert len(served.asked) == 1


@pytest.mark.parametrize(
    "frames",
    [
        [b""], [b"{"], [b"[1]"], [b"\xff\xfe"], [b'{"do": "explode", "id": "x"}'], [b'{"do": "name", "id": "x"}'],
        [b'{"do": "pause", "more": 1, "id": "x"}'], [b"[" * 9000], [b"a", b"b", b"c"], [b""] * 40,
        [b'{"do": "mark", "text": "' + b"x" * 3000 + b'"}'], [b'{"do":"name","text":"x","speaker":-1}'],
    ],
)  # fmt: skip
def test_junk_is_answered_and_forgotten(served: Served, frames: list[bytes]) -> None:
    with client(zmq.DEALER, served.server.endpoint) as dealer:
        dealer.send_multipart(frames)
        reply = answer(dealer)
        assert not reply["ok"]
        assert "not understood" in reply["error"]
        assert reply["id"] == ("x" if b'"x"' in frames[0] and b'"id"' in frames[0] else "")
        assert len(reply["error"]) <= 300
    assert served.asked == []
    assert request_of(served.server.endpoint, PauseRequest()).ok


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_a_request_or_one_error(data: bytes) -> None:
    try:
        request = decode(data)
    except msgspec.MsgspecError:
        return
    assert decode(msgspec.json.encode(request)) == request


def test_who_says_too_much_at_once_is_cut_off_and_others_are_served(served: Served) -> None:
    with client(zmq.DEALER, served.server.endpoint) as dealer:
        dealer.send(b"x" * (channel.MOST_BYTES + 1))
        assert request_of(served.server.endpoint, PauseRequest()).ok
        assert not dealer.poll(50)
    assert served.asked == [PauseRequest()]


def test_floods_half_open_clients_and_those_who_take_no_answer_block_nobody(served: Served) -> None:
    import socket

    path = served.server.endpoint.removeprefix("ipc://")
    silent = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for each in silent:
        each.connect(path)
    silent[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    with client(zmq.DEALER, served.server.endpoint) as flood:
        flood.sndhwm = flood.rcvhwm = 10
        sent = 0
        for _ in range(20_000):  # of its answers it takes none
            try:
                flood.send(b'{"do": "mark", "text": "flood"}', zmq.NOBLOCK)
                sent += 1
            except zmq.Again:
                continue
        reply = request_of(served.server.endpoint, PauseRequest(id="mine"))
    assert (reply.ok, reply.id) == (True, "mine")
    assert len(served.asked) <= 200 + 50 * 20  # what is allowed at once, and in the seconds of this test
    assert served.slowest_s < 0.1
    for each in silent:
        each.close()


def test_on_tcp_it_takes_the_key_of_this_user_and_never_leaves_this_machine(tmp_path: Path) -> None:
    keys, stranger = KeyFolder(tmp_path / "own"), KeyFolder(tmp_path / "other")
    keys.allow("reader", stranger.own().public)  # who may read may not steer
    with pytest.raises(AddressError, match="other machines"):
        ControlServer("tcp://0.0.0.0:*", "s1", keys)
    with closing(Served(ControlServer("tcp://127.0.0.1:*", "s1", keys))) as made:
        assert request_of(made.server.endpoint, PauseRequest(), keys).ok
        patience, channel.ANSWER_S = channel.ANSWER_S, 0.3
        try:
            with pytest.raises(AddressError, match="nobody answers"):
                request_of(made.server.endpoint, StopRequest(), stranger)
        finally:
            channel.ANSWER_S = patience
        with client(zmq.REQ, made.server.endpoint) as plain:
            plain.send(b'{"do": "stop"}')
            assert not plain.poll(300)
        assert made.asked == [PauseRequest()]


def test_a_place_that_is_taken_is_one_clear_line(served: Served) -> None:
    with pytest.raises(AddressError, match=r"in use by another program.*control\.endpoint"):
        ControlServer(served.server.endpoint, "s2")


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://127.0.0.1:*", "tcp://192.0.2.1:9", "ipc://" + "x" * 200])
def test_a_place_where_nobody_can_be_asked_is_one_clear_line(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(AddressError) as raised:
        request_of(endpoint, PauseRequest(), KeyFolder(tmp_path / "own"))
    assert endpoint in str(raised.value)


def test_the_schemas_say_from_where_speakers_are_counted() -> None:
    fields = [control_schema()["$defs"]["NameRequest"]["properties"]["speaker"]]
    fields += [
        event_schema()["$defs"][name]["properties"]["speaker"] for name in ("EmotionEvent", "Annotation", "Alert")
    ]
    assert all("from 0" in field["description"] for field in fields)


def test_the_schema_refuses_what_the_server_refuses() -> None:
    Draft202012Validator.check_schema(control_schema())
    assert not VALIDATOR.is_valid({"do": "explode"})
    assert not VALIDATOR.is_valid({"do": "name", "text": "x", "speaker": -1})
    assert not VALIDATOR.is_valid({"do": "pause", "more": 1})
