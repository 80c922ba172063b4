"""`erc-live session`: recorded sessions on the disk: verify one, recover one."""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.streams.errors import SessionError
from erc_live.streams.recovery import recover, verify

session_app = typer.Typer(help="Recorded sessions: verify one, recover one that was cut off.", no_args_is_help=True)


@session_app.command("verify")
def session_verify(path: Annotated[Path, typer.Argument(help="Folder of the session.")]) -> None:
    """Check every file of a recorded session against its manifest and checksums."""
    findings = verify(path)
    for finding in findings:
        print(finding)
    if findings:
        raise SessionError(f"{path}: {len(findings)} findings; `erc-live session recover` saves what is whole")
    print(f"{path}: whole")


@session_app.command("recover")
def session_recover(path: Annotated[Path, typer.Argument(help="Folder of the session.")]) -> None:
    """Make a session whole that was cut off: keep all that is complete, drop the torn end."""
    recover(path)
    print(f"{path}: recovered; `erc-live session verify` checks it, `erc-live replay` plays it")
