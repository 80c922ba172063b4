"""A decoded picture as it travels: upright, no wider than wanted, and a JPEG file.

The rule of this file: pictures only, no files and no times.
"""

from fractions import Fraction
from typing import Any

import av
import numpy as np

_MS = Fraction(1, 1000)
# Markers of a JPEG file: the header of a frame, with its size; of a scan, behind which pixels follow; without a length.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_ALONE = {0x00, 0x01, *range(0xD0, 0xD9)}


def upright(frame: Any, width_px: int) -> Any:
    """The picture as it is meant to be seen, scaled down to the width, in the pixel format of JPEG.

    Telephones store pictures as the sensor lies and add the quarter turns (anticlockwise) that make them upright.
    """
    turns = round(frame.rotation / 90) % 4
    upright_width = frame.height if turns % 2 else frame.width
    scale = min(1.0, width_px / upright_width)
    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))  # 4:2:0 halves both
    if not turns:
        return frame.reformat(width=width, height=height, format="yuvj420p")
    pixels = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    turned = np.ascontiguousarray(np.rot90(pixels, turns))
    return av.VideoFrame.from_ndarray(turned, format="rgb24").reformat(format="yuvj420p")


def encode_jpeg(picture: Any, quality: int) -> bytes:
    """The picture as a JPEG file of about the size that libjpeg makes of it at this quality."""
    # libjpeg scales its matrix by s = (200 - 2 quality) / 100, or 50 / quality below 50; libav that of MPEG by q / 8.
    # At the low frequencies, which decide, their entries are about 13 and 19: equal steps at q = 8 * 13 / 19 * s.
    s = (200 - 2 * quality) / 100 if quality >= 50 else 50 / quality
    q = str(min(max(round(5.5 * s), 1), 31))
    codec = av.CodecContext.create("mjpeg", "w")  # a new one each time costs nothing against the encoding
    codec.width, codec.height, codec.pix_fmt, codec.time_base = picture.width, picture.height, "yuvj420p", _MS
    codec.thread_count = 1
    codec.options = {"qmin": q, "qmax": q}
    return b"".join(bytes(packet) for packet in [*codec.encode(picture), *codec.encode(None)])


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a decoder would make room for, None where it finds none, or no JPEG file at all.

    Markers are looked for as libjpeg does it, which passes over what stands between them.
    """
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while (at := data.find(b"\xff", at)) >= 0:
        while data[at : at + 1] == b"\xff":
            at += 1
        marker, at = int.from_bytes(data[at : at + 1], "big"), at + 1
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[at + n : at + n + 2], "big") for n in (3, 5))
            return width, height
        if marker == _SCAN:
            return None
        if marker not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
    return None
