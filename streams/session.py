"""A recorded session on disk: a folder that is whole, or says that it is not.

    session.json                the manifest; `closed` turns true at the very end
    audio/<source>-0001.flac    speech samples, a few seconds per file
    video/<source>-0001.mkv     the very JPEG pictures that were on the bus
    timing.jsonl                what is in each of those files, with its SHA-256, and the exact times; ends of sources
    features.jsonl  events.jsonl  faults.jsonl       messages, one JSON object per line
    checksums.json              SHA-256 of every file, written when the session is closed

FLAC, Matroska and JSON: any player and any program reads them, and no format is our own.
The rule of this file: a crash at any instant leaves nothing that looks whole and is not. Logs only grow, line by line,
synced. Any other file is written and synced under the name `*.part` and then renamed; the line in the timing log comes
between the two, so that recovery can tell a finished segment (and finish the renaming) from the rest of one.
"""

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar, get_args

import msgspec
import numpy as np
from msgspec import Meta

from erc_live.streams import codec
from erc_live.streams.errors import BadMessage, MediaError, SessionError
from erc_live.streams.journal import PART, LogContents, commit_part, part_of, read_log, sha256, write_whole
from erc_live.streams.media import Kind, decode_flac, decode_mkv
from erc_live.streams.messages import (
    Count,
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionEnd,
    SessionState,
    SourceEnd,
    UtteranceFeatures,
    WorkerLost,
    samples_to_ns,
)

T = TypeVar("T")
SessionEvent = Hello | EmotionEvent | Relabel | Overload | WorkerLost | SessionState | SessionEnd

SESSION_SCHEMA = "erc.session/1"
MANIFEST, CHECKSUMS = "session.json", "checksums.json"
TIMING, FEATURES, EVENTS, FAULTS = "timing.jsonl", "features.jsonl", "events.jsonl", "faults.jsonl"
LOGS = (TIMING, FEATURES, EVENTS, FAULTS)
SUFFIX: dict[Kind, str] = {"audio": "flac", "video": "mkv"}
_DAMAGED = ".damaged"  # what recovery put aside
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
_SegmentFile = Annotated[str, Meta(pattern=r"^(audio|video)/[A-Za-z0-9_-][A-Za-z0-9._-]*\.(flac|mkv)$")]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the bundle's own book-keeping."""


class RecordedSource(Record, frozen=True, kw_only=True):
    """`speaker` is the person's name where a source is of one person, else empty."""

    name: str
    kind: Kind
    speaker: str = ""


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
    sources: tuple[RecordedSource, ...]
    config: dict[str, object]
    versions: dict[str, str]
    closed: bool = False


class ChunkRun(msgspec.Struct, frozen=True, array_like=True):
    """`chunks` chunks of `samples` samples each, back to back from `t_ns` on."""

    t_ns: int
    samples: Count
    chunks: Count

    @property
    def t_end_ns(self) -> int:
        return self.t_ns + samples_to_ns(self.samples * self.chunks)


class AudioSegment(Record, frozen=True, kw_only=True, tag=True):
    """One FLAC file: the samples of all runs, one after the other."""

    source: str
    file: _SegmentFile
    sha256: str
    runs: Annotated[tuple[ChunkRun, ...], Meta(min_length=1)]

    @property
    def t_first_ns(self) -> int:
        return min(run.t_ns for run in self.runs)


