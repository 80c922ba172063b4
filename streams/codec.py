"""Message <-> frames or JSON. Pure: this file touches no socket and no disk.

On the bus a message is a msgpack header and one raw frame per array (dtype, shape and frame number stay in the header).
In logs and on the public stream it is one JSON object, arrays inline in base64. Both carry the class name as `type`.
"""

import base64
from types import UnionType
from typing import Any

import msgspec
import numpy as np

from erc_live.streams.errors import BadMessage
from erc_live.streams.messages import AnyMessage

_DTYPES = ("int16", "float32")  # all that a message may hold

# What decoding raises on bytes of strangers; RecursionError when an unknown field is nested a thousand deep.
_UNREADABLE = (msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError)


class _ArrayHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    frame: int | None = None
    base64: str | None = None


def encode(message: AnyMessage) -> list[bytes]:
    """Header frame first, then one frame per array."""
    arrays: list[bytes] = []

    def hook(value: object) -> object:
        arrays.append(_bytes(value))
        return _array_header(value, frame=len(arrays))

    header = msgspec.msgpack.encode(message, enc_hook=hook)
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
    except _UNREADABLE as error:
        raise BadMessage(str(error)) from error
    return message


def to_json(message: AnyMessage) -> bytes:
    """One JSON object, without a newline."""
    return msgspec.json.encode(message, enc_hook=lambda v: _array_header(v, text=base64.b64encode(_bytes(v)).decode()))


def from_json(line: bytes) -> AnyMessage:
    """Inverse of `to_json`. Raises BadMessage with the path of the offending field."""

    def hook(kind: type, value: object) -> object:
        header = msgspec.convert(value, _ArrayHeader)
        return _array(header, base64.b64decode(header.base64 or "", validate=True))

    try:
        message: AnyMessage = msgspec.json.decode(line, type=AnyMessage, dec_hook=hook)
    except _UNREADABLE as error:
        raise BadMessage(str(error)) from error
    return message


def json_schema(message: type | UnionType) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a message, or one of several, without arrays."""
    return msgspec.json.schema(message)


def _bytes(value: object) -> bytes:
    if not isinstance(value, np.ndarray) or value.dtype.name not in _DTYPES:
        raise TypeError(f"cannot send {type(value).__name__} {getattr(value, 'dtype', '')}")
    return np.ascontiguousarray(value).tobytes()


def _array_header(value: Any, frame: int | None = None, text: str | None = None) -> dict[str, object]:
    header: dict[str, object] = {"dtype": value.dtype.name, "shape": value.shape}
    return header | ({"frame": frame} if frame is not None else {"base64": text})


def _array(header: _ArrayHeader, data: bytes) -> np.ndarray:
    if header.dtype not in _DTYPES:
        raise ValueError(f"dtype {header.dtype!r} is not one of {', '.join(_DTYPES)}")
    if any(n < 0 for n in header.shape):
        raise ValueError(f"shape {header.shape}")
    return np.frombuffer(data, dtype=header.dtype).reshape(header.shape)  # read-only: a view of bytes
