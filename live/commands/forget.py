"""`erc-live forget`: take one person out of recorded sessions, and delete the print of their voice.

The rule of this file: nothing is changed before somebody has read what will be, and said yes.
"""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.screen.console import out, print_line
from erc_live.live.session import recording_registry
from erc_live.live.speakers import voice_prints
from erc_live.streams import forgetting
from erc_live.streams.errors import SessionError
from erc_live.streams.plural import counted
from erc_live.streams.session import open_session


def forget(
    speaker: Annotated[str, typer.Option(help="Who, as the events name them.", metavar="NAME")],
    bundles: Annotated[
        list[Path] | None,
        typer.Argument(help="Recorded sessions. Default: all that were made here.", metavar="[BUNDLE...]"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")] = False,
) -> None:
    """Take one person out of recorded sessions, and delete the print of their voice."""
    voice_prints.check(speaker)
    paths = bundles or recording_registry.recordings()
    failures: list[SessionError] = []
    known = _forget_voice(speaker, yes)
    for path in paths:
        try:
            known |= _forget_in(path, speaker, yes)
        except SessionError as error:
            failures.append(error)
            print_line(f"{error}")
    if failures:
        raise SessionError(f"{len(failures)} of {len(paths)} recorded sessions were left as they are")
    if not known:
        raise SessionError(
            f"nobody called {speaker!r}: neither in {counted(len(paths), 'recorded session')} nor enrolled"
        )
    if not yes:
        print_line("nothing was changed: --yes does it, and there is no way back")


def _forget_voice(speaker: str, yes: bool) -> bool:
    """Whether there is a print of their voice."""
    names = [entry.name for entry in voice_prints.stored() if forgetting.alike(entry.name, speaker)]
    for name in names:
        if yes:
            voice_prints.forget(name)
        print_line(f"{name}: the print of their voice{_done(yes)}", out)
    return bool(names)


def _forget_in(path: Path, speaker: str, yes: bool) -> bool:
    """Whether they are in the bundle. Raises SessionError."""
    found = forgetting.trace(open_session(path), speaker)
    if found is None:
        return False
    if yes:
        forgetting.forget(path, speaker)
    for line in found.removed:
        print_line(f"{path}: {line}{_done(yes)}", out)
    for line in found.stays:
        print_line(f"{path}: {line}", out)
    return True


def _done(yes: bool) -> str:
    return ": removed" if yes else ": would be removed"
