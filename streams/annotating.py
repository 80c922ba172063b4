"""Adding annotations to a session that was recorded, as if they had been made while it ran.

The rule of this file: the bundle is whole before and after, and what was in it stays as it was: a line is added to its
log, and the bundle sealed anew. A crash in between leaves a bundle that was not closed, which recovery closes.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from erc_live.streams import codec
from erc_live.streams.annotations import Annotation
from erc_live.streams.bundle_lock import BundleLock
from erc_live.streams.errors import SessionError
from erc_live.streams.journal import Log, sha256, write_whole
from erc_live.streams.recovery import bundle_files, verify
from erc_live.streams.session import EVENTS, MANIFEST, manifest_json, read_manifest, seal


def annotate(path: Path, annotations: Sequence[Annotation]) -> None:
    """Write annotations into the bundle. Raises SessionError where it is not whole, or is being recorded, and
    BadMessage for an annotation that could not be read back (a name or note that is too long).
    """
    lines = [_line(annotation) for annotation in annotations]
    if findings := verify(path):
        raise SessionError(f"{path}: {findings[0]}: 'erc-live session recover {path}' first")
    try:
        with BundleLock(path):
            manifest = read_manifest(path)
            write_whole(path / MANIFEST, manifest_json(msgspec.structs.replace(manifest, closed=False)))
            log = Log(path / EVENTS, resumed=True)
            try:
                for line in lines:
                    log.append(line)
            finally:
                log.close()
            seal(path, manifest, {name: sha256(path / name) for name in bundle_files(path) - {MANIFEST}})
    except OSError as error:
        raise SessionError(f"{path}: cannot be annotated: {error.strerror}") from error


def _line(annotation: Annotation) -> bytes:
    """As it stands in the log. Raises BadMessage for what no reader of the log would take."""
    line = codec.to_json(annotation)
    codec.from_json(line)
    return line
