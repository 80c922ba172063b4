"""What of one stream belongs to a stretch of another. Pure; times are those of the session."""

from collections.abc import Sequence

from erc_live.streams.messages import VideoFrame

SLOT_NS = 100_000_000  # 10 pictures per second, which the mouth needs: at 5, syllables pass between two of them


def sample_frames(frames: Sequence[VideoFrame], t_start_ns: int, t_end_ns: int, limit: int) -> list[VideoFrame]:
    """At most `limit` of the frames taken in [t_start_ns, t_end_ns), and at most one per `SLOT_NS` and source.

    Of each slot, counted from the start, the first frame of each source; while they are too many, slots twice as long.
    So a stretch that grows keeps what it chose, or every other one of it, and what was made of a picture is made once.
    Only when `limit` is below the number of sources are whole sources left out, the last to begin first. Frames of one
    source must be in the order of time; theirs is kept.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    chosen = [frame for frame in frames if t_start_ns <= frame.t_ns < t_end_ns]
    slot_ns = SLOT_NS
    while True:
        first: dict[tuple[str, int], VideoFrame] = {}
        for frame in chosen:
            first.setdefault((frame.source, (frame.t_ns - t_start_ns) // slot_ns), frame)
        chosen = list(first.values())
        if len(chosen) <= limit or slot_ns > t_end_ns - t_start_ns:
            return chosen[:limit]
        slot_ns *= 2
