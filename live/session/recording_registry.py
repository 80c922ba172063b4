"""Which recordings were made here: a small file for each in the user's own data folder, so that they are found again
when somebody is to be forgotten, or their time is up.

The rule of this file: what is deleted was recorded here and says so itself, and nothing that somebody put beside it
goes with it.
"""

from pathlib import Path
from urllib.parse import quote

import msgspec
import platformdirs

from erc_live.streams.errors import SessionError
from erc_live.streams.journal import make_private, write_whole
from erc_live.streams.recovery import delete
from erc_live.streams.session import read_manifest

_DAY_NS = 86_400_000_000_000


class RegisteredRecording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`session` is the id in the manifest."""

    path: str
    session: str


def register(path: Path, session: str) -> None:
    """Remember a recording. Raises OSError."""
    make_private(_folder())
    entry = RegisteredRecording(path=str(path.absolute()), session=session)
    write_whole(_file(session), msgspec.json.encode(entry) + b"\n")


def recordings() -> list[Path]:
    """The recordings that were made here and are still where they were made, the oldest first."""
    found = []
    for file in sorted(_folder().glob("*.json")):
        try:
            entry = msgspec.json.decode(file.read_bytes(), type=RegisteredRecording)
            if read_manifest(Path(entry.path)).session == entry.session:
                found.append(Path(entry.path))
        except (OSError, SessionError, msgspec.MsgspecError):
            continue  # moved, deleted, on a disk that is not here, or another session by now: none of ours to touch
    return found


def expired(keep_days: int, now_ns: int) -> list[Path]:
    """Those that are older than so many days at `now_ns` (Unix time); 0 days: none, ever."""
    return [path for path in recordings() if keep_days and _age_ns(path, now_ns) > keep_days * _DAY_NS]


def prune(keep_days: int, now_ns: int) -> list[str]:
    """Delete those that are `expired`; what was done, one line each."""
    return [_deleted(path, keep_days) for path in expired(keep_days, now_ns)]


def _deleted(path: Path, keep_days: int) -> str:
    session = read_manifest(path).session
    try:
        gone = delete(path)
    except (OSError, SessionError) as error:
        return f"{path}: older than recording.keep_days ({keep_days}), but cannot be deleted: {error}"
    _file(session).unlink(missing_ok=True)
    rest = "" if gone else "; files in it that are no part of the recording stay"
    return f"{path}: deleted, for it was older than recording.keep_days ({keep_days}){rest}"


def _age_ns(path: Path, now_ns: int) -> int:
    return now_ns - read_manifest(path).wall_ns


def _folder() -> Path:
    return platformdirs.user_data_path("erc-live") / "recordings"


def _file(session: str) -> Path:
    return _folder() / f"{quote(session, safe=' ')}.json"
