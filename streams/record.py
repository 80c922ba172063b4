"""Messages of the bus -> a bundle on disk (`session.py`), as they come; it survives a crash at any instant.

Media are collected in memory and written a segment at a time, so that no encoder holds a half-written file open: what a
crash can cost is the segment that is being collected. Everything else is on disk when `write` returns. A recorder that
takes the place of one that died goes on in the same bundle, and passes over what that one had written.
The rule of this file: what is written is what came. Nothing is padded or moved: a hole in time begins a new segment.
"""

import hashlib
import re
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from erc_live.streams import codec
from erc_live.streams.bundle_limits import SEGMENT_BYTES
from erc_live.streams.bundle_lock import LOCK, BundleLock
from erc_live.streams.bundle_losses import LOSSES
from erc_live.streams.errors import BadMessage, SessionError
from erc_live.streams.journal import (
    FOLDER_MODE,
    Log,
    commit_part,
    make_private,
    part_of,
    sha256,
    write_part,
    write_whole,
)
from erc_live.streams.media import encode_flac, encode_mkv
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import (
    AnyMessage,
    AudioChunk,
    Gap,
    Hello,
    Kind,
    Overload,
    Relabel,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
    WorkerLost,
)
from erc_live.streams.recovery import is_finished, mend
from erc_live.streams.session import (
    EVENTS,
    FAULTS,
    FEATURES,
    LOGS,
    MANIFEST,
    SUFFIX,
    TIMING,
    AudioSegment,
    ChunkRun,
    Manifest,
    MediaSegment,
    VideoSegment,
    manifest_json,
    read_manifest,
    seal,
)
from erc_live.streams.stored import Stored, last_numbers, read_stored

Media = AudioChunk | VideoFrame

RECENT = 32  # messages that are known again
_SEGMENT_NS = 8_000_000_000  # a crash may cost 10 s: the rest is for what is still on its way here
_SEGMENT_BYTES = SEGMENT_BYTES // 4  # of large pictures, sooner
_MAX_JITTER_NS = 16_000_000  # half a chunk: more than this between stamp and sample count is a hole, not a jitter


