"""What of one stream belongs to a stretch of another. Pure; times are those of the session."""

from collections.abc import Sequence

from erc_live.streams.messages import VideoFrame


def sample_frames(frames: Sequence[VideoFrame], t_start_ns: int, t_end_ns: int, limit: int) -> list[VideoFrame]:
    """At most `limit` of the frames taken in [t_start_ns, t_end_ns), evenly spread, in their order.

    Each of `limit` equal parts of the frames gives its middle one, so the first and last moments do not weigh double.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    inside = [frame for frame in frames if t_start_ns <= frame.t_ns < t_end_ns]
    count = min(limit, len(inside))
    return [inside[(2 * i + 1) * len(inside) // (2 * count)] for i in range(count)]
