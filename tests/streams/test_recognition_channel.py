"""Sound to a pool and words back: what goes over the wire, and what a stranger may send."""

import tempfile
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import AddressError, BadMessage
from erc_live.streams.recognition_channel import (
    SOUND_BYTES,
    RecognitionInlet,
    RecognitionOutlet,
    RecognitionReply,
    RecognitionRequest,
    read_reply,
    read_request,
)

NUMBERS = st.integers(0, 2**63 - 1)
SOUND = b"\1\0" * 1000


@pytest.fixture
def endpoint():
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield f"ipc://{place}/r"


@given(NUMBERS, st.booleans(), st.none() | st.floats(0.001, 1e9))
def test_a_request_arrives_as_it_was(number, partial, within_s):
    request = RecognitionRequest(ask="words", number=number, partial=partial, within_s=within_s)
    asked = read_request(b"me", [msgspec.msgpack.encode(request), SOUND])
    assert (asked.request, asked.sound, asked.refusal) == (request, SOUND, "")


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_whatever_comes_is_a_request_or_is_refused_with_a_reason(frames):
    asked = read_request(b"me", frames)
    assert asked.refusal or asked.request is not None


@given(st.data())
def test_a_spoilt_request_does_no_more(data):
    frame = bytearray(msgspec.msgpack.encode(RecognitionRequest(ask="words", number=7, within_s=1.5)))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    asked = read_request(b"me", [bytes(frame), SOUND])
    assert asked.refusal or asked.request is not None
    with pytest.raises(BadMessage):
        read_reply([bytes(frame[1:])])


@pytest.mark.parametrize(
    ("ask", "sounds", "why"),
    [
        ("words", [], "has 1 frames"),
        ("words", [SOUND, SOUND], "has 3 frames"),
        ("who", [SOUND], "has 2 frames"),
        ("words", [b""], "has 0 bytes of sound"),
        ("words", [b"\0"], "has 1 bytes of sound"),
        ("words", [bytes(SOUND_BYTES + 2)], "up to 60 s"),
    ],
)
def test_what_is_no_sound_is_refused_under_its_number(ask, sounds, why):
    request = RecognitionRequest(ask=ask, number=3)
    asked = read_request(b"me", [msgspec.msgpack.encode(request), *sounds])
    assert why in asked.refusal
    assert (asked.request.number, asked.sound) == (3, b"")


def test_sound_goes_up_and_words_come_back(endpoint):
    with closing(RecognitionOutlet(endpoint)) as outlet:
        question = RecognitionRequest(ask="words", number=1)
        assert not outlet.send(question, SOUND), "nobody is there, and nothing waits for somebody"
        with closing(RecognitionInlet(endpoint)) as inlet:
            assert Path(endpoint.removeprefix("ipc://")).stat().st_mode & 0o777 == 0o600
            while not outlet.send(question, SOUND):
                assert outlet.receive(0.05) is None
            assert inlet.wait(60)
            (asked,) = inlet.receive(9)
            assert (asked.request, asked.sound) == (question, SOUND)
            inlet.answer(b"somebody else", RecognitionReply(number=1, verdict="done"), b"not yours")
            reply = RecognitionReply(number=1, verdict="done", name="whisper")
            inlet.answer(asked.sender, reply, b"words")
            assert outlet.receive(60) == (reply, b"words")


def test_who_asks_leaves_no_socket_behind(endpoint):
    outlet = RecognitionOutlet(endpoint)
    used = outlet._socket
    del outlet
    assert used.closed
    assert used.context.closed


def test_on_tcp_it_takes_the_key_of_this_user(tmp_path):
    own, other = KeyFolder(tmp_path / "own"), KeyFolder(tmp_path / "other")
    question = RecognitionRequest(ask="who", number=1)
    with closing(RecognitionInlet("tcp://127.0.0.1:*", own)) as inlet:
        stranger = closing(RecognitionOutlet(inlet.endpoint, other))
        with stranger as refused, closing(RecognitionOutlet(inlet.endpoint, own)) as outlet:
            while not outlet.send(question):
                refused.send(question)
                inlet.wait(0.02)
            while not inlet.wait(0.02):
                refused.send(question)
            assert len(list(inlet.receive(9))) == 1


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:5580", "nowhere", f"ipc:///{'x' * 200}"])
def test_it_listens_on_this_machine_alone(endpoint):
    with pytest.raises(AddressError):
        RecognitionInlet(endpoint)


def test_a_place_that_is_taken_is_not_taken_over(endpoint):
    with closing(RecognitionInlet(endpoint)), pytest.raises(AddressError, match="another --endpoint"):
        RecognitionInlet(endpoint)
