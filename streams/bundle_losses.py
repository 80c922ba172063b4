"""What of a session is gone for good: a log beside the others, written by whoever leaves something out of the bundle.

The rule of this file: a bundle that is whole again does not pass for one that always was.
"""

from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from erc_live.streams import codec
from erc_live.streams.errors import BadMessage, SessionError
from erc_live.streams.journal import read_log, write_whole
from erc_live.streams.plural import counted
from erc_live.streams.session import (
    MediaSegment,
    Record,
    RecordedSession,
    SegmentFile,
    open_session,
)

LOSSES = "losses.jsonl"


class LostSegment(Record, frozen=True, kw_only=True, tag=True):
    """Media that are not there any more. The times are 0 where only the file was known."""

    source: str
    file: SegmentFile
    t_start_ns: int = 0
    t_end_ns: int = 0


class LostLines(Record, frozen=True, kw_only=True, tag=True):
    """Lines of a log that could not be read."""

    file: str
    lines: int


Loss = LostSegment | LostLines


def lost_segment(segment: MediaSegment) -> LostSegment:
    return LostSegment(
        source=segment.source, file=segment.file, t_start_ns=segment.t_first_ns, t_end_ns=segment.t_end_ns
    )


def add_losses(path: Path, losses: list[Loss]) -> None:
    """Write down what is lost, behind what was before; a segment once. Raises OSError."""
    before = read_losses(path)
    files = {loss.file for loss in before if isinstance(loss, LostSegment)}
    new = [loss for loss in losses if isinstance(loss, LostLines) or loss.file not in files]
    if new:
        write_whole(path / LOSSES, b"".join(msgspec.json.encode(loss) + b"\n" for loss in [*before, *new]))


def read_losses(path: Path) -> tuple[Loss, ...]:
    """All that is known to be lost; what cannot be read of it is passed over. Raises OSError."""
    try:
        return read_log(path / LOSSES, _loss).values
    except (FileNotFoundError, BadMessage):
        return ()


def missing(path: Path) -> list[str]:
    """What the bundle lacks, whole or not, one line each. Raises SessionError."""
    session = open_session(path)
    try:
        losses = read_losses(path)
    except OSError as error:
        raise SessionError(f"{path / LOSSES}: {error.strerror}") from error
    files: defaultdict[str, set[str]] = defaultdict(set)
    seconds: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for loss in losses:
        if isinstance(loss, LostLines):
            lines[loss.file] += loss.lines
        elif loss.file not in files[loss.source]:
            files[loss.source].add(loss.file)
            seconds[loss.source] += max(0, loss.t_end_ns - loss.t_start_ns) // 1_000_000_000
    gone = [f"{counted(len(names), 'segment')} ({seconds[name]} s) of {name} gone" for name, names in files.items()]
    gone += [f"{counted(number, 'line') if number else 'all'} of {name} gone" for name, number in lines.items()]
    return [
        *sorted(gone),
        *(f"{counted(n, 'stretch', 'es')} of {name} removed at somebody's wish" for name, n in _forgotten(session)),
        *(f"nothing of {name} there" for name in _without_media(session)),
    ]


def _forgotten(session: RecordedSession) -> list[tuple[str, int]]:
    return sorted(Counter(gap.source for gap in session.gaps if gap.cause == "forgotten").items())


def _without_media(session: RecordedSession) -> list[str]:
    present = {name for _, name in session.tracks()}
    return [source.name for source in session.manifest.sources if source.name not in present]


def _loss(line: bytes) -> Loss:
    try:
        loss: Loss = msgspec.json.decode(line, type=Loss)
    except codec.UNREADABLE as error:
        raise BadMessage(str(error)) from error
    return loss
