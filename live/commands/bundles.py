"""`erc-live session`: recorded sessions on the disk: verify one, recover one, delete those whose time is up.

The rule of this file: names and texts of a bundle are somebody else's; each line that is printed is one line.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.screen.console import out, print_line
from erc_live.live.session import recording_registry
from erc_live.streams.bundle_losses import missing
from erc_live.streams.errors import SessionError
from erc_live.streams.plural import counted
from erc_live.streams.recovery import BEING_RECORDED, recover, verify

session_app = typer.Typer(
    help="Recorded sessions: verify one, recover one that was cut off, delete those whose time is up.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="Folder of the session.")]


@session_app.command("verify")
def session_verify(path: Folder) -> None:
    """Check every file of a recorded session against its manifest and checksums."""
    findings = verify(path)
    if findings == [BEING_RECORDED]:
        raise SessionError(f"{path}: {BEING_RECORDED}: it can be verified when the session has ended")
    for finding in findings:
        print_line(finding, out)
    if findings:
        raise SessionError(
            f"{path}: {counted(len(findings), 'finding')}; `erc-live session recover` saves what is whole"
        )
    print_line(f"{path}: whole{_but(path)}", out)


@session_app.command("recover")
def session_recover(path: Folder) -> None:
    """Make a session whole that was cut off: keep all that is complete, drop the torn end."""
    for line in recover(path):
        print_line(line, out)
    print_line(f"{path}: recovered{_but(path)}; `erc-live session verify` checks it, `erc-live replay` plays it", out)


@session_app.command("prune")
def session_prune(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Delete the recordings that were made here and are older than `recording.keep_days`."""
    keep_days, now_ns = configuration.load(config, sets or []).config.recording.keep_days, time.time_ns()
    if not keep_days:
        print_line("recording.keep_days is 0: recordings stay until you delete them", out)
        return
    if not yes:
        old = recording_registry.expired(keep_days, now_ns)
        for path in old:
            print_line(str(path), out)
        print_line(
            f"{counted(len(old), 'recording')} older than {counted(keep_days, 'day')}; --yes deletes what is listed",
            out,
        )
        return
    for line in recording_registry.prune(keep_days, now_ns):
        print_line(line, out)


def _but(path: Path) -> str:
    """What is gone of a session."""
    lines = missing(path)
    return f", but {', '.join(lines)}" if lines else ""