class VideoSegment(Record, frozen=True, kw_only=True, tag=True):
    """One Matroska file: pictures of one size, taken at `times_ns`."""

    source: str
    file: _SegmentFile
    sha256: str
    width_px: Count
    height_px: Count
    times_ns: Annotated[tuple[int, ...], Meta(min_length=1)]

    @property
    def t_first_ns(self) -> int:
        return self.times_ns[0]


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

    def samples(self, segment: AudioSegment) -> np.ndarray:
        """Shapes: (n,) int16. Raises SessionError when the file is not the one that was recorded."""
        pcm = self._decode(segment, decode_flac)
        if len(pcm) != sum(run.samples * run.chunks for run in segment.runs):
            raise SessionError(f"{self.path / segment.file}: holds {len(pcm)} samples, {TIMING} says otherwise")
        return pcm

    def jpegs(self, segment: VideoSegment) -> list[bytes]:
        """One per time. Raises SessionError when the file is not the one that was recorded."""
        jpegs = self._decode(segment, decode_mkv)
        if len(jpegs) != len(segment.times_ns):
            raise SessionError(f"{self.path / segment.file}: holds {len(jpegs)} pictures, {TIMING} says otherwise")
        return jpegs

    def _decode(self, segment: MediaSegment, decode: Callable[[bytes], T]) -> T:
        file = self.path / segment.file
        try:
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest() != segment.sha256:
                raise SessionError(f"{file}: is not what was recorded{_REMEDY.format(self.path)}")
            return decode(data)
        except OSError as error:
            raise SessionError(f"{file}: {error.strerror}{_REMEDY.format(self.path)}") from error
        except MediaError as error:
            raise SessionError(f"{file}: {error}") from error


def open_session(path: Path) -> RecordedSession:
    """The bundle at `path`, closed or not; of a crashed one, what was synced. Raises SessionError."""
    manifest = read_manifest(path)
    timing = _entries(path, TIMING, _timing)
    return RecordedSession(
        path=path,
        manifest=manifest,
        segments=tuple(entry for entry in timing if not isinstance(entry, SourceEnd)),
        ends=tuple(entry for entry in timing if isinstance(entry, SourceEnd)),
        gaps=_entries(path, FAULTS, _gap),
        events=_entries(path, EVENTS, _event),
        features=_entries(path, FEATURES, _features),
    )


