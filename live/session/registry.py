"""The sessions of this user that run now: a small file each, in the runtime folder, which their supervisors keep
current.

So `erc-live status` sees them and `erc-live pause` reaches them, with no server and no signal. The rule of this file: a
stamp decides whether a session lives, never a process id, which another process may have by now; and a session never
fails because its file cannot be written.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import msgspec
import platformdirs

from erc_live.live.errors import ConfigError
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.annotations import Alert
from erc_live.streams.messages import (
    SUPERVISOR,
    AnyMessage,
    Command,
    EmotionEvent,
    SessionState,
    WorkerLost,
    WorkerStatus,
)

ENTRY, COMMAND = ".json", ".command"
WRITE_S = 1.0  # between two writings of an entry, at least
SILENT_S = 10.0  # without one, after which something is wrong
LOOK_S = 0.01  # between two looks whether a command was taken; a session looks as often
FORGET_S = 3600.0  # after which its file is deleted

log = logging.getLogger(__name__)


class SessionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A session that runs, or of which nothing was heard since `updated_ns` (Unix time, as `started_ns`).

    `utterances` classified; `lag_s` of the process that is furthest behind; `deaths` of processes. `workers`: what each
    process does, and what it has loaded. `control`: where programs may ask for something, "" if they may not.
    `alerts`: how many hold.
    """

    session: str
    pid: int
    endpoint: str
    purpose: str
    started_ns: int
    updated_ns: int
    recording: bool
    paused: bool = False
    utterances: int = 0
    lag_s: float = 0.0
    deaths: int = 0
    control: str = ""
    alerts: int = 0
    workers: dict[str, str] = {}

    def silent_s(self, now_ns: int) -> float:
        """For how long nothing was heard of it; 0 where that is as it should be."""
        seconds = (now_ns - self.updated_ns) / 1e9
        return seconds if seconds > SILENT_S else 0.0


class Registration:
    """The entry of one session: `observe` its messages, ask for `command`s, `close` it at the end."""

    def __init__(self, session: SessionSpec, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._lags: dict[str, float] = {}
        self._stem = quote(session.session, safe="")
        self._entry = SessionEntry(
            session=session.session,
            pid=os.getpid(),
            endpoint=session.config.events.endpoint,
            purpose=session.config.session.purpose,
            started_ns=wall_ns(),
            updated_ns=wall_ns(),
            recording=session.record is not None,
            control=session.config.control.endpoint if session.config.control.enabled else "",
        )
        self._alerts: set[tuple[str, int | None]] = set()
        self._folder = _made(folder())
        self._write()

    def observe(self, message: AnyMessage) -> None:
        """Take note of a message; now and then the entry is written."""
        entry, fields = self._entry, dict[str, object]()
        match message:
            case EmotionEvent() if message.final:
                fields = {"utterances": max(entry.utterances, message.index + 1)}
            case WorkerStatus() if message.worker != SUPERVISOR:
                self._lags[message.worker] = message.lag_s
                doing = entry.workers | {message.worker: f"{message.phase} {message.note}".rstrip()}
                fields = {"lag_s": max(self._lags.values()), "workers": doing}
            case Alert():
                change = self._alerts.add if message.on else self._alerts.discard
                change((message.rule, message.speaker))
                fields = {"alerts": len(self._alerts)}
            case SessionState():
                fields = {"recording": message.recording, "paused": message.paused}
            case WorkerLost():
                fields = {"deaths": entry.deaths + 1}
        self._entry = msgspec.structs.replace(entry, **fields)
        due_ns = entry.updated_ns + int(WRITE_S * 1e9)
        if isinstance(message, SessionState) or not entry.updated_ns <= self._wall_ns() < due_ns:
            self._write()

    def command(self) -> Command | None:
        """What somebody asked for since the last call. Costs a look at the folder."""
        if self._folder is None:
            return None
        path = self._folder / (self._stem + COMMAND)
        try:
            asked = path.read_text(encoding="utf-8")
            path.unlink()
        except OSError:
            return None
        return next((command for command in get_args(Command) if command == asked), None)

    def close(self) -> None:
        """The session has ended."""
        if self._folder is not None:
            for ending in (ENTRY, COMMAND):
                with suppress(OSError):
                    (self._folder / (self._stem + ending)).unlink(missing_ok=True)

    def _write(self) -> None:
        self._entry = msgspec.structs.replace(self._entry, updated_ns=self._wall_ns())
        if self._folder is None:
            return
        try:
            _replace(self._folder / (self._stem + ENTRY), msgspec.json.encode(self._entry))
        except OSError as error:
            log.warning("no entry in the registry of sessions: %s", error)
            self._folder = None


def folder() -> Path:
    """Where the entries are."""
    with warnings.catch_warnings(action="ignore"):  # where there is no runtime folder, a temporary one is as good
        return platformdirs.user_runtime_path("erc-live") / "sessions"


def running(now_ns: int) -> list[SessionEntry]:
    """The sessions of this user, the oldest first. Files of what has long been silent are deleted."""
    entries = []
    for path in folder().glob(f"*{ENTRY}"):
        with suppress(OSError, msgspec.MsgspecError):  # it has just ended, or is none of ours
            entry = msgspec.json.decode(path.read_bytes(), type=SessionEntry)
            if entry.silent_s(now_ns) < FORGET_S:
                entries.append(entry)
            else:
                path.unlink()
    return sorted(entries, key=lambda entry: entry.started_ns)


def chosen(session: str | None, now_ns: int) -> SessionEntry | None:
    """The session of that name; without a name the only one that gives signs of life, None where none does.

    Raises ConfigError where there is none of that name, or no name and several.
    """
    entries = running(now_ns)
    if session is not None:
        named = [entry for entry in entries if entry.session == session]
        if not named:
            raise ConfigError(f"no session {session} runs here; `erc-live status` lists those that do")
        return named[0]
    alive = [entry for entry in entries if not entry.silent_s(now_ns)]
    if len(alive) > 1:
        raise ConfigError(f"name one of {', '.join(entry.session for entry in alive)}; `erc-live status` lists them")
    return alive[0] if alive else None


def ask(session: str, command: Command) -> None:
    """Ask a session of this user for something. Raises ConfigError where there is no such session."""
    place = folder() / (quote(session, safe="") + ENTRY)
    if not place.is_file():
        raise ConfigError(f"no session {session} runs here; `erc-live status` lists those that do")
    _replace(place.with_suffix(COMMAND), command.encode())


def is_taken(session: str, timeout_s: float) -> bool:
    """Whether the session takes what it was asked for in that time; what it does not is withdrawn.

    Raises ConfigError where it has ended.
    """
    asked = folder() / (quote(session, safe="") + COMMAND)
    until_s = time.monotonic() + timeout_s
    while asked.exists():
        if time.monotonic() >= until_s:
            asked.unlink(missing_ok=True)
            return False
        time.sleep(LOOK_S)
    if not asked.with_suffix(ENTRY).exists():
        raise ConfigError(f"session {session} has just ended")
    return True


def _made(place: Path) -> Path | None:
    """The folder, made where it is missing; None where it is not this user's alone."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.stat()
    except OSError as error:
        log.warning("no registry of sessions: %s", error)
        return None
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        log.warning("no registry of sessions: others may write to %s", place)
        return None
    return place


def _replace(path: Path, data: bytes) -> None:
    """Write a file at one stroke. Nothing is synced: what counts is gone with the machine."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)
