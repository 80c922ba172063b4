"""A recorded session on disk: a folder that is whole, or says that it is not.

    session.json                the manifest; `closed` turns true at the very end
    audio/<source>-0001.flac    speech samples, a few seconds per file
    video/<source>-0001.mkv     the very JPEG pictures that were on the bus
    timing.jsonl                what is in each of those files, with its SHA-256, and the exact times; ends of sources
    features.jsonl  events.jsonl  faults.jsonl       messages, one JSON object per line
    losses.jsonl                what is gone for good, once anything is (`bundle_losses.py`)
    checksums.json              SHA-256 of every file, written when the session is closed
    recording.lock              while a process writes to it (`bundle_lock.py`)

FLAC, Matroska and JSON: any player and any program reads them, and no format is our own.
The rule of this file: a crash at any instant leaves nothing that looks whole and is not. Logs only grow, line by line,
synced. Any other file is written and synced under the name `*.part` and then renamed; the line in the timing log comes
between the two, so that recovery can tell a finished segment (and finish the renaming) from the rest of one.
"""

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from erc_live.streams import codec
from erc_live.streams.bundle_limits import MANIFEST_BYTES, NAME_LETTERS, SEGMENT_BYTES, SEGMENT_S, SOURCES, TIME_NS
from erc_live.streams.errors import BadMessage, MediaError, SessionError
from erc_live.streams.journal import open_regular, read_log, read_whole, write_whole
from erc_live.streams.message_base import Count, PublicMessage
from erc_live.streams.messages import SAMPLE_RATE_HZ, Gap, Kind, SourceEnd, UtteranceFeatures, samples_to_ns

T = TypeVar("T")
SessionEvent = PublicMessage  # all but `Gap`

SESSION_SCHEMA = "erc.session/1"
MANIFEST, CHECKSUMS = "session.json", "checksums.json"
TIMING, FEATURES, EVENTS, FAULTS = "timing.jsonl", "features.jsonl", "events.jsonl", "faults.jsonl"
LOGS = (TIMING, FEATURES, EVENTS, FAULTS)
SUFFIX: dict[Kind, str] = {"audio": "flac", "video": "mkv"}
_REMEDY = "; 'erc-live session recover {}' saves the rest"
_PACKAGES = (
    "erc-live",
    "numpy",
    "av",
    "msgspec",
    "pyzmq",
    "torch",
    "torch-geometric",
    "transformers",
    "faster-whisper",
)

# A name inside the bundle: nothing that a log says leads out of its folder.
SegmentFile = Annotated[str, Meta(pattern=r"^(audio|video)/[A-Za-z0-9_-][A-Za-z0-9._-]*\.(flac|mkv)$")]


_AtLeastOne = Annotated[int, Meta(ge=1)]
_Name = Annotated[str, Meta(max_length=NAME_LETTERS)]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the bundle's own book-keeping."""


class RecordedSource(Record, frozen=True, kw_only=True):
    """`speaker` is the person's name where a source is of one person, else empty."""

    name: _Name
    kind: Kind
    speaker: _Name = ""


class Manifest(Record, frozen=True, kw_only=True):
    """What the session is. `t_ns` (session clock), `wall_ns` (Unix time) and `created` (in words) are the same instant.

    `labels` are empty until the session's Hello was recorded. `config` is a JSON object.
    """

    schema: str
    session: str
    created: str
    t_ns: int
    wall_ns: int
    labels: tuple[str, ...]
    sources: Annotated[tuple[RecordedSource, ...], Meta(max_length=SOURCES)]
    config: dict[str, object]
    versions: dict[str, str]
    closed: bool = False


class ChunkRun(msgspec.Struct, frozen=True, array_like=True):
    """`chunks` chunks of `samples` samples each, back to back from `t_ns` on."""

    t_ns: int
    samples: _AtLeastOne
    chunks: _AtLeastOne

    @property
    def t_end_ns(self) -> int:
        return self.t_ns + samples_to_ns(self.samples * self.chunks)


class AudioSegment(Record, frozen=True, kw_only=True, tag=True):
    """One FLAC file: the samples of all runs, one after the other."""

    source: str
    file: SegmentFile
    sha256: str
    runs: Annotated[tuple[ChunkRun, ...], Meta(min_length=1)]

    @property
    def t_first_ns(self) -> int:
        return min(run.t_ns for run in self.runs)

    @property
    def t_end_ns(self) -> int:
        return max(run.t_end_ns for run in self.runs)


