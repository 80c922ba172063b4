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
from erc_live.streams.messages import AnyMessage, AudioChunk, Gap, Word

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


UNSENDABLE = {
    "numpy.float64": np.float64(0.5),
    "numpy.int64": np.int64(1),
    "numpy.str_": np.str_("joy"),
    "numpy.ndarray of float64": np.zeros(2),
    "int": 2**70,  # beyond 64 bits
    "object": object(),
}


@given(any_message, st.sampled_from(sorted(UNSENDABLE)), st.data())
def test_what_cannot_be_sent_is_named_with_message_field_and_type(
    message: AnyMessage, kind: str, data: st.DataObject
) -> None:
    fields = message.__struct_fields__
    name = data.draw(st.sampled_from(fields))
    broken = msgspec.structs.replace(message)
    msgspec.structs.force_setattr(broken, name, UNSENDABLE[kind])
    with pytest.raises(TypeError) as frames:
        codec.encode(broken)
    assert str(frames.value) == f"{type(message).__name__}.{name}: cannot send {kind}"
    if kind == "int":
        return  # JSON has no limit
    with pytest.raises(TypeError) as line:
        codec.to_json(broken)
    assert str(line.value) == str(frames.value)


@given(st.integers(1, 9), st.data())
def test_it_is_found_in_the_depth_of_a_message(words: int, data: st.DataObject) -> None:
    which = data.draw(st.integers(0, words - 1))
    said = [Word(text="w", t_start_ns=0, t_end_ns=1, confidence=0.5) for _ in range(words)]
    said[which] = Word(text="w", t_start_ns=0, t_end_ns=1, confidence=np.float64(0.5))
    event = examples.event(0, words=tuple(said))
    for encode in (codec.encode, codec.to_json):
        with pytest.raises(TypeError) as raised:
            encode(event)
        assert str(raised.value) == f"EmotionEvent.words[{which}].confidence: cannot send numpy.float64"
    with pytest.raises(TypeError, match=r"EmotionEvent.probs\['joy'\]: cannot send numpy.float32"):
        codec.to_json(examples.event(0, probs={"neutral": 0.5, "joy": np.float32(0.5)}))


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
