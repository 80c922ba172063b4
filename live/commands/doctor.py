"""`erc-live doctor`: what this machine can do, what would run on it and why, and how to mend what does not.

The rule of this file: it prints; what is true is found out in `live/doctor/`.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from erc_live.live import config as configuration
from erc_live.live.capture.source_spec import parse_camera, parse_mic
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.doctor.device_checks import device_checks
from erc_live.live.doctor.engine_checks import engine_checks
from erc_live.live.doctor.findings import Case, Diagnosis, Finding, diagnosis, examine
from erc_live.live.doctor.machine_checks import machine_checks
from erc_live.live.doctor.selection import selection_checks
from erc_live.live.screen.console import err, out, print_line
from erc_live.live.session.weight_cache import models_folder

_SIGNS = {
    "ok": ("ok", "green"),
    "warning": ("WARN", "yellow"),
    "missing": ("FAIL", "bold red"),
    "skipped": ("-", "dim"),
}
_TITLES = {
    "session": "What would run with this configuration",
    "devices": "Devices",
    "engines": "Engines and weights",
    "machine": "This machine",
}
_SIGN_CELLS = 5


def doctor(
    mic: Annotated[
        str, typer.Option(help="The microphone of your sessions, as `erc-live` takes it.", metavar="MIC")
    ] = "default",
    camera: Annotated[str | None, typer.Option(help="The camera of your sessions.", metavar="CAMERA")] = None,
    record: Annotated[Path, typer.Option(help="Where you record sessions.", metavar="DIR")] = Path(),
    devices: Annotated[bool, typer.Option("--devices/--no-devices", help="Whether sessions use devices.")] = True,
    level_test: Annotated[
        bool, typer.Option("--level-test/--no-level-test", help="Listen for three seconds; nothing is kept.")
    ] = True,
    speed_test: Annotated[
        bool, typer.Option("--speed-test/--no-speed-test", help="Measure each recogniser on this disk.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Examine this machine: what would run with the present configuration and why, and how to mend what does not.

    Ends with 0 if a session can run, else with the code that the session would end with: 2 its configuration, 3 a
    device, 5 a library or weights, 6 an address. Warnings do not count.
    """
    loaded = configuration.load(config, sets or []).config
    case = Case(
        config=loaded,
        models_folder=models_folder(loaded.models),
        record=record,
        mic=parse_mic(mic, 0) if devices else None,
        camera=parse_camera(camera, 0) if devices and camera else None,
        level_test=level_test,
        speed_test=speed_test,
    )
    checks = chain(selection_checks(), device_checks(case), engine_checks(case), machine_checks())
    findings = examine(checks, case, _awaiting)
    if as_json:
        result = diagnosis(findings)
        print_line(msgspec.json.encode(result).decode(), out)
    else:
        result = diagnosis(_printed(findings))
        print_line(_verdict(result), out)
    raise typer.Exit(result.code)


def _awaiting(text: str) -> AbstractContextManager[object]:
    """Says on standard error what is awaited; gone from a terminal before the finding is printed."""
    if err.is_terminal:
        return err.status(text)
    print_line(text)
    return nullcontext()


def _printed(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The same findings, each printed as it comes, under the title of its group."""
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            out.print(Text(_TITLES[group], style="bold"))
        sign, style = _SIGNS[finding.status]
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(width=_SIGN_CELLS, justify="right")
        row.add_row(Text(sign, style), Text(f"{finding.check}: {finding.detail}"))
        if finding.remedy:
            row.add_row("", Text(f"> {finding.remedy}"))
        out.print(row)
        yield finding


def _verdict(result: Diagnosis) -> str:
    """The last line."""
    missing = [finding.check for finding in result.findings if finding.status == "missing"]
    warnings = sum(finding.status == "warning" for finding in result.findings)
    noted = f"; warnings: {warnings}" if warnings else ""
    if missing:
        return f"A session cannot run like this ({', '.join(missing)}){noted}."
    return f"A session can run{noted}."
