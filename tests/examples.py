"""Messages for tests: ready-made ones of the public stream, and Hypothesis strategies for every type."""

import typing
from types import UnionType
from typing import Any, Literal

import msgspec
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from erc_live.streams.messages import (
    SCHEMA,
    AnyMessage,
    EmotionEvent,
    Heartbeat,
    Hello,
    PublicEvent,
    Recogniser,
    SessionEnd,
    VideoFrame,
)

LABELS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
MESSAGE_TYPES: tuple[type, ...] = typing.get_args(AnyMessage)
PUBLIC_TYPES: tuple[type, ...] = (*typing.get_args(PublicEvent), Heartbeat)
_INT64 = 2**63 - 1


_HELLO = Hello(
    schema=SCHEMA, session="s1", t_ns=0, wall_ns=1, labels=LABELS, speakers=("Ada",), model="m", notice="estimates",
    last_seq=-1,
)  # fmt: skip

_EVENT = EmotionEvent(
    schema=SCHEMA, seq=0, session="s1", dialogue="d", utterance="u0", index=0, source="mic", speaker=0,
    speaker_name="Ada", text="well then", words=(), text_confidence=None, skipped=False, certain=True,
    label="joy", probs={name: float(name == "joy") for name in LABELS},
    entropy=0.0, shift=None, modalities=("text",), face_coverage=None, final=True, revision=0, model="m",
    engine=Recogniser(name="e"), t_start_ns=0, t_end_ns=5, t_closed_ns=6, t_text_ns=7, t_features_ns=8, t_logits_ns=9,
)  # fmt: skip


def hello(**fields: Any) -> Hello:
    return msgspec.structs.replace(_HELLO, **fields)


def event(seq: int, **fields: Any) -> EmotionEvent:
    """An event that lasts from `seq` to `seq` + 0.5 s."""
    t_ns = seq * 1_000_000_000
    own = {"utterance": f"u{seq}", "t_start_ns": t_ns, "t_end_ns": t_ns + 500_000_000}
    return msgspec.structs.replace(_EVENT, seq=seq, **(own | fields))


def session_end(utterances: int = 0, reason: str = "end of file") -> SessionEnd:
    return SessionEnd(session="s1", t_ns=9, utterances=utterances, reason=reason)


def picture(number: int, size: int = 100) -> VideoFrame:
    return VideoFrame(source="cam", t_ns=number * 100, width_px=4, height_px=4, jpeg=bytes(size))


def messages(*types: type) -> st.SearchStrategy[Any]:
    """Any valid message of these types."""
    return st.one_of([_instances(kind) for kind in types])


def same(a: Any, b: Any) -> bool:
    """Equality that also compares arrays, where NaN equals NaN."""
    if type(a) is not type(b):
        return False
    return all(_same_value(getattr(a, name), getattr(b, name)) for name in a.__struct_fields__)


def _same_value(x: Any, y: Any) -> bool:
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(_same_value(x[key], y[key]) for key in x)
    if isinstance(x, np.ndarray):
        return x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    return bool(x == y)


def _instances(kind: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [field.name for field in msgspec.structs.fields(kind)]
    return st.builds(kind, **{name: _values(name, hints[name]) for name in names})


def _values(name: str, hint: Any) -> st.SearchStrategy[Any]:
    simple = {
        str: st.text(max_size=20),
        bytes: st.binary(max_size=50),
        bool: st.booleans(),
        int: st.integers(-_INT64, _INT64),
        float: st.floats(allow_nan=False, allow_infinity=False),
        type(None): st.none(),
    }
    if hint in simple:
        return simple[hint]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _instances(hint)
    if hint is np.ndarray:
        return npst.arrays(np.int16 if name == "pcm" else np.float32, st.integers(0, 20))
    return _composed(name, hint, typing.get_args(hint))


def _composed(name: str, hint: Any, arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if typing.get_origin(hint) in (UnionType, typing.Union):
        return st.one_of([_values(name, argument) for argument in arguments])
    if typing.get_origin(hint) is Literal:
        return st.sampled_from(arguments)
    if typing.get_origin(hint) is tuple:
        return st.lists(_values(name, arguments[0]), max_size=4).map(tuple)
    if typing.get_origin(hint) is dict:
        return st.dictionaries(_values(name, arguments[0]), _values(name, arguments[1]), max_size=4)
    if arguments[0] is str:  # Annotated[str, max_length]
        return st.text(max_size=20)
    if arguments[0] is int:  # Annotated[int, ge=0]
        return st.integers(0, _INT64)
    return st.floats(0.0, 1.0)  # Annotated[float, ge=0, le=1]
