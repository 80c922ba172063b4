"""Whose a folder is: of the owner with the greatest epoch, an integer that each takes anew.

An owner learns by looking that another has taken its place; nobody has to ask it, or wait for it. So one that hangs, or
is cut off from whoever watches it, is succeeded at once, and finds out before it counts for anything again.
The rule of this file: an epoch is taken when its file is there under its own name and no other is greater; the system
lets one process make a file of a name, so nothing here waits for a lock. All must see the same folder: one machine, or
a file system that shows a new file to all of them at once.
"""

import os
from pathlib import Path

from erc_live.streams.errors import SessionError
from erc_live.streams.journal import open_private, sync_folder

_PREFIX = "epoch-"


class OwnerEpoch:
    """An epoch of the folder, taken when it is made. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.epoch = self._take()
        for number in _epochs(folder):  # a greater one says that these are over
            if number < self.epoch:
                _path(folder, number).unlink(missing_ok=True)

    def check(self) -> None:
        """Raises SessionError once another owner has taken the folder."""
        try:
            newest = max(_epochs(self._folder), default=0)
        except OSError as error:
            raise SessionError(f"{self._folder}: cannot be read ({error.strerror}): restore it") from error
        if newest != self.epoch:
            raise SessionError(
                f"{self._folder}: another process has taken it over (epoch {newest}, this one is of {self.epoch}): "
                "nothing is written to it from here any more"
            )

    def _take(self) -> int:
        while True:
            epoch = max(_epochs(self._folder), default=0) + 1
            try:
                os.close(open_private(_path(self._folder, epoch), os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue  # another one was faster
            sync_folder(self._folder)
            if max(_epochs(self._folder)) == epoch:
                return epoch


def _epochs(folder: Path) -> list[int]:
    with os.scandir(folder) as entries:
        return [int(entry.name.removeprefix(_PREFIX)) for entry in entries if entry.name.startswith(_PREFIX)]


def _path(folder: Path, epoch: int) -> Path:
    return folder / f"{_PREFIX}{epoch:08}"
