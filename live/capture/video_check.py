"""What is wrong with the pictures of a source, in words for people.

A covered lens, a camera that the system forbids, and a driver that hands out its last picture for ever all look like
success to a program. The rule of this file: pictures are only looked at, and what is said follows their own times.
"""

import av
import numpy as np

from erc_live.streams.messages import VideoFrame

BLACK_S = 1.0
BLACK_LEVEL = 16  # of 255
BLACK_SHARE = 0.98  # of the picture: a lamp or a clock may shine
FROZEN_S = 3.0  # without a single different byte, which no open lens delivers


class VideoCheck:
    """Looks at the pictures of one source, in order."""

    def __init__(self) -> None:
        self._jpeg = b""
        self._black = False
        self._t_ns = self._lit_ns = self._changed_ns = 0

    def look(self, frame: VideoFrame) -> None:
        """Look at the next picture."""
        self._t_ns = frame.t_ns
        if not self._jpeg:
            self._lit_ns = frame.t_ns
        if frame.jpeg != self._jpeg:
            self._jpeg, self._changed_ns, self._black = frame.jpeg, frame.t_ns, _is_black(frame.jpeg)
        if not self._black:
            self._lit_ns = frame.t_ns

    @property
    def note(self) -> str:
        """What is wrong now; "" if all is well."""
        if self._t_ns - self._lit_ns >= BLACK_S * 1e9:
            return "picture is black: is the lens covered, or the camera not permitted?"
        if self._t_ns - self._changed_ns >= FROZEN_S * 1e9:
            return "picture is frozen: the same one again and again"
        return ""


def _is_black(jpeg: bytes) -> bool:
    """Decoded at an eighth of its size, which averages noise away and takes half the time."""
    codec = av.CodecContext.create("mjpeg", "r")
    codec.options = {"lowres": "3"}
    codec.thread_count = 1
    try:
        grey = [picture.to_ndarray(format="gray") for picture in codec.decode(av.Packet(jpeg))]
    except av.FFmpegError:
        return False  # not black, but broken: who needs it will say so
    return bool(grey) and bool(np.quantile(grey[0], BLACK_SHARE) < BLACK_LEVEL)
