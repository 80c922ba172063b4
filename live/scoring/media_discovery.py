"""What can be scored below a folder: media files by their endings, and recorded sessions.

The rule of this file: the order is that of the names, so it is the same in each run; nothing is opened, and what is
passed over is counted.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from erc_live.live.scoring.score_task import ScoreTask
from erc_live.streams.errors import MediaError
from erc_live.streams.session import MANIFEST, TIMING

# Files of another ending are passed over: FFmpeg takes text and pictures for media, too, and to open each file is slow.
SOUND = ("wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "wma", "amr", "ac3", "aif", "aiff", "au", "mka")
FILM = ("mp4", "m4v", "mkv", "mov", "webm", "avi", "wmv", "flv", "mpg", "mpeg", "ts", "mts", "m2ts", "ogv", "3gp")
_ENDINGS = frozenset(f".{ending}" for ending in (*SOUND, *FILM))


@dataclass
class Discovery:
    """`tasks` in the order of their names; `ignored`: how many other files there are, by ending."""

    tasks: list[ScoreTask] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def discover(folder: Path) -> Discovery:
    """What is there, at any depth; hidden files and folders are left alone. Raises MediaError if that is nothing, or a
    folder cannot be read.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder; for one recording there is `erc-live replay {folder} --speed max`")
    discovery = Discovery()
    for here, folders, files in os.walk(folder, onerror=_refuse):
        place = Path(here)
        if MANIFEST in files and TIMING in files:
            discovery.tasks.append(ScoreTask(_name(place, folder), place))
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (place / name for name in files if not name.startswith(".")):
            if path.suffix.lower() in _ENDINGS:
                discovery.tasks.append(ScoreTask(_name(path, folder), path))
            else:
                discovery.ignored[path.suffix.lower() or "no ending"] += 1
    if not discovery.tasks:
        raise MediaError(
            f"{folder}: neither a recorded session in it nor a media file, which is one that ends with "
            f"{', '.join((*SOUND, *FILM))}"
        )
    discovery.tasks.sort(key=lambda task: task.name)
    return discovery


def _name(path: Path, folder: Path) -> str:
    return path.resolve().name if path == folder else path.relative_to(folder).as_posix()


def _refuse(error: OSError) -> None:
    raise MediaError(f"{error.filename}: cannot be read ({error.strerror}): what is in it would be missing") from error
