"""The terminal of the dashboard, borrowed: its keys, its signals, and all of it given back on every way out.

The rule of this file: keys leave no trace, on the screen or in the shell afterwards; and who cannot read a terminal
waits for nobody.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from erc_live.live.screen.key_codes import PASTES_MARKED, PASTES_UNMARKED, Key, decode, flush

if sys.platform != "win32":
    import fcntl
    import termios

    INPUT_FLAGS, LOCAL_FLAGS, CONTROL_CHARACTERS = 0, 3, 6  # places in what tcgetattr returns

KEYS_S = 0.03  # how often keys are looked for: who asks for a pause is to have it within 100 ms
ESCAPE_S = 0.1  # after which an escape is the key Esc, and not the beginning of an arrow over a slow line
_READ_BYTES = 4096


class Keyboard:
    """What is typed on the terminal `descriptor`; None where nobody can."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pending = b""
        self._read_s = 0.0

    @property
    def patience_s(self) -> float:
        """How long to wait at most before keys are looked for again."""
        return KEYS_S if self._descriptor is not None else float("inf")

    def keys(self) -> list[Key]:
        """What was typed since the last call."""
        if self._descriptor is None:
            return []
        if not select.select([self._descriptor], [], [], 0)[0]:
            if not self._pending or time.monotonic() - self._read_s < ESCAPE_S:
                return []
            pending, self._pending = self._pending, b""
            return flush(pending)
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except OSError:
            data = b""
        if not data:  # the terminal has gone
            self._descriptor = None
        self._read_s = time.monotonic()
        keys, self._pending = decode(self._pending, data)
        return keys


@contextmanager
def signals() -> Iterator[list[int]]:
    """The signals that have asked for the end, as they come in; one that the process ignores stays ignored."""
    asked: list[int] = []
    kinds = [kind for kind in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(kind) is not signal.SIG_IGN]
    before = [signal.signal(kind, lambda number, frame: asked.append(number)) for kind in kinds]
    try:
        yield asked
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def quiet_keys(console: Console) -> Iterator[int | None]:
    """Keys leave no trace on the screen or, afterwards, in the shell. Yields where they can be read, None if nowhere:
    standard input is the supervisor's.

    Ctrl-C works. Ctrl-Z, which would leave the screen half open, does not, nor does Ctrl-S, which would stop the screen
    while everything else goes on. Where there is no terminal, nothing happens.
    """
    if sys.platform == "win32":
        yield None
        return
    try:
        terminal = console.file.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        yield None
        return
    quiet = termios.tcgetattr(terminal)
    quiet[INPUT_FLAGS] &= ~termios.IXON
    quiet[LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON)
    quiet[CONTROL_CHARACTERS][termios.VSUSP] = bytes([os.fpathconf(terminal, "PC_VDISABLE")])
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
    readable = fcntl.fcntl(terminal, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    try:
        if readable:
            _order(console, PASTES_MARKED)
        yield terminal if readable else None
    finally:
        if readable:
            _order(console, PASTES_UNMARKED)
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _order(console: Console, order: str) -> None:
    console.file.write(order)
    console.file.flush()
