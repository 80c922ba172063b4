"""What a recorder that died left in the bundle, so that the one in its place writes the rest and nothing twice.

The rule of this file: a message is known by what it says, not by its number. So it does not matter from where on, and
in which order, the sources say again what they said.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from erc_live.streams.journal import log_lines
from erc_live.streams.messages import AudioChunk, VideoFrame
from erc_live.streams.session import LOGS, TIMING, AudioSegment, MediaSegment, read_timing

_BUCKET_NS = 10_000_000_000
_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{4,})\.")


class Stored:
    """Nothing, of a new bundle; else see `read_stored`."""

    def __init__(self, segments: Iterable[MediaSegment] = (), lines: Iterable[tuple[str, bytes]] = ()) -> None:
        self.segments = tuple(segments)
        self.until_ns: dict[str, int] = {}  # source -> up to when its media are on the disk
        self._lines = Counter((name, _digest(line)) for name, line in lines)
        self.lines = Counter(name for name, _ in self._lines.elements())  # log -> how many, but for media
        self._places: defaultdict[tuple[str, int], list[MediaSegment]] = defaultdict(list)  # by source and time
        for segment in self.segments:
            until_ns = self.until_ns.get(segment.source, segment.t_end_ns)
            self.until_ns[segment.source] = max(segment.t_end_ns, until_ns)
            buckets = {b for a, e in _spans_ns(segment) for b in range(a // _BUCKET_NS, e // _BUCKET_NS + 1)}
            for bucket in buckets:
                self._places[segment.source, bucket].append(segment)

    def holds(self, media: AudioChunk | VideoFrame) -> bool:
        """Whether these very samples, or this picture, are on the disk."""
        return any(_holds(segment, media) for segment in self._places.get((media.source, media.t_ns // _BUCKET_NS), ()))

    def take(self, name: str, line: bytes) -> bool:
        """Whether the log of that name has this line; each that it has counts once."""
        key = name, _digest(line)
        there = self._lines[key] > 0
        if there:
            self._lines[key] -= 1
        return there


def read_stored(path: Path) -> Stored:
    """What is in a bundle whose logs were mended. Raises OSError, BadMessage."""
    segments, lines = [], []
    for name in LOGS:
        for line in log_lines(path / name):
            entry = read_timing(line.text) if name == TIMING else None
            if isinstance(entry, MediaSegment):
                segments.append(entry)
            else:
                lines.append((name, line.text))
    return Stored(segments, lines)


def last_numbers(path: Path) -> Counter[str]:
    """The highest number of a segment, by what stands before it, of all that is or was put aside there."""
    numbers: Counter[str] = Counter()
    for file in path.glob("*/*"):
        if found := _NUMBERED.match(file.relative_to(path).as_posix()):
            numbers[found["stem"]] = max(numbers[found["stem"]], int(found["number"]))
    return numbers


def _spans_ns(segment: MediaSegment) -> list[tuple[int, int]]:
    if isinstance(segment, AudioSegment):
        return [(run.t_ns, run.t_end_ns) for run in segment.runs]
    return [(t_ns, t_ns) for t_ns in segment.times_ns]


def _holds(segment: MediaSegment, media: AudioChunk | VideoFrame) -> bool:
    if isinstance(segment, AudioSegment):
        return isinstance(media, AudioChunk) and any(
            run.samples == len(media.pcm)
            and run.t_ns <= media.t_ns < run.t_end_ns
            and (media.t_ns - run.t_ns) % (media.t_end_ns - media.t_ns) == 0
            for run in segment.runs
        )
    return isinstance(media, VideoFrame) and media.t_ns in segment.times_ns


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
