"""What is shown while training goes on: a bar for the epoch, the loss, and the score on dev as a curve."""

from types import TracebackType
from typing import Self

from rich.progress import Progress

from erc_live.live.screen.progress import counting
from erc_live.models.training.config import Encoded, Step, Told

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 24  # epochs of the curve


def sparkline(values: list[float]) -> str:
    """The last values as bars, the lowest of them the lowest bar."""
    values = values[-SHOWN:]
    low, high = min(values), max(values)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(BARS[round((value - low) / step)] for value in values)


class Curves:
    """A context that can be told of steps and epochs; of at most so many epochs in all."""

    def __init__(self, epochs: int) -> None:
        self._bar: Progress = counting()
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

    def __call__(self, told: Told) -> None:
        """Show how far it is; an epoch leaves a line."""
        if isinstance(told, Encoded):
            self._bar.update(self._epoch, description="encoding texts", completed=told.done, total=told.total)
            return
        where = f"seed {told.seed}  epoch {told.epoch + 1}"
        if isinstance(told, Step):
            self._bar.update(self._epoch, description=where, completed=told.done, total=told.total)
            return
        if told.epoch == 0:
            self._scores.clear()
        self._scores.append(told.dev_weighted_f1)
        curve = sparkline(self._scores)
        line = f"loss {told.loss:.4f}  dev W-F1 {told.dev_weighted_f1:.4f}  best {told.best:.4f}"
        self._bar.update(self._all, description=f"dev {curve}", advance=1)
        self._bar.console.print(f"{where}  {line}  {curve}", highlight=False)
