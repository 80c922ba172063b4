"""How far something is: bars on standard error, so that results can be piped.

The rule: whoever shows progress takes one of these, so all bars look alike.
"""

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from erc_live.live.screen.console import err


def counting() -> Progress:
    """Things that are counted, and how long the rest will take; it goes away."""
    return _progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def remaining() -> Progress:
    """How long the rest will take; it goes away."""
    return _progress(BarColumn(), TimeRemainingColumn())


def elapsed() -> Progress:
    """How long it has taken, where nobody knows how long the rest will; it goes away."""
    return _progress(BarColumn(), TimeElapsedColumn())


def plain() -> Progress:
    """A bar and nothing else, of what a person does; it goes away."""
    return _progress(BarColumn())


def downloading() -> Progress:
    """Bytes and how fast they come; it stays."""
    return _progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), transient=False)


def _progress(*columns: ProgressColumn, transient: bool = True) -> Progress:
    nobody_looks = transient and not err.is_terminal  # else an empty line would stay of it
    label = TextColumn("{task.description}", markup=False)
    return Progress(label, *columns, console=err, transient=transient, disable=nobody_looks)
