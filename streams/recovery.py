"""Whether a bundle is whole, and making it so again.

The rule of this file: nothing is left out in silence. What cannot be read is put aside as `*.damaged`, and what is gone
is written down in the bundle (`bundle_losses.py`), so that it is known of it from then on.
"""

import errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from erc_live.streams import codec
from erc_live.streams.bundle_limits import CHECKSUMS_BYTES, LOG_BYTES
from erc_live.streams.bundle_lock import LOCK, BundleLock, is_locked
from erc_live.streams.bundle_losses import LOSSES, Loss, LostLines, LostSegment, add_losses, lost_segment
from erc_live.streams.errors import BadMessage, SessionError
from erc_live.streams.journal import (
    PART,
    LogLine,
    commit_part,
    log_lines,
    make_private,
    part_of,
    read_log,
    read_whole,
    sha256,
    write_whole,
)
from erc_live.streams.messages import SourceEnd
from erc_live.streams.session import (
    CHECKSUMS,
    DECODERS,
    LOGS,
    MANIFEST,
    SUFFIX,
    TIMING,
    Manifest,
    MediaSegment,
    read_manifest,
    read_timing,
    seal,
)

_DAMAGED = ".damaged"
_SEGMENT = re.compile(r"(audio|video)/(?P<source>[A-Za-z0-9_-]+)-\d{4,}\.(flac|mkv)")
_SHA256_LETTERS = 64
_NO_FILE = (errno.EINVAL, errno.ELOOP, errno.ENXIO)  # a device or folder, a link, a socket
BEING_RECORDED = "is being recorded"

IsWhole = Callable[[Path, MediaSegment], bool]


def verify(path: Path) -> list[str]:
    """What is wrong with the bundle, one line each; empty when it is whole. Raises SessionError when it is none.

    Of one that is being recorded there is nothing to say but that.
    """
    manifest = read_manifest(path)
    if is_locked(path):
        return [BEING_RECORDED]
    try:
        return _findings(path, manifest)
    except OSError as error:
        raise SessionError(f"{path}: {error.filename}: {error.strerror}") from error


def recover(path: Path) -> list[str]:
    """Make the bundle whole and close it; returns what was done and what is gone, one line each.

    All that was synced stays. Raises SessionError when it is none, and when it is being recorded.
    """
    read_manifest(path)
    try:
        with BundleLock(path):
            return _recover(path)
    except OSError as error:
        raise SessionError(f"{path}: {error.filename}: {error.strerror}") from error
    except BadMessage as error:
        raise SessionError(f"{path}: cannot be recovered: {error}") from error


def mend(path: Path, is_whole: IsWhole) -> list[str]:
    """Finish or take back what a recorder was at when it died, and leave out what cannot be read; what was done.

    Raises OSError, BadMessage where a log is too large.
    """
    done = [line for folder in (path, *(path / kind for kind in SUFFIX)) if (line := make_private(folder))]
    done += [line for name in LOGS for line in _mend_log(path, name, is_whole)]
    for part in path.rglob(f"*{PART}"):
        part.unlink()
        done.append(f"{part.relative_to(path).as_posix()}: removed, it was half-written")
    listed = {entry.file for entry in read_log(path / TIMING, read_timing).values if not isinstance(entry, SourceEnd)}
    for name in sorted(bundle_files(path) - listed - {MANIFEST, LOSSES, *LOGS}):
        if segment := _SEGMENT.fullmatch(name):
            add_losses(path, [LostSegment(source=segment["source"], file=name)])
        (path / name).replace(path / (name + _DAMAGED))
        done.append(f"{name}: put aside")
    return done


def is_unchanged(path: Path, segment: MediaSegment) -> bool:
    """Whether the segment is there and whole, or was but for its name, which is then put right."""
    file = path / segment.file
    if file.exists():
        return sha256(file) == segment.sha256
    return is_finished(path, segment)


def is_finished(path: Path, segment: MediaSegment) -> bool:
    """Whether the segment is there, or was but for its name, which is then put right. A file of that name is believed:
    it was whole when it got it.
    """
    file = path / segment.file
    part = part_of(file)
    if file.exists():
        return True
    if not part.exists() or sha256(part) != segment.sha256:
        return False
    commit_part(file)
    return True