class VideoSegment(Record, frozen=True, kw_only=True, tag=True):
    """One Matroska file: pictures of one size, taken at `times_ns`."""

    source: str
    file: SegmentFile
    sha256: str
    width_px: Count
    height_px: Count
    times_ns: Annotated[tuple[int, ...], Meta(min_length=1)]

    @property
    def t_first_ns(self) -> int:
        return self.times_ns[0]

    @property
    def t_end_ns(self) -> int:
        return self.times_ns[-1]


MediaSegment = AudioSegment | VideoSegment


def new_manifest(
    session: str, t_ns: int, wall_ns: int, sources: Sequence[RecordedSource], config: dict[str, object]
) -> Manifest:
    """The manifest of a session that begins, with the versions of the software that runs it."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return Manifest(
        schema=SESSION_SCHEMA,
        session=session,
        created=datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).isoformat(),
        t_ns=t_ns,
        wall_ns=wall_ns,
        labels=(),
        sources=tuple(sources),
        config=config,
        versions=versions,
    )


@dataclass(frozen=True)
class RecordedSession:
    """A bundle for reading: everything but the media, which are read segment by segment."""

    path: Path
    manifest: Manifest
    segments: tuple[MediaSegment, ...]
    ends: tuple[SourceEnd, ...]
    gaps: tuple[Gap, ...]
    events: tuple[SessionEvent, ...]
    features: tuple[UtteranceFeatures, ...]

    @property
    def t_first_ns(self) -> int:
        """Time of the earliest media; that of the manifest when there are none."""
        return min((segment.t_first_ns for segment in self.segments), default=self.manifest.t_ns)

    def tracks(self) -> tuple[tuple[Kind, str], ...]:
        """(kind, source) of everything that was recorded, in order."""
        kinds: dict[type, Kind] = {AudioSegment: "audio", VideoSegment: "video"}
        return tuple(sorted({(kinds[type(segment)], segment.source) for segment in self.segments}))

    def samples(self, segment: AudioSegment) -> Iterator[np.ndarray]:
        """The samples of each chunk, in order. Shapes: (n,) int16.

        Raises SessionError when the file is not the one that was recorded.
        """
        from erc_live.streams.segments import cut, decode_flac  # in the call: events are read without PyAV

        lengths = (run.samples for run in segment.runs for _ in range(run.chunks))
        return self._decoded(segment, lambda file: cut(decode_flac(file), lengths))

    def jpegs(self, segment: VideoSegment) -> Iterator[bytes]:
        """One per time. Raises SessionError when the file is not the one that was recorded."""
        from erc_live.streams.segments import decode_mkv

        return self._decoded(segment, lambda file: _counted(decode_mkv(file), len(segment.times_ns)))

    def _decoded(self, segment: MediaSegment, decode: Callable[[BufferedReader], Iterator[T]]) -> Iterator[T]:
        name = self.path / segment.file
        try:
            with open_regular(name, SEGMENT_BYTES) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != segment.sha256:
                    raise SessionError(f"{name}: is not what was recorded{_REMEDY.format(self.path)}")
                file.seek(0)
                yield from decode(file)
        except OSError as error:
            raise SessionError(f"{name}: {error.strerror}{_REMEDY.format(self.path)}") from error
        except (MediaError, BadMessage) as error:
            raise SessionError(f"{name}: {error}") from error


def open_session(path: Path) -> RecordedSession:
    """The bundle at `path`, closed or not; of a crashed one, what was synced. Raises SessionError."""
    manifest = read_manifest(path)
    timing = _entries(path, TIMING, read_timing)
    session = RecordedSession(
        path=path,
        manifest=manifest,
        segments=tuple(entry for entry in timing if not isinstance(entry, SourceEnd)),
        ends=tuple(entry for entry in timing if isinstance(entry, SourceEnd)),
        gaps=_entries(path, FAULTS, _gap),
        events=_entries(path, EVENTS, _event),
        features=_entries(path, FEATURES, _features),
    )
    if len({segment.file for segment in session.segments}) < len(session.segments):
        raise SessionError(f"{path / TIMING}: names a file twice{_REMEDY.format(path)}")
    if len(session.tracks()) > SOURCES:
        raise SessionError(f"{path}: has more than {SOURCES} sources, which no recording has")
    return session


def read_manifest(path: Path) -> Manifest:
    """The manifest of the bundle at `path`. Raises SessionError."""
    file = path / MANIFEST
    try:
        data = read_whole(file, MANIFEST_BYTES)
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SESSION_SCHEMA:
            raise SessionError(f"{path}: a session of schema {schema[:20]}; this version reads {SESSION_SCHEMA}")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(f"{path}: not a recorded session: it has no {MANIFEST}") from error
    except OSError as error:
        raise SessionError(f"{file}: {error.strerror}") from error
    except (*codec.UNREADABLE, BadMessage) as error:
        raise SessionError(f"{file}: cannot be read: {error}") from error
    if any((path / folder).is_symlink() for folder in SUFFIX):
        raise SessionError(f"{path}: a folder in it is a link to another place, which no recording has")
    return manifest


def seal(path: Path, manifest: Manifest, hashes: Mapping[str, str]) -> None:
    """Write the checksums (of `hashes`, name -> SHA-256, and the manifest) and the closed manifest. Raises OSError."""
    data = manifest_json(msgspec.structs.replace(manifest, closed=True))
    sums = dict(sorted({**hashes, MANIFEST: hashlib.sha256(data).hexdigest()}.items()))
    write_whole(path / CHECKSUMS, msgspec.json.format(msgspec.json.encode(sums)) + b"\n")
    write_whole(path / MANIFEST, data)


def manifest_json(manifest: Manifest) -> bytes:
    """The contents of the manifest file."""
    return msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"


class _Schema(msgspec.Struct):
    schema: str


def read_timing(line: bytes) -> MediaSegment | SourceEnd:
    """A line of the timing log. Raises BadMessage, also for what is larger than any recorder makes it."""
    try:
        entry: MediaSegment | SourceEnd = msgspec.json.decode(line, type=MediaSegment | SourceEnd)
    except codec.UNREADABLE as error:
        raise BadMessage(str(error)) from error
    times_ns: tuple[int, ...]
    match entry:
        case AudioSegment():
            times_ns = tuple(run.t_ns for run in entry.runs)
            if sum(run.samples * run.chunks for run in entry.runs) > SEGMENT_S * SAMPLE_RATE_HZ:
                raise BadMessage(f"a segment of more than {SEGMENT_S} s")
        case VideoSegment():
            times_ns = entry.times_ns
        case SourceEnd():
            times_ns = (entry.t_ns,)
    if max(map(abs, times_ns)) > TIME_NS or len(entry.source) > NAME_LETTERS:
        raise BadMessage("a time or a name beyond all bounds")
    return entry


def _features(line: bytes) -> UtteranceFeatures:
    return _of_kind(line, UtteranceFeatures)


def _gap(line: bytes) -> Gap:
    return _of_kind(line, Gap)


def _event(line: bytes) -> SessionEvent:
    message = _of_kind(line, PublicMessage)
    if isinstance(message, Gap):
        raise BadMessage("Gap in the wrong log")
    return message


def _of_kind(line: bytes, kind: type[T]) -> T:
    message = codec.from_json(line)
    if not isinstance(message, kind):
        raise BadMessage(f"{type(message).__name__} in the wrong log")
    if not _in_64_bits(message):
        raise BadMessage(f"{type(message).__name__} with a number beyond 64 bits")
    return message


def _in_64_bits(value: object) -> bool:
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    if isinstance(value, msgspec.Struct):
        return all(_in_64_bits(getattr(value, name)) for name in value.__struct_fields__)
    return not isinstance(value, tuple) or all(map(_in_64_bits, value))


DECODERS: dict[str, Callable[[bytes], object]] = {
    TIMING: read_timing,
    FEATURES: _features,
    EVENTS: _event,
    FAULTS: _gap,
}


def _entries(path: Path, name: str, decode: Callable[[bytes], T]) -> tuple[T, ...]:
    """What a log says, without a torn end, which is how a crash looks. Raises SessionError for anything else."""
    try:
        log = read_log(path / name, decode)
    except OSError as error:
        raise SessionError(f"{path / name}: {error.strerror}{_REMEDY.format(path)}") from error
    except BadMessage as error:
        raise SessionError(f"{path / name}: {error}") from error
    if log.bad:
        raise SessionError(f"{path / name}: line {log.bad[0]} is damaged{_REMEDY.format(path)}")
    return log.values


def _counted(items: Iterator[T], count: int) -> Iterator[T]:
    """The items. Raises MediaError where there are fewer or more than `count`."""
    number = 0
    for number, item in enumerate(items, 1):
        if number > count:
            break
        yield item
    if number != count:
        raise MediaError(f"holds {'more' if number > count else 'fewer'} pictures than were recorded")
