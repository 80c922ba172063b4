"""`erc-live export`: a recorded session in the formats of other programs.

The rule of this file: all files of a call are there at the end, or none; what of the session is not in them
stands in a line.
"""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.commands.bundle_options import outside
from erc_live.live.export.formats import FORMATS
from erc_live.live.screen.console import out, print_line
from erc_live.live.screen.progress import remaining

_LIST = "; ".join(f"{name}: {each.what}" for name, each in FORMATS.items())


def export(
    bundle: Annotated[Path, typer.Argument(help="Folder of a recorded session.", metavar="BUNDLE")],
    to: Annotated[list[str], typer.Option("--to", help=f"By commas. {_LIST}.", metavar="FORMAT,...")],
    into: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.", metavar="DIR")],
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a recorded session in the formats of other programs: tables, captions, tiers, logs, sound.

    Estimates stand beside what people annotated; times begin with the session. Example: erc-live export talks/monday
    --to csv,vtt,wav -o monday
    """
    from erc_live.live.export.exported import ExportFolder
    from erc_live.live.export.formats import chosen
    from erc_live.live.export.session_export import export_session
    from erc_live.streams.errors import SessionError

    names = chosen(to)
    outside(bundle, into)
    bar = remaining()
    task = bar.add_task("writing")
    with bar, ExportFolder(into, force) as folder:
        done = export_session(
            bundle, names, folder, lambda total: bar.update(task, total=total), lambda part: bar.advance(task, part)
        )
    for path in folder.written:
        print_line(str(path), out)
    for note in done.notes:
        print_line(f"{bundle}: {note}")
    if done.incomplete:
        raise SessionError(f"{bundle}: exported but for what is missing: {done.incomplete[0]}")