def bundle_files(path: Path) -> set[str]:
    """Names of all that should belong to the session, but for the checksums."""
    files = (file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
    names = {file.relative_to(path).as_posix() for file in files if file.suffix not in (PART, _DAMAGED)}
    return names - {CHECKSUMS, LOCK}


def delete(path: Path) -> bool:
    """Delete the bundle. False: what is no part of a bundle stays, and the folder with it.

    Raises OSError, and SessionError when it is none or is being recorded.
    """
    read_manifest(path)
    own = {CHECKSUMS, LOSSES, *LOGS}
    with BundleLock(path):
        for file in path.rglob("*"):
            name = file.relative_to(path).as_posix().removesuffix(_DAMAGED).removesuffix(PART)
            if (name in own or _SEGMENT.fullmatch(name)) and not file.is_dir():
                file.unlink()
        (path / MANIFEST).unlink()  # last: until then it is known what this is
    for folder in (*(path / kind for kind in SUFFIX), path):
        with suppress(OSError):  # not empty
            folder.rmdir()
    return not path.exists()


def _recover(path: Path) -> list[str]:
    manifest = read_manifest(path)
    if not _findings(path, manifest):
        return []
    done = mend(path, is_unchanged)
    seal(path, manifest, {name: sha256(path / name) for name in bundle_files(path) - {MANIFEST}})
    return [*sorted(done), "closed"]


def _findings(path: Path, manifest: Manifest) -> list[str]:
    findings = [] if manifest.closed else ["the session was not closed"]
    digests = {name: _digest(path / name) for name in bundle_files(path)}
    findings += [f"{name}: {digest}" for name, digest in digests.items() if len(digest) != _SHA256_LETTERS]
    for name in LOGS:
        findings += _verify_log(path, name, digests)
    listed = _read_checksums(path) if manifest.closed else digests
    findings += [f"{name}: missing" for name in listed.keys() - digests.keys()]
    findings += [f"{name}: not part of the session" for name in digests.keys() - listed.keys()]
    findings += [f"{name}: changed" for name in listed.keys() & digests.keys() if listed[name] != digests[name]]
    findings += [f"{part.relative_to(path).as_posix()}: half-written" for part in path.rglob(f"*{PART}")]
    return sorted(set(findings))


def _digest(file: Path) -> str:
    """The SHA-256 of a file; what is wrong with one that is no part of any bundle. Raises OSError."""
    try:
        return sha256(file)
    except BadMessage as error:
        return str(error)
    except OSError as error:
        if error.errno in _NO_FILE:
            return "is no ordinary file"
        raise


def _verify_log(path: Path, name: str, digests: Mapping[str, str]) -> list[str]:
    if len(digests.get(name, "")) != _SHA256_LETTERS:
        return [] if name in digests else [f"{name}: missing"]
    findings: list[str] = []
    for line, entry in _entries(path, name):
        if line.torn:
            findings.append(f"{name}: the last line is torn")
        elif entry is None:
            findings.append(f"{name}: line {line.number} is damaged")
        elif isinstance(entry, MediaSegment) and digests.get(entry.file) != entry.sha256:
            findings.append(f"{entry.file}: {'changed' if entry.file in digests else 'missing'}")
    return findings


def _mend_log(path: Path, name: str, is_whole: IsWhole) -> list[str]:
    """Leave out of the log what cannot be read and, from the timing log, segments that are not there."""
    file = path / name
    if not file.exists():
        begun = any((path / other).stat().st_size for other in LOGS if (path / other).exists())
        add_losses(path, [LostLines(file=name, lines=0)] if begun else [])
        write_whole(file, b"")
        return [f"{name}: was missing"]
    losses: list[Loss] = []
    stored, bad, dropped = [], 0, 0
    for line, entry in _entries(path, name):
        if entry is None:
            bad += not line.torn
        elif isinstance(entry, MediaSegment) and not is_whole(path, entry):
            losses.append(lost_segment(entry))
        else:
            stored.append(line.text + b"\n")
            continue
        dropped += 1
    if not dropped:
        return []
    if bad:
        losses.append(LostLines(file=name, lines=bad))
        write_whole(path / (name + _DAMAGED), read_whole(file, LOG_BYTES))
    add_losses(path, losses)  # first: nothing that is gone is forgotten, whenever this ends
    write_whole(file, b"".join(stored))
    return [f"{name}: left out {dropped} of {len(stored) + dropped} lines"]


def _entries(path: Path, name: str) -> Iterator[tuple[LogLine, object]]:
    """The lines of a log and what they say; None where it cannot be read, or is a file that was listed before."""
    files: set[str] = set()
    for line in log_lines(path / name):
        entry = _entry(name, line)
        if isinstance(entry, MediaSegment):
            entry = None if entry.file in files else entry
            files |= {entry.file} if isinstance(entry, MediaSegment) else set()
        yield line, entry


def _entry(name: str, line: LogLine) -> object:
    """What a line says; None where it cannot be read."""
    if line.torn or line.too_long:
        return None
    try:
        return DECODERS[name](line.text)
    except BadMessage:
        return None


def _read_checksums(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(read_whole(path / CHECKSUMS, CHECKSUMS_BYTES), type=dict[str, str])
    except (FileNotFoundError, BadMessage, *codec.UNREADABLE):
        return {}  # then nothing is part of the session: verification says so for each file
