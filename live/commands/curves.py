"""What is shown while a network is trained: bars with the time that is left, the loss, the score on dev as a curve."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import torch
import typer
from rich.progress import Progress

from erc_live.live.screen.console import err, print_line
from erc_live.live.screen.progress import counting
from erc_live.models.training.graph_config import Report
from erc_live.models.training.precision import in_words
from erc_live.models.training.text_vectors import TextsEncoded
from erc_live.models.training.trainer import StepDone

INTERRUPTED = 130  # as shells count it
BARS = "▁▂▃▄▅▆▇█"
LATEST_EPOCHS = 24  # epochs of the curve


def sparkline(values: list[float]) -> str:
    """The last values as bars, the lowest of them the lowest bar."""
    values = values[-LATEST_EPOCHS:]
    low, high = min(values), max(values)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(BARS[round((value - low) / step)] for value in values)


class Curves:
    """A context that is called with what a trainer reports; of at most so many of its epochs in all, of which `parts`
    make one pass over the data.
    """

    def __init__(self, epochs: int, parts: int = 1) -> None:
        self._bar: Progress = counting()
        self._parts = parts
        self._scores: list[float] = []
        self._all = self._bar.add_task("epochs", total=epochs)
        self._epoch = self._bar.add_task("epoch", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, report: Report) -> None:
        """Show how far it is; an epoch leaves a line."""
        if isinstance(report, TextsEncoded):
            self._bar.update(self._epoch, description="encoding texts", completed=report.done, total=report.total)
            return
        where = f"seed {report.seed}  epoch {(report.epoch + 1) / self._parts:g}"
        if isinstance(report, StepDone):
            self._bar.update(self._epoch, description=where, completed=report.done, total=report.total)
            return
        if report.epoch == 0:
            self._scores.clear()
        line = f"{where}  loss {report.loss:.4f}"
        if report.scores:
            self._scores.append(next(iter(report.scores.values())))
            curve = sparkline(self._scores)
            dev = ", ".join(f"{name} {score:.4f}" for name, score in report.scores.items())
            line += f"  dev {dev}  best {report.best:.4f}  {curve}"
            self._bar.update(self._all, description=f"dev {curve}")
        self._bar.update(self._all, advance=1)
        self._bar.console.print(line, highlight=False)


def print_precision() -> None:
    """Say in which numbers an encoder is trained here."""
    device = torch.accelerator.current_accelerator()
    print_line(f"trained {in_words(device.type if device else 'cpu')}")


@contextmanager
def watched(epochs: int, advice: str, parts: int = 1) -> Iterator[Curves]:
    """Curves around a training; Ctrl-C ends the command, with the advice how it goes on."""
    try:
        with Curves(epochs, parts) as curves:
            yield curves
    except KeyboardInterrupt:
        err.print(f"stopped: {advice}", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
