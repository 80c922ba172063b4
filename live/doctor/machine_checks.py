"""The machine itself: disk, clock, terminal, and where the event stream would be published.

The rule of this file: standard library and configuration; nothing is left behind on the disk.
"""

import ctypes
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from erc_live.live.doctor.findings import Case, Check, Finding
from erc_live.live.screen.console import out
from erc_live.streams.address import DEFAULT_ENDPOINT, control_endpoint, public_endpoint
from erc_live.streams.control_channel import check_control
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import AddressError
from erc_live.streams.event_stream import check_publishable
from erc_live.streams.messages import SAMPLE_RATE_HZ

_HOUR_BYTES = SAMPLE_RATE_HZ * 2 * 3600  # of one microphone before FLAC makes it smaller: int16
_LOW_HOURS = 2.0
_ADDRESS_CODE = 6
_CLOCK_S = 0.2
_STEP_S = (
    0.005  # by which two clocks may differ after `_CLOCK_S`: 25 times what NTP slews (500 ppm) would make, and noise
)
_TIME_ERROR = 5  # `ntp_adjtime`: the clock is not synchronised
_TIMEX_BYTES = 512  # `struct timex` has 208 on Linux and 136 on macOS; zeros ask, and set nothing
_LEAST_COLUMNS, _LEAST_ROWS = 40, 10  # the smallest terminal that the dashboard is drawn for


def machine_checks() -> Iterator[Check]:
    """In the order in which people read them."""
    yield Check("event stream", "machine", _stream)
    yield Check("control channel", "machine", _control)
    yield Check("metrics port", "machine", _metrics)
    yield Check("recording folder", "machine", _disk)
    yield Check("clock", "machine", _clock)
    yield Check("terminal", "machine", lambda check, case: terminal(check, out))


def _stream(check: Check, case: Case) -> Finding:
    events = case.config.events
    endpoint = public_endpoint(events.endpoint)
    use = partial(check_publishable, endpoint, KeyFolder(), keyless=events.keyless)
    return _place(check, endpoint, use, events.endpoint == DEFAULT_ENDPOINT)


def _control(check: Check, case: Case) -> Finding:
    control = case.config.control
    if not control.enabled:
        return check.finding("skipped", "control.enabled is false: no program may steer a session")
    endpoint = control_endpoint(control.endpoint)
    return _place(check, endpoint, partial(check_control, endpoint), control.endpoint == DEFAULT_ENDPOINT)


def _place(check: Check, endpoint: str, use: Callable[[], None], own: bool) -> Finding:
    """Whether a session may use an endpoint. `own`: nobody chose it, so what uses it now is a session of this user.

    Raises AddressError.
    """
    try:
        use()
    except AddressError as error:
        if not own:
            raise
        return check.finding("warning", f"{error} - a session that runs? `erc-live status` lists them")
    return check.finding("ok", f"{endpoint} is free")


def _metrics(check: Check, case: Case) -> Finding:
    port = case.config.metrics.port
    if not port:
        return check.finding("skipped", "metrics.port is 0: no figures are served")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            why = f"127.0.0.1:{port} cannot be used: {error.strerror}"
            return check.finding("missing", why, "--set metrics.port=ANOTHER", _ADDRESS_CODE)
    return check.finding("ok", f"127.0.0.1:{port} is free")


def _disk(check: Check, case: Case) -> Finding:
    """A recording makes its folder in one that is there: that is the one to look at."""
    folder = next(place for place in (case.record.absolute(), *case.record.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    hours = free / _HOUR_BYTES
    figures = {"free_bytes": float(free), "microphone_hours": hours}
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        if case.config.session.ephemeral:
            return check.finding("skipped", "session.ephemeral: nothing is recorded", figures=figures)
        return _unwritable(check, folder, error, figures)
    room = f"{folder}: {free / 1e9:.1f} GB free, at least {hours:,.0f} h of one microphone"
    if hours < _LOW_HOURS:
        return check.finding("warning", room, "free some space, or give --record another disk", figures=figures)
    return check.finding("ok", room, figures=figures)


def _unwritable(check: Check, folder: Path, error: OSError, figures: dict[str, float]) -> Finding:
    """Only who records writes."""
    why = f"{folder}: nothing can be written there: {error.strerror}"
    return check.finding("warning", why, "sessions can be recorded elsewhere: --record DIR", figures=figures)


def _clock(check: Check, case: Case) -> Finding:
    """Stamps are monotonic; the wall clock ties a session to the world."""
    wall, monotonic = time.time_ns(), time.monotonic_ns()
    time.sleep(_CLOCK_S)
    apart_s = (time.time_ns() - wall - (time.monotonic_ns() - monotonic)) / 1e9
    figures = {"apart_s": apart_s, "resolution_s": time.get_clock_info("monotonic").resolution}
    if abs(apart_s) > _STEP_S:
        why = f"the wall clock moved by {apart_s * 1000:+.0f} ms against the monotonic one in {_CLOCK_S:g} s"
        return check.finding("warning", why, "let NTP set it before a session", figures=figures)
    synchronised = _synchronised()
    if synchronised is None:
        return check.finding("ok", "steady; whether NTP keeps it right is not known here", figures=figures)
    if not synchronised:
        why = "steady, but not synchronised by NTP: wall times of sessions may be wrong, latencies are not"
        return check.finding("warning", why, "sudo timedatectl set-ntp true", figures=figures)
    return check.finding("ok", "steady, synchronised by NTP", figures=figures)


def _synchronised() -> bool | None:
    """What the kernel knows of NTP; None where it cannot be asked."""
    try:
        ask = ctypes.CDLL(None).ntp_adjtime
        state = int(ask(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError, TypeError):  # Windows, or a C library without it
        return None
    return None if state < 0 else state != _TIME_ERROR


def terminal(check: Check, console: Console) -> Finding:
    """Whether the dashboard can be drawn on what standard output is."""
    if not console.is_terminal:
        return check.finding("skipped", "standard output is no terminal: sessions write JSON lines there")
    columns, rows = console.size
    colours = f"colours {console.color_system}" if console.color_system else "no colour"
    detail = f"{columns}x{rows}, {colours}, {console.encoding}"
    figures = {"columns": float(columns), "rows": float(rows)}
    if console.is_dumb_terminal:
        return check.finding("warning", f"{detail}: it cannot be drawn on", "export TERM=xterm", figures=figures)
    if columns < _LEAST_COLUMNS or rows < _LEAST_ROWS:
        least = f"make it at least {_LEAST_COLUMNS}x{_LEAST_ROWS}"
        return check.finding("warning", f"{detail}: too small for the dashboard", least, figures=figures)
    if not console.encoding.lower().startswith("utf"):
        return check.finding("warning", f"{detail}: other scripts become '?'", "export LANG=C.UTF-8", figures=figures)
    return check.finding("ok", detail, figures=figures)
