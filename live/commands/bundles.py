"""`erc-live session`: recorded sessions on the disk: verify one, recover one.

The rule of this file: names and texts of a bundle are somebody else's; each line that is printed is one line.
"""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.screen.console import out, print_line
from erc_live.streams.bundle_losses import missing
from erc_live.streams.errors import SessionError
from erc_live.streams.recovery import BEING_RECORDED, recover, verify

session_app = typer.Typer(help="Recorded sessions: verify one, recover one that was cut off.", no_args_is_help=True)

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
        raise SessionError(f"{path}: {len(findings)} findings; `erc-live session recover` saves what is whole")
    print_line(f"{path}: whole{_but(path)}", out)


@session_app.command("recover")
def session_recover(path: Folder) -> None:
    """Make a session whole that was cut off: keep all that is complete, drop the torn end."""
    for line in recover(path):
        print_line(line, out)
    print_line(f"{path}: recovered{_but(path)}; `erc-live session verify` checks it, `erc-live replay` plays it", out)


def _but(path: Path) -> str:
    """What is gone of a session."""
    lines = missing(path)
    return f", but {', '.join(lines)}" if lines else ""
