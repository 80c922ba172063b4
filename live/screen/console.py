"""The two consoles of a command: results go to standard output, what people should know to standard error.

The rule of this file: a terminal is written to through these, so that whatever is printed, and wherever it comes from,
is text to it, and neither a command nor markup.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from erc_live.live.screen.printable import printable


class PlainConsole(Console):
    """Prints what it is given through the gate of `printable.py`, line by line."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            clean = text if control else "\n".join(map(printable, text.split("\n")))
            yield Segment(clean, style, control)

    def on_broken_pipe(self) -> None:
        """Who reads has gone (`| head`): no more is printed, and what is being done ends as if somebody read on."""
        self.quiet = True
        forget_pipe(self.file)


out = PlainConsole()
err = PlainConsole(stderr=True)


def print_line(line: str, console: Console = err) -> None:
    """One line that does not wrap, whatever is in it; nothing of "" at all."""
    if line:
        console.print(printable(line), soft_wrap=True)


def forget_pipe(stream: IO[str]) -> None:
    """What is left for a reader that has gone is thrown away; else the interpreter would complain of it at its end."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def wants_jsonl(asked: bool) -> bool:
    """Whether to write JSON lines: when asked to, or when a program reads."""
    return asked or not out.is_terminal


def wants_lines() -> bool:
    """Whether people read on a terminal that nothing can be drawn on (TERM=dumb): they get a line per utterance."""
    return out.is_terminal and out.is_dumb_terminal