class Recorder:
    """Writes one session. A context manager: leaving it closes the bundle."""

    def __init__(self, folder: Path, manifest: Manifest, resumed: bool = False) -> None:
        """Create the bundle, readable by its owner only; `resumed`: go on with the one there, whose manifest it is.

        Raises SessionError when the folder holds anything already, or another process records there.
        """
        self.stored = Stored()  # before
        self.until_ns: dict[str, int] = {}  # source -> up to when its media are on the disk
        self._folder = folder
        self._manifest = manifest
        self._tails: dict[tuple[Kind, str], list[Media]] = {}
        self._numbers: Counter[str] = Counter()
        self._hashes: dict[str, str] = {}
        self._sources = {source.name for source in manifest.sources}
        self._logs: dict[str, Log] = {}
        self._recent: deque[PublicMessage] = deque()
        self._lock: BundleLock | None = None
        self._open = True
        try:
            if resumed:
                self._reopen()
            else:
                self._create()
        except (OSError, BadMessage) as error:
            self._let_go()
            reason = error.strerror if isinstance(error, OSError) else error
            raise SessionError(f"{folder}: cannot record there: {reason}") from error

    @classmethod
    def resume(cls, folder: Path) -> Self:
        """Go on with the bundle of a recorder that died. `stored` then says what it has; messages that are written once
        more are passed over. Raises SessionError where there is none, or it was closed.
        """
        manifest = read_manifest(folder)
        if manifest.closed:
            raise SessionError(f"{folder}: the recording has ended: name a folder that does not exist yet")
        return cls(folder, manifest, resumed=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def write(self, message: AnyMessage | PublicMessage) -> None:
        """Take a message; those that are not recorded are passed over.

        Raises SessionError when the disk does not take it. What could be saved then is, and the recorder is closed.
        """
        if not self._open:
            raise SessionError(f"{self._folder}: the recording has ended")
        try:
            self._write(message)
        except OSError as error:
            self._give_up()
            raise self._failure(error) from error

    def close(self) -> None:
        """Write what is left, then the checksums. May be called twice. Raises SessionError when the disk is full."""
        if not self._open:
            return
        try:
            for key in sorted(self._tails):
                self._save(key)
            self._close_logs()
            logs = [self._folder / name for name in (*LOGS, LOSSES) if (self._folder / name).exists()]
            seal(self._folder, self._manifest, self._hashes | {log.name: sha256(log) for log in logs})
            self._open = False
            self._let_go()
        except OSError as error:
            self._give_up()
            raise self._failure(error) from error

    def _create(self) -> None:
        self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        leftover = {LOCK, part_of(Path(MANIFEST)).name}  # of a recorder that died before it had a manifest
        if any(file.name not in leftover for file in self._folder.iterdir()):
            raise SessionError(f"{self._folder}: is not empty: name a folder that does not exist yet")
        self._lock = BundleLock(self._folder)
        make_private(self._folder)
        write_whole(self._folder / MANIFEST, manifest_json(self._manifest))
        for kind in SUFFIX:
            make_private(self._folder / kind)
        self._logs = {name: Log(self._folder / name) for name in LOGS}

    def _reopen(self) -> None:
        self._lock = BundleLock(self._folder)
        mend(self._folder, is_finished)
        self.stored = read_stored(self._folder)
        self.until_ns = dict(self.stored.until_ns)
        self._numbers = last_numbers(self._folder)
        self._hashes = {segment.file: segment.sha256 for segment in self.stored.segments}
        self._sources |= self.stored.until_ns.keys()
        self._logs = {name: Log(self._folder / name, resumed=True) for name in LOGS}

    def _write(self, message: AnyMessage | PublicMessage) -> None:
        if isinstance(message, AudioChunk | VideoFrame):
            self._add(message)
        elif isinstance(message, SourceEnd):
            self._end(message)
        elif isinstance(message, UtteranceFeatures | PublicMessage) and not self._superfluous(message):
            self._log(_log_of(message), message)
        if isinstance(message, Hello) and message.labels != self._manifest.labels:
            self._greet(message)

    def _superfluous(self, message: AnyMessage | PublicMessage) -> bool:
        """Features of what was still being said; and what both who noticed it and who passed it on tell us."""
        if isinstance(message, UtteranceFeatures):
            return not message.final
        if isinstance(message, Gap | Relabel | Overload | WorkerLost):
            repeated, self._recent = message in self._recent, deque([*self._recent, message], maxlen=RECENT)
            return repeated
        return False

    def _add(self, message: Media) -> None:
        if (isinstance(message, AudioChunk) and not len(message.pcm)) or self.stored.holds(message):
            return
        key: tuple[Kind, str] = ("audio" if isinstance(message, AudioChunk) else "video", message.source)
        if key in self._tails and not _continues(self._tails[key], message):
            self._save(key)
        self._tails.setdefault(key, []).append(message)
        self._sources.add(message.source)

    def _end(self, end: SourceEnd) -> None:
        for kind in SUFFIX:
            self._save((kind, end.source))
        if end.source in self._sources:  # workers without media end as well
            self._log(TIMING, end)

    def _greet(self, hello: Hello) -> None:
        """The manifest learns the labels."""
        self._manifest = msgspec.structs.replace(self._manifest, labels=hello.labels)
        write_whole(self._folder / MANIFEST, manifest_json(self._manifest))

    def _save(self, key: tuple[Kind, str]) -> None:
        """Write the segment that was collected: data, then its line in the log, then its name."""
        tail = self._tails.pop(key, None)
        if tail is None:
            return
        kind, source = key
        stem = f"{kind}/" + re.sub(r"[^A-Za-z0-9_-]+", "_", source)
        self._numbers[stem] += 1
        name = f"{stem}-{self._numbers[stem]:04}.{SUFFIX[kind]}"
        data, segment = _encode(tail, name)
        write_part(self._folder / name, data)
        self._logs[TIMING].append(msgspec.json.encode(segment))
        commit_part(self._folder / name)
        self._hashes[name] = segment.sha256
        self.until_ns[source] = max(segment.t_end_ns, self.until_ns.get(source, segment.t_end_ns))

    def _log(self, name: str, message: AnyMessage | PublicMessage) -> None:
        line = codec.to_json(message)
        if not self.stored.take(name, line):
            self._logs[name].append(line)

    def _give_up(self) -> None:
        """The disk refused something: save the segments that it still takes."""
        self._open = False
        for key in sorted(self._tails):
            with suppress(OSError):
                self._save(key)
        self._let_go()

    def _let_go(self) -> None:
        self._close_logs()
        if self._lock is not None:
            self._lock.release()

    def _close_logs(self) -> None:
        for log in self._logs.values():
            log.close()

    def _failure(self, error: OSError) -> SessionError:
        return SessionError(
            f"{self._folder}: recording stopped: {error.strerror}; "
            f"'erc-live session recover {self._folder}' makes whole what is there"
        )


def _log_of(message: UtteranceFeatures | PublicMessage) -> str:
    if isinstance(message, UtteranceFeatures):
        return FEATURES
    return FAULTS if isinstance(message, Gap) else EVENTS


def _continues(tail: Sequence[Media], message: Media) -> bool:
    """Whether the message belongs into the segment of those before it."""
    last = tail[-1]
    if message.t_ns - tail[0].t_ns >= _SEGMENT_NS:
        return False
    if isinstance(message, AudioChunk):
        return isinstance(last, AudioChunk) and abs(message.t_ns - last.t_end_ns) <= _MAX_JITTER_NS
    if sum(len(frame.jpeg) for frame in tail if isinstance(frame, VideoFrame)) + len(message.jpeg) > _SEGMENT_BYTES:
        return False
    same_size = isinstance(last, VideoFrame) and (message.width_px, message.height_px) == (
        last.width_px,
        last.height_px,
    )
    return same_size and message.t_ns >= last.t_ns


def _encode(tail: Sequence[Media], file: str) -> tuple[bytes, MediaSegment]:
    """The contents of the file, and what the timing log says of it."""
    chunks = [message for message in tail if isinstance(message, AudioChunk)]
    frames = [message for message in tail if isinstance(message, VideoFrame)]
    source = tail[0].source
    if chunks:
        data = encode_flac(np.concatenate([chunk.pcm for chunk in chunks]))
        return data, AudioSegment(source=source, file=file, sha256=_sha256(data), runs=_runs(chunks))
    data = encode_mkv(frames)
    segment = VideoSegment(
        source=source,
        file=file,
        sha256=_sha256(data),
        width_px=frames[0].width_px,
        height_px=frames[0].height_px,
        times_ns=tuple(frame.t_ns for frame in frames),
    )
    return data, segment


def _runs(chunks: Sequence[AudioChunk]) -> tuple[ChunkRun, ...]:
    """The times and lengths of the chunks; one run where they follow each other without jitter."""
    runs: list[ChunkRun] = []
    for chunk in chunks:
        if runs and runs[-1].samples == len(chunk.pcm) and runs[-1].t_end_ns == chunk.t_ns:
            runs[-1] = msgspec.structs.replace(runs[-1], chunks=runs[-1].chunks + 1)
        else:
            runs.append(ChunkRun(chunk.t_ns, len(chunk.pcm), 1))
    return tuple(runs)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
