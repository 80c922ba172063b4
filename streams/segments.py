"""The media files of a bundle, decoded as streams: what `encode_flac` and `encode_mkv` wrote, chunk by chunk.

The rule of this file: what is decoded comes from anybody. The format is the one that it should be, whatever the data
say they are, so that no playlist opens other files; and at no time more of it is in memory than a few chunks.
"""

from collections.abc import Iterable, Iterator
from typing import IO, Any

import av
import numpy as np

from erc_live.streams.errors import MediaError
from erc_live.streams.messages import SAMPLE_RATE_HZ

_UNREADABLE = (av.FFmpegError, OSError, ValueError, IndexError)
_SOUND = ("flac", SAMPLE_RATE_HZ, 1)


def decode_flac(file: IO[bytes]) -> Iterator[np.ndarray]:
    """Inverse of `encode_flac`, in pieces. Shapes: (n,) int16. Raises MediaError where it is no such file."""
    try:
        with av.open(file, format="flac") as container:
            stream = container.streams.audio[0]
            codec = stream.codec_context
            stream.thread_count = 1
            if (codec.name, codec.sample_rate, codec.channels) != _SOUND or not _is_int16(codec):
                raise MediaError("not a FLAC segment: its sound is not 16 kHz mono of 16 bits")
            for frame in container.decode(stream):
                if not _is_int16(frame) or frame.layout.nb_channels != 1:
                    raise MediaError("not a FLAC segment: its sound changes its form")
                yield frame.to_ndarray().reshape(-1)
    except _UNREADABLE as error:
        raise MediaError(f"not a FLAC segment: {_reason(error)}") from error


def decode_mkv(file: IO[bytes]) -> Iterator[bytes]:
    """Inverse of `encode_mkv`: the JPEG pictures. Raises MediaError where it is no such file."""
    try:
        with av.open(file, format="matroska") as container:
            stream = container.streams.video[0]
            if stream.codec_context is None or stream.codec_context.name != "mjpeg":
                raise MediaError("not a Matroska segment: its pictures are not JPEG")
            yield from (bytes(packet) for packet in container.demux(stream) if packet.size)
    except _UNREADABLE as error:
        raise MediaError(f"not a Matroska segment: {_reason(error)}") from error


def cut(pieces: Iterable[np.ndarray], lengths: Iterable[int]) -> Iterator[np.ndarray]:
    """The same samples in pieces of these lengths. Raises MediaError where there are fewer or more."""
    source, left = iter(pieces), np.empty(0, np.int16)
    for length in lengths:
        while len(left) < length:
            piece = next(source, None)
            if piece is None:
                raise MediaError("holds fewer samples than were recorded")
            left = np.concatenate((left, piece))
        yield left[:length]
        left = left[length:]
    if len(left) or next(source, None) is not None:
        raise MediaError("holds more samples than were recorded")


def _is_int16(frame: Any) -> bool:
    return frame.format is not None and frame.format.name in ("s16", "s16p")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
