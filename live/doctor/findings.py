"""What `erc-live doctor` says of a machine: findings, and the checks that make them.

The rule of this file: checks stand alone. What one raises is its own finding, with the exit code that a session would
end with for the same reason (`live/errors.py`), and the others go on.
"""

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.errors import exit_code, mendable

SCHEMA = "erc.doctor/1"
UNUSABLE = 5  # exit code of weights and engines that are missing or broken

Awaiting = AbstractContextManager[object]
Status = Literal["ok", "warning", "missing", "skipped"]
Group = Literal["session", "devices", "engines", "machine"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check.

    `missing`: the present configuration needs it, and a session would end with `code`; a `warning` never fails.
    `remedy` is the very command or key, "" where `detail` has it or there is none. `figures` are what was measured, the
    unit in the name.
    """

    check: str
    group: Group
    status: Status
    detail: str
    remedy: str = ""
    code: int = 0
    figures: dict[str, float] = {}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All findings, as `--json` prints them. Within a `schema`, fields may be added. `code`: what doctor ends with."""

    schema: str
    version: str
    python: str
    system: str
    code: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Case:
    """What is examined: a configuration, where its weights lie, and the devices that a session would be given.

    `level_test`: whether the microphone may be listened to. `record`: where sessions would be recorded.
    """

    config: Config
    models_folder: Path
    record: Path
    mic: SourceSpec | None = None
    camera: SourceSpec | None = None
    level_test: bool = True
    speed_test: bool = True


@dataclass(frozen=True)
class Check:
    """`look` gives the finding. `progress` is what people read meanwhile, "" of what takes no time."""

    name: str
    group: Group
    look: Callable[["Check", Case], Finding]
    progress: str = ""

    def finding(
        self,
        status: Status,
        detail: str,
        remedy: str = "",
        code: int = 0,
        figures: dict[str, float] | None = None,
    ) -> Finding:
        """A finding of this check."""
        return Finding(
            check=self.name,
            group=self.group,
            status=status,
            detail=detail,
            remedy=remedy,
            code=code,
            figures=figures or {},
        )


def examine(checks: Iterable[Check], case: Case, awaiting: Callable[[str], Awaiting]) -> Iterator[Finding]:
    """The finding of each check, as it is there. `awaiting` is entered with what a slow one does, for as long as it
    takes.
    """
    for check in checks:
        with awaiting(check.progress) if check.progress else nullcontext():
            finding = _looked(check, case)
        yield finding


def diagnosis(findings: Iterable[Finding]) -> Diagnosis:
    """All findings with the exit code that follows: that of the first thing that is missing."""
    listed = tuple(findings)
    return Diagnosis(
        schema=SCHEMA,
        version=metadata.version("erc-live"),
        python=platform.python_version(),
        system=platform.platform(),
        code=next((finding.code for finding in listed if finding.status == "missing"), 0),
        findings=listed,
    )


def _looked(check: Check, case: Case) -> Finding:
    try:
        return check.look(check, case)
    except Exception as raised:
        error = mendable(raised)
        code = exit_code(error)
        line = " ".join(str(error).split())
        if code is None:  # the check itself: nothing is known, which is no reason to stop
            return check.finding("warning", f"could not be examined: {type(error).__name__}: {line}")
        return check.finding("missing", line, code=code)
