"""The sound of a recorded session as one track on the time line of its page: all microphones, added, Opus in WebM.

What is missing is silence, so that a second of the page is a second of the sound. Voices keep their loudness: the
microphones are added and not averaged, and what would then be too loud is cut off. 16 kbit/s of Opus (RFC 6716) are
wideband speech that is still good to listen to; half of it is narrowband.
The rule of this file: one pass, and at no time more than a few chunks of sound are in memory, but for the result.
"""

import heapq
import io
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from erc_live.streams.errors import SessionError
from erc_live.streams.messages import SAMPLE_RATE_HZ
from erc_live.streams.session import AudioSegment, RecordedSession

BIT_RATE = 16_000
MAX_S = 24 * 3600.0  # of a longer session no track is made
MIME = "audio/webm"
_FRAME_MS = "60"  # of Opus: a third of the overhead of 20 ms
_BLOCK = SAMPLE_RATE_HZ  # samples that are encoded at once, at most


class PlacedSound(NamedTuple):
    """Samples, and the number of the first one on the track."""

    first: int
    pcm: np.ndarray


def placed_sounds(
    session: RecordedSession, t0_ns: int, missing: list[str], progress: Callable[[float], None]
) -> Iterator[PlacedSound]:
    """The sound of all microphones, in order of its beginning; 0 is at `t0_ns`.

    A segment that cannot be read is passed over, and named in `missing`. `progress` is told the second it is at.
    """
    by_source: dict[str, list[AudioSegment]] = {}
    for segment in session.segments:
        if isinstance(segment, AudioSegment):
            by_source.setdefault(segment.source, []).append(segment)
    tracks = [
        _track(session, sorted(segments, key=lambda s: s.t_first_ns), t0_ns, missing) for segments in by_source.values()
    ]
    for sound in heapq.merge(*tracks, key=lambda s: s.first):
        progress(sound.first / SAMPLE_RATE_HZ)
        yield sound


def mixed(sounds: Iterable[PlacedSound]) -> Iterator[np.ndarray]:
    """Sounds in order of their beginning -> one track from sample 0 on, without holes; what is before 0 is left out.

    Shapes: (n,) int16 in, (m,) int16 out, m up to a second.
    """
    begin, sums = 0, np.zeros(0, np.int32)  # what lies before `begin` has left
    for first, pcm in sounds:
        done = min(max(0, first - begin), len(sums))
        yield from _blocks(sums[:done])
        begin, sums = begin + done, sums[done:]
        if not len(sums):
            yield from _silence(max(0, first - begin))
            begin = max(begin, first)
        place = first - begin
        pcm, place = (pcm[-place:], 0) if place < 0 else (pcm, place)  # a clock that was set back
        if place + len(pcm) > len(sums):
            sums = np.pad(sums, (0, place + len(pcm) - len(sums)))
        sums[place : place + len(pcm)] += pcm
    yield from _blocks(sums)


def encode_opus(blocks: Iterable[np.ndarray]) -> bytes:
    """A WebM file. Shapes: (n,) int16 at `SAMPLE_RATE_HZ`."""
    import av  # here: a page without sound needs no media library

    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE_HZ, layout="mono")
        stream.bit_rate = BIT_RATE
        stream.options = {"frame_duration": _FRAME_MS, "application": "voip"}
        samples = 0
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block[None, :], format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HZ
            frame.pts = samples
            samples += len(block)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _track(
    session: RecordedSession, segments: list[AudioSegment], t0_ns: int, missing: list[str]
) -> Iterator[PlacedSound]:
    for segment in segments:
        samples = session.samples(segment)
        try:
            for run in segment.runs:
                first = round((run.t_ns - t0_ns) * SAMPLE_RATE_HZ / 1e9)
                for number in range(run.chunks):
                    yield PlacedSound(first + number * run.samples, next(samples))
        except SessionError as error:
            missing.append(f"{error}")


def _blocks(sums: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(sums), _BLOCK):
        yield np.clip(sums[start : start + _BLOCK], -(2**15), 2**15 - 1).astype(np.int16)


def _silence(samples: int) -> Iterator[np.ndarray]:
    for start in range(0, samples, _BLOCK):
        yield np.zeros(min(_BLOCK, samples - start), np.int16)