def read_manifest(path: Path) -> Manifest:
    """The manifest of the bundle at `path`. Raises SessionError."""
    file = path / MANIFEST
    try:
        data = file.read_bytes()
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SESSION_SCHEMA:
            raise SessionError(f"{path}: a session of schema {schema}; this version reads {SESSION_SCHEMA}")
        return msgspec.json.decode(data, type=Manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SessionError(f"{path}: not a recorded session: it has no {MANIFEST}") from error
    except OSError as error:
        raise SessionError(f"{file}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SessionError(f"{file}: cannot be read: {error}") from error


def verify(path: Path) -> list[str]:
    """What is wrong with the bundle, one line each; empty when it is whole. Raises SessionError when it is none."""
    manifest = read_manifest(path)
    findings = [] if manifest.closed else ["the session was not closed"]
    try:
        digests = {name: sha256(path / name) for name in _files(path)}
        for name in LOGS:
            findings += _verify_log(path, name, digests)
        listed = _read_checksums(path) if manifest.closed else digests
    except OSError as error:
        raise SessionError(f"{path}: {error.filename}: {error.strerror}") from error
    findings += [f"{name}: missing" for name in listed.keys() - digests.keys()]
    findings += [f"{name}: not part of the session" for name in digests.keys() - listed.keys()]
    findings += [f"{name}: changed" for name in listed.keys() & digests.keys() if listed[name] != digests[name]]
    findings += [f"{part.relative_to(path).as_posix()}: half-written" for part in path.rglob(f"*{PART}")]
    return sorted(set(findings))


def recover(path: Path) -> list[str]:
    """Make the bundle whole and close it; returns what was done, one line each. Raises SessionError when it is none.

    All that was synced stays. What cannot be read or was changed is left out of the session and put aside as
    `*.damaged`. Not for a session that is still being recorded.
    """
    if not verify(path):
        return []
    manifest = read_manifest(path)
    try:
        done = [line for name in LOGS for line in _mend_log(path, name)]
        timing = read_log(path / TIMING, _timing).values
        kept = {entry.file: entry.sha256 for entry in timing if isinstance(entry, MediaSegment)}
        for part in path.rglob(f"*{PART}"):
            part.unlink()
            done.append(f"{part.relative_to(path).as_posix()}: removed, it was half-written")
        for name in _files(path) - kept.keys() - {MANIFEST, *LOGS}:
            (path / name).replace(path / (name + _DAMAGED))
            done.append(f"{name}: put aside")
        seal(path, manifest, kept | {name: sha256(path / name) for name in LOGS})
    except OSError as error:
        raise SessionError(f"{path}: {error.filename}: {error.strerror}") from error
    return [*sorted(done), "closed"]


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


def _message(*kinds: type[T]) -> Callable[[bytes], T]:
    def decode(line: bytes) -> T:
        message = codec.from_json(line)
        if not isinstance(message, kinds):
            raise BadMessage(f"{type(message).__name__} in the wrong log")
        return message

    return decode


def _timing(line: bytes) -> MediaSegment | SourceEnd:
    try:
        entry: MediaSegment | SourceEnd = msgspec.json.decode(line, type=MediaSegment | SourceEnd)
        return entry
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(str(error)) from error


_features = _message(UtteranceFeatures)
_gap = _message(Gap)
_event: Callable[[bytes], SessionEvent] = _message(*get_args(SessionEvent))
_DECODERS: dict[str, Callable[[bytes], object]] = {TIMING: _timing, FEATURES: _features, EVENTS: _event, FAULTS: _gap}


def _read_log(path: Path, name: str) -> LogContents[object]:
    return read_log(path / name, _DECODERS[name])


def _entries(path: Path, name: str, decode: Callable[[bytes], T]) -> tuple[T, ...]:
    """What a log says, without a torn end, which is how a crash looks. Raises SessionError for anything else."""
    try:
        log = read_log(path / name, decode)
    except OSError as error:
        raise SessionError(f"{path / name}: {error.strerror}{_REMEDY.format(path)}") from error
    if log.bad:
        raise SessionError(f"{path / name}: line {log.bad[0]} is damaged{_REMEDY.format(path)}")
    return log.values


def _verify_log(path: Path, name: str, digests: Mapping[str, str]) -> list[str]:
    if name not in digests:
        return [f"{name}: missing"]
    log = _read_log(path, name)
    findings = [f"{name}: line {number} is damaged" for number in log.bad]
    findings += [f"{name}: the last line is torn"] if log.torn else []
    for segment in log.values:
        if isinstance(segment, MediaSegment) and digests.get(segment.file) != segment.sha256:
            findings.append(f"{segment.file}: {'changed' if segment.file in digests else 'missing'}")
    return findings


def _mend_log(path: Path, name: str) -> list[str]:
    """Leave out of the log what cannot be read and, from the timing log, segments that are not there."""
    file = path / name
    if not file.exists():
        write_whole(file, b"")
        return [f"{name}: was missing"]
    log = _read_log(path, name)
    kept = [line for line, entry in log.entries if not isinstance(entry, MediaSegment) or _finished(path, entry)]
    if log.bad:
        write_whole(path / (name + _DAMAGED), file.read_bytes())
    dropped = len(log.entries) - len(kept) + len(log.bad) + bool(log.torn)
    if not dropped:
        return []
    write_whole(file, b"".join(line + b"\n" for line in kept))
    return [f"{name}: left out {dropped} of {len(kept) + dropped} lines"]


def _finished(path: Path, segment: MediaSegment) -> bool:
    """Whether the segment is there and whole, or was but for its name, which is then put right."""
    file = path / segment.file
    if file.exists():
        return sha256(file) == segment.sha256
    part = part_of(file)
    if not part.exists() or sha256(part) != segment.sha256:
        return False
    commit_part(file)
    return True


def _files(path: Path) -> set[str]:
    """Names of all that should belong to the session, but for the checksums."""
    files = (file for file in path.rglob("*") if file.is_file() and file.suffix not in (PART, _DAMAGED))
    return {file.relative_to(path).as_posix() for file in files} - {CHECKSUMS}


def _read_checksums(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((path / CHECKSUMS).read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return {}  # then nothing is part of the session: verification says so for each file
