"""Folders for the sockets of this user: short enough for a socket, closed to everybody else, and swept.

The rule of this file: a folder that somebody else owns or may enter is never used, whatever its name; and what a killed
session left is known by its lock, which the system lets go of with the process, and not by a number or an age.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from erc_live.streams.errors import AddressError

SOCKET_PATH_BYTES = 103  # of `sun_path`, less the final NUL, on macOS; 107 on Linux
_NAME_BYTES = 20  # below the folder: `/s-xxxxxxxx/999999`
_SESSION = "s-"
_LOCK = "lock"
_STARTING_S = 60.0  # in which a session that just made its folder has locked it


def runtime_folder() -> Path:
    """The folder of this user, mode 0700: below XDG_RUNTIME_DIR where that is usable, else in the temporary folder.

    The same one for every program of the user, so it does not go by TMPDIR where /tmp can be used. Raises AddressError
    where no place is short and private.
    """
    if sys.platform == "win32":
        raise AddressError("this system has no sockets in folders; set events.endpoint=tcp://127.0.0.1:PORT")
    user = os.getuid()
    given = os.environ.get("XDG_RUNTIME_DIR")
    homes = [Path(given)] if given and Path(given).is_absolute() else []
    places = [home / "erc-live" for home in [*homes, Path(f"/run/user/{user}")] if home.is_dir()]
    places += [Path(folder) / f"erc-live-{user}" for folder in ("/tmp", tempfile.gettempdir())]
    for place in places:
        if len(os.fsencode(place)) + _NAME_BYTES <= SOCKET_PATH_BYTES and _is_ours(place, user):
            return place
    raise AddressError(
        f"no folder for sockets that is short and yours alone: tried {', '.join(map(str, dict.fromkeys(places)))}; "
        "set XDG_RUNTIME_DIR to a folder of your own, with a short path"
    )


class SessionFolder:
    """A new folder below `runtime_folder`, locked for as long as this process lives. What others left is swept."""

    def __init__(self) -> None:
        root = runtime_folder()
        _sweep(root)
        self.path = Path(tempfile.mkdtemp(prefix=_SESSION, dir=root))  # mode 0700
        fresh = self.path / "fresh"
        self._lock = fresh.open("wb")
        _try_lock(self._lock)
        fresh.rename(self.path / _LOCK)  # under this name it was never unlocked

    def close(self) -> None:
        """Remove it, with the sockets of workers that could not clean up."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _is_ours(place: Path, user: int) -> bool:
    """Whether the folder could be made, or is there, and nobody else may enter it. A link is no folder."""
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return False
    private = not stat.S_IMODE(found.st_mode) & 0o077
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user and private and os.access(place, os.W_OK | os.X_OK)


def _sweep(root: Path) -> None:
    """Remove the folders of sessions whose process is gone."""
    for folder in root.glob(f"{_SESSION}*"):
        with contextlib.suppress(OSError):  # another session sweeps, too
            if _is_left_behind(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("rb") as lock:
            return _try_lock(lock)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _STARTING_S


def _try_lock(file: IO[bytes]) -> bool:
    """Whether nobody else holds the file; it is ours then, until it is closed."""
    import fcntl  # here: Windows has none, and no such folders

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
