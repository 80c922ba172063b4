"""The codec: every message survives both forms unchanged, and bytes of strangers raise nothing but BadMessage."""

import contextlib

import examples
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.streams import codec
from erc_live.streams.errors import BadMessage
from erc_live.streams.messages import AnyMessage, AudioChunk, Gap

any_message = examples.messages(*examples.MESSAGE_TYPES)


@given(any_message)
def test_frames_round_trip(message: AnyMessage) -> None:
    assert examples.same(codec.decode(codec.encode(message)), message)


@given(any_message)
def test_json_round_trip(message: AnyMessage) -> None:
    line = codec.to_json(message)
    assert b"\n" not in line
    assert examples.same(codec.from_json(line), message)


def test_arrays_travel_as_they_are_and_come_back_read_only() -> None:
    pcm = np.arange(512, dtype=np.int16)
    frames = codec.encode(AudioChunk(source="mic", t_ns=0, pcm=pcm))
    assert frames[1] == pcm.tobytes()
    assert not codec.decode(frames).pcm.flags.writeable


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_random_frames_are_bad_messages(frames: list[bytes]) -> None:
    with contextlib.suppress(BadMessage):
        codec.decode(frames)


@given(st.binary(max_size=200))
def test_random_lines_are_bad_messages(line: bytes) -> None:
    with contextlib.suppress(BadMessage):
        codec.from_json(line)


@given(any_message, st.data())
def test_truncated_messages_are_bad_messages(message: AnyMessage, data: st.DataObject) -> None:
    frames = codec.encode(message)
    which = data.draw(st.integers(0, len(frames) - 1))
    if not frames[which]:
        return  # the frame of an empty array cannot be cut
    cut = data.draw(st.integers(0, len(frames[which]) - 1))
    with pytest.raises(BadMessage):
        codec.decode([*frames[:which], frames[which][:cut], *frames[which + 1 :]])
    line = codec.to_json(message)
    with pytest.raises(BadMessage):
        codec.from_json(line[: data.draw(st.integers(0, len(line) - 1))])


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
array_headers = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["int16", "float32", "float64", "object", ""]),
        "shape": st.lists(st.integers(-3, 2**63), max_size=3),
        "frame": st.integers(-2, 3),
        "base64": st.sampled_from(["", "AAAA", "A", "\u00e9"]),
    }
)


@given(any_message, st.data())
def test_a_wrong_value_in_any_field_is_a_bad_message_or_a_valid_one(message: AnyMessage, data: st.DataObject) -> None:
    fields = msgspec.msgpack.decode(codec.encode(message)[0])
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(values | array_headers)
    with contextlib.suppress(BadMessage):
        codec.decode([msgspec.msgpack.encode(fields), b"\0" * 8, b"\0" * 8])
    with contextlib.suppress(BadMessage):
        codec.from_json(msgspec.json.encode(fields))


GAP = Gap(source="mic", t_start_ns=0, t_end_ns=1, lost=2, cause="bus")
AUDIO = AudioChunk(source="mic", t_ns=0, pcm=np.zeros(4, np.int16))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (codec.to_json(GAP).replace(b'"Gap"', b'"Gasp"'), "Gasp"),
        (codec.to_json(GAP).replace(b"2", b"-2"), "$.lost"),
        (codec.to_json(GAP).replace(b'"lost":2,', b""), "lost"),
        (codec.to_json(AUDIO).replace(b'"t_ns"', b'"t_s"'), "t_s"),
        (codec.to_json(AUDIO).replace(b"int16", b"float32"), "$.pcm"),
        (codec.to_json(AUDIO).replace(b"int16", b"object"), "object"),
        (codec.to_json(AUDIO).replace(b"[4]", b"[-1]"), "$.pcm"),
        (codec.to_json(AUDIO).replace(b"[4]", b"[%d]" % 10**30), "$.pcm"),
        (codec.to_json(GAP)[:-1] + b',"new":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
    ],
)
def test_a_bad_message_names_what_is_wrong(line: bytes, says: str) -> None:
    with pytest.raises(BadMessage, match=says.replace("$", r"\$")):
        codec.from_json(line)


def test_public_messages_tolerate_what_a_later_version_adds() -> None:
    assert codec.from_json(codec.to_json(GAP)[:-1] + b',"added_later":{"x":[1]}}') == GAP
