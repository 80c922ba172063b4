"""Which generations there are in a folder of shards: one file, replaced as a whole, and the logs that it speaks of.

A generation is the shards of one set of weights that were begun together. Its shards are numbered on from those of the
one before, so no log has ever been another's; the newest generation stays in the file, so no number is given twice.
The rule of this file: a generation stands in it before there is anything else of it, and no more when something of it
goes. So whatever is killed when, the next start goes on with what the file says, and removes what it does not.
"""

import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from erc_live.live.serving import dialogue_records as records
from erc_live.live.serving.rendezvous import shard_of
from erc_live.streams.errors import BadMessage, SessionError
from erc_live.streams.journal import read_whole, write_whole
from erc_live.streams.segmented_log import FileLog

_FILE = "generations"
_OLDER = "shards"  # the file of versions that had one generation
_BYTES = 1 << 20


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """So many `shards`, the `first` of that number. `weights`: a shipped name or a folder, of that `fingerprint`."""

    number: int
    first: int
    shards: int
    weights: str
    fingerprint: str

    def __str__(self) -> str:
        return f"generation {self.number} (shards: {self.shards}, weights: {self.fingerprint})"

    @property
    def numbers(self) -> range:
        """Of its shards."""
        return range(self.first, self.first + self.shards)

    def shard(self, dialogue: str) -> int:
        """The number of the shard that a dialogue of this generation belongs to."""
        return self.first + shard_of(dialogue, self.shards)


def shard_folder(folder: Path, number: int) -> Path:
    """Where the log of a shard lies."""
    return folder / f"shard-{number}"


def read_generations(folder: Path) -> list[Generation]:
    """The oldest first; [] of a new folder. Raises SessionError."""
    path = folder / _FILE
    try:
        return msgspec.json.decode(read_whole(path, _BYTES), type=list[Generation])
    except FileNotFoundError:
        if (folder / _OLDER).exists() or any(folder.glob("shard-*")):
            raise SessionError(
                f"{path}: is missing, and there are shards: restore it, or name another --log folder (an earlier "
                "version wrote no such file: its dialogues end there)"
            ) from None
        return []
    except (OSError, BadMessage, msgspec.MsgspecError) as error:
        raise SessionError(f"{path}: cannot be read ({error}): restore it, or name another --log folder") from error


def write_generations(folder: Path, generations: Sequence[Generation]) -> None:
    """From now on there are these. Raises SessionError."""
    try:
        write_whole(folder / _FILE, msgspec.json.encode(generations))
    except OSError as error:
        raise SessionError(
            f"{folder}: cannot write there ({error.strerror}): make room, or name another --log folder"
        ) from error


def remove_others(folder: Path, generations: Sequence[Generation]) -> None:
    """Shards of no generation go, but for utterances that were put aside. What cannot go now goes at the next start."""
    names = {shard_folder(folder, number).name for one in generations for number in one.numbers}
    for shard in folder.glob("shard-*"):
        if shard.name in names:
            continue
        with suppress(OSError):
            if any(file.stat().st_size for file in (shard / "dead-letters").glob("*.log")):
                for path in shard.iterdir():
                    if path.is_file():
                        path.unlink()
            else:
                shutil.rmtree(shard)


def open_dialogues(folder: Path, number: int) -> set[str]:
    """Those of a shard, whose log is taken over for it: who had it adds none any more. Raises SessionError."""
    place = shard_folder(folder, number)
    try:
        with closing(FileLog(place, seize=True)) as log:
            return records.open_dialogues(record.data for record in log.records())
    except msgspec.MsgspecError as error:
        raise SessionError(f"{place}: cannot be read ({error}): restore it, or name another --log folder") from error
