"""A recorded session, or any media file, as the messages that capture would publish.

Nothing is paced here: whoever plays them waits until `due_ns` of each on the clock of the session. What comes out of a
bundle is what went in, chunk by chunk and byte by byte; only the times are moved, all by the same amount.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from erc_live.streams.bundle_limits import IMAGE_PX, TIME_NS
from erc_live.streams.errors import MediaError, SessionError
from erc_live.streams.jpeg import jpeg_size
from erc_live.streams.media import audio_chunks, probe, video_frames
from erc_live.streams.messages import AudioChunk, Gap, Kind, SourceEnd, VideoFrame
from erc_live.streams.mixing import Mixer
from erc_live.streams.session import AudioSegment, RecordedSession, VideoSegment, open_session

Replayed = AudioChunk | VideoFrame | SourceEnd | Gap

_ORDER = (Gap, AudioChunk, VideoFrame, SourceEnd)  # of what is due at the same time


@dataclass(frozen=True)
class MediaSource:
    """The sound or the pictures of a media file, or of one source of a bundle (a folder).

    `channel`, counted from 1, is the only one of a file's sound that is heard; None: all, mixed by `mixer`, which may
    be asked afterwards.
    """

    path: Path
    source: str
    kind: Kind
    channel: int | None = None
    mixer: Mixer | None = None


@dataclass(frozen=True)
class FrameSettings:
    """How the pictures of a media file are taken, as by a camera; a bundle has its own."""

    rate_hz: float
    width_px: int
    jpeg_quality: int


def due_ns(message: Replayed) -> int:
    """When a message could exist at the earliest: sound and gaps at their end, the rest at its time."""
    return message.t_end_ns if isinstance(message, AudioChunk | Gap) else message.t_ns


def in_time_order(streams: Iterable[Iterator[Replayed]]) -> Iterator[Replayed]:
    """Merge sources: by the time a message is due, then its kind, then its source. Each keeps its own order."""
    return heapq.merge(*streams, key=order_of)


def order_of(message: Replayed) -> tuple[int, int, str]:
    """What messages of several sources are ordered by."""
    return due_ns(message), _ORDER.index(type(message)), message.source


def bundle_messages(path: Path, start_ns: int) -> Iterator[Replayed]:
    """All sources of a bundle, with their gaps; its first media are at `start_ns`. Raises SessionError."""
    session = open_session(path)
    shift_ns = start_ns - session.t_first_ns
    return in_time_order([_track(session, kind, source, shift_ns) for kind, source in session.tracks()])


def source_messages(source: MediaSource, start_ns: int, settings: FrameSettings) -> Iterator[Replayed]:
    """One source, to its `SourceEnd`.

    The file, or the whole session in which the source was recorded, begins at `start_ns`. Raises SessionError, and
    MediaError when the file cannot be opened or no sound comes out of it; one that breaks off ends there, and the
    reason says so. Pictures of which none can be decoded end at once in this way: who is heard need not be seen.
    """
    if source.path.is_dir():
        session = open_session(source.path)
        return _track(session, source.kind, source.source, start_ns - session.t_first_ns)
    if source.kind == "audio":
        sound = audio_chunks(source.path, source.source, start_ns, source.channel, source.mixer)
        return _to_its_end(source.source, start_ns, sound)
    probe(source.path)  # a file that cannot be opened at all is no matter of pictures
    taken = settings.rate_hz, settings.width_px, settings.jpeg_quality
    frames = video_frames(source.path, source.source, start_ns, *taken)
    return _to_its_end(source.source, start_ns, frames, needed=False)


def _to_its_end(
    source: str, start_ns: int, media: Iterator[AudioChunk | VideoFrame], needed: bool = True
) -> Iterator[Replayed]:
    t_ns, reason = None, "end of file"
    try:
        for message in media:
            t_ns = due_ns(message)
            yield message
    except MediaError as error:
        if t_ns is None and needed:
            raise
        reason = str(error)
    yield SourceEnd(source=source, t_ns=start_ns if t_ns is None else t_ns, reason=reason)


def _track(session: RecordedSession, kind: Kind, source: str, shift_ns: int) -> Iterator[Replayed]:
    """One source with its gaps, to its end."""
    if any(max(abs(gap.t_start_ns), abs(gap.t_end_ns)) > TIME_NS for gap in session.gaps):
        raise SessionError(f"{session.path}: a gap beyond all times")
    gaps = [
        msgspec.structs.replace(g, t_start_ns=g.t_start_ns + shift_ns, t_end_ns=g.t_end_ns + shift_ns)
        for g in session.gaps
        if g.source == source
    ]
    t_ns = session.t_first_ns + shift_ns
    for message in heapq.merge(sorted(gaps, key=due_ns), _media(session, kind, source, shift_ns), key=order_of):
        t_ns = due_ns(message)
        yield message
    recorded = [end for end in session.ends if end.source == source]
    if recorded:
        yield msgspec.structs.replace(recorded[-1], t_ns=max(recorded[-1].t_ns + shift_ns, t_ns))
    else:
        yield SourceEnd(source=source, t_ns=t_ns, reason="end of recording")


def _media(session: RecordedSession, kind: Kind, source: str, shift_ns: int) -> Iterator[AudioChunk | VideoFrame]:
    for segment in session.segments:
        if segment.source != source:
            continue
        if kind == "audio" and isinstance(segment, AudioSegment):
            yield from _chunks(session, segment, shift_ns)
        elif kind == "video" and isinstance(segment, VideoSegment):
            yield from _frames(session, segment, shift_ns)


def _chunks(session: RecordedSession, segment: AudioSegment, shift_ns: int) -> Iterator[AudioChunk]:
    samples = session.samples(segment)
    for run in segment.runs:
        t_ns = run.t_ns + shift_ns
        for pcm in islice(samples, run.chunks):
            chunk = AudioChunk(source=segment.source, t_ns=t_ns, pcm=pcm)
            t_ns = chunk.t_end_ns
            yield chunk
    next(samples, None)  # more than was recorded is told there


def _frames(session: RecordedSession, segment: VideoSegment, shift_ns: int) -> Iterator[VideoFrame]:
    for t_ns, jpeg in zip(segment.times_ns, session.jpegs(segment), strict=True):
        width_px, height_px = jpeg_size(jpeg) or (0, 0)
        if width_px * height_px > IMAGE_PX:
            name = session.path / segment.file
            raise SessionError(f"{name}: a picture of {width_px} times {height_px} points, which no recording has")
        yield VideoFrame(
            source=segment.source,
            t_ns=t_ns + shift_ns,
            width_px=segment.width_px,
            height_px=segment.height_px,
            jpeg=jpeg,
        )
