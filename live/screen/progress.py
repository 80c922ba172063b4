"""How far something is: bars on standard error, so that results can be piped; in a file or pipe a line now and then.

The rule: whoever shows progress takes one of these, so all bars look alike.
"""

from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from erc_live.live.screen.console import err, print_line

LINE_S = 20.0  # between two lines, where no bar can be drawn; what takes less time is not told


def counting() -> Progress:
    """Things that are counted, and how long the rest will take; it goes away. In a file or pipe, lines."""
    if not err.is_terminal:
        return _Lines(console=err)
    return _progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def described() -> Progress:
    """A bar, and a description that says how far it is; it goes away. In a file or pipe, the description."""
    if not err.is_terminal:
        return _Descriptions(console=err)
    return _progress(BarColumn())


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


class _Lines(Progress):
    """Draws nothing; tells what is being done and how far it is, at most every `LINE_S`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, disable=True)
        self._last_s = self.get_time()

    def update(self, task_id: TaskID, **fields: Any) -> None:
        super().update(task_id, **fields)
        self._notify(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._notify(task_id)

    def _notify(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if self.get_time() - self._last_s < LINE_S or not task.completed:
            return
        self._last_s = self.get_time()
        print_line(self._line(task), self.console)

    def _line(self, task: Task) -> str:
        total = "" if task.total is None else f" of {task.total:,.0f}"
        return f"{task.description}: {task.completed:,.0f}{total}"


class _Descriptions(_Lines):
    """Tells the description alone."""

    def _line(self, task: Task) -> str:
        return task.description


def _progress(*columns: ProgressColumn, transient: bool = True) -> Progress:
    nobody_looks = transient and not err.is_terminal  # else an empty line would stay of it
    label = TextColumn("{task.description}", markup=False)
    return Progress(label, *columns, console=err, transient=transient, disable=nobody_looks)
