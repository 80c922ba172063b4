"""Message <-> frames or JSON. Pure: this file touches no socket and no disk.

On the bus a message is a msgpack header and one raw frame per array (dtype, shape and frame number stay in the header).
In logs and on the public stream it is one JSON object, arrays inline in base64. Both carry the class name as `type`.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any

import msgspec
import numpy as np

from erc_live.streams.errors import BadMessage
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import AnyMessage
from erc_live.streams.migrations import migrated

_DTYPES = {np.dtype(name): name for name in ("int16", "float32")}  # all that a message may hold

# What decoding raises on bytes of strangers; RecursionError when an unknown field is nested a thousand deep.
UNREADABLE = (msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError)

# What encoding raises on values that no message may hold: of a foreign type, an integer beyond 64 bits, half of a
# surrogate pair.
_UNSENDABLE = (TypeError, ValueError, OverflowError)


class _ArrayHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    frame: int | None = None
    base64: str | None = None


def encode(message: AnyMessage) -> list[bytes]:
    """Header frame first, then one frame per array. Raises TypeError that names message, field and type of what cannot
    be sent: a bug of ours.
    """
    arrays: list[bytes] = []

    def hook(value: object) -> object:
        arrays.append(_bytes(value))
        return _array_header(value, frame=len(arrays))

    try:
        header = msgspec.msgpack.encode(message, enc_hook=hook)
    except _UNSENDABLE as error:
        raise TypeError(_complaint(message) or str(error)) from error
    return [header, *arrays]


def decode(frames: list[bytes]) -> AnyMessage:
    """Inverse of `encode`; arrays come back read-only. Raises BadMessage with the path of the offending field."""

    def hook(kind: type, value: object) -> object:
        header = msgspec.convert(value, _ArrayHeader)
        if header.frame is None or not 0 < header.frame < len(frames):
            raise ValueError(f"array frame {header.frame} of {len(frames)}")
        return _array(header, frames[header.frame])

    if not frames:
        raise BadMessage("empty message")
    try:
        message: AnyMessage = msgspec.msgpack.decode(frames[0], type=AnyMessage, dec_hook=hook)
    except UNREADABLE as error:
        raise BadMessage(str(error)) from error
    return message


def to_json(message: AnyMessage | PublicMessage) -> bytes:
    """One JSON object, without a newline. Raises TypeError as `encode` does."""

    def hook(value: object) -> object:
        return _array_header(value, text=binascii.b2a_base64(_bytes(value), newline=False).decode())

    try:
        return msgspec.json.encode(message, enc_hook=hook)
    except _UNSENDABLE as error:
        raise TypeError(_complaint(message) or str(error)) from error


def from_json(line: bytes) -> AnyMessage:
    """Inverse of `to_json`, also of an earlier version. Raises BadMessage with the path of the offending field."""

    def hook(kind: type, value: object) -> object:
        header = msgspec.convert(value, _ArrayHeader)
        return _array(header, base64.b64decode(header.base64 or "", validate=True))

    try:
        message: AnyMessage = msgspec.json.decode(line, type=AnyMessage, dec_hook=hook)
    except UNREADABLE as error:
        old = _of_an_earlier_version(line, hook)
        if old is None:
            raise BadMessage(str(error)) from error
        return old
    return message


def _of_an_earlier_version(line: bytes, hook: Callable[[type, object], object]) -> AnyMessage | None:
    """A message that today's types do not fit; None if it is of no earlier version either."""
    try:
        fields = migrated(msgspec.json.decode(line, type=dict))
        return None if fields is None else msgspec.convert(fields, AnyMessage, dec_hook=hook)
    except UNREADABLE:
        return None


def json_schema(message: type | UnionType) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a message, or one of several, without arrays."""
    return msgspec.json.schema(message)


def _bytes(value: object) -> bytes:
    if not isinstance(value, np.ndarray) or value.dtype not in _DTYPES:
        raise TypeError(f"cannot send {_kind(value)}")
    return value.tobytes()


def _complaint(message: AnyMessage | PublicMessage) -> str:
    """Where in a message the first value stands that cannot be sent, and what it is; "" where none is found."""
    return next((f"{path}: cannot send {_kind(value)}" for path, value in _leaves(message) if not _sendable(value)), "")


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value that holds no others, and its path from the message on."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _leaves(getattr(value, name), f"{path or type(value).__name__}.{name}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"a key of {path}", key
            yield from _leaves(inner, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def _sendable(value: object) -> bool:
    try:
        msgspec.msgpack.encode(value, enc_hook=_bytes)
    except _UNSENDABLE:
        return False
    return True


def _kind(value: object) -> str:
    """The type of a value in words: `numpy.float64`, `numpy.ndarray of float64`, `int`."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name} of {value.dtype}" if isinstance(value, np.ndarray) else name


def _array_header(value: Any, frame: int | None = None, text: str | None = None) -> dict[str, object]:
    header: dict[str, object] = {"dtype": _DTYPES[value.dtype], "shape": value.shape}
    if frame is None:
        header["base64"] = text
    else:
        header["frame"] = frame
    return header


def _array(header: _ArrayHeader, data: bytes) -> np.ndarray:
    if header.dtype not in _DTYPES.values():
        raise ValueError(f"dtype {header.dtype!r} is not one of {', '.join(_DTYPES.values())}")
    if any(n < 0 for n in header.shape):
        raise ValueError(f"shape {header.shape}")
    return np.frombuffer(data, dtype=header.dtype).reshape(header.shape)  # read-only: a view of bytes
