"""`erc-live status`, `pause` and `resume`: the sessions that run on this machine for this user."""

import json
import time
from typing import Annotated

import msgspec
import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.screen.console import out, print_line
from erc_live.live.screen.sheet import clock_text
from erc_live.live.session import registry
from erc_live.live.session.registry import SessionEntry
from erc_live.streams.address import check_endpoint, is_used, public_endpoint
from erc_live.streams.errors import AddressError
from erc_live.streams.messages import Command, Hello
from erc_live.streams.subscribe import subscribe

ANSWER_S = 10.0  # in which a session that listens answers, however busy the machine is
TAKEN_S = 3.0  # in which a session does what it is asked for; it looks fifty times a second

Session = Annotated[str | None, typer.Argument(help="Which one; the only one without.", metavar="[SESSION]")]


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per session.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """List the sessions that run on this machine for you, and how they do."""
    now_ns = time.time_ns()
    entries = registry.running(now_ns)
    endpoint = public_endpoint(configuration.load(config, sets or []).config.events.endpoint)
    check_endpoint(endpoint, anywhere=True)
    stranger = None if any(entry.endpoint == endpoint for entry in entries) else _greeting(endpoint)
    if as_json:
        for entry in entries:
            age = {"age_s": (now_ns - entry.started_ns) / 1e9, "silent_s": entry.silent_s(now_ns)}
            print_line(json.dumps(msgspec.to_builtins(entry) | age), out)
        if stranger:
            print_line(
                json.dumps({"session": stranger.session, "endpoint": endpoint, "purpose": stranger.purpose}), out
            )
        return
    for entry in entries:
        print_line(_line(entry, now_ns), out)
        for worker, doing in sorted(entry.workers.items()):
            print_line(f"  {worker:<12}  {doing}", out)
    if stranger:
        print_line(
            f"{stranger.session}  {stranger.purpose}  {endpoint}  (leaves no trace here: ephemeral, or another user's)",
            out,
        )
    if not (entries or stranger):
        print_line("no session runs", out)


def pause(session: Session = None) -> None:
    """Stop listening and looking at once, until `erc-live resume`; the session goes on."""
    _ask(session, "pause", "paused")


def resume(session: Session = None) -> None:
    """Listen and look again."""
    _ask(session, "resume", "resumed")


def _ask(session: str | None, command: Command, done: str) -> None:
    """Ask, and wait until it is done: who believes that nobody listens must be right. Raises AddressError where the
    session does not answer.
    """
    entry = registry.chosen(session, time.time_ns())
    if entry is None:
        raise AddressError(f"{command}: no session runs here")
    registry.ask(entry.session, command)
    if not registry.is_taken(entry.session, TAKEN_S):
        raise AddressError(
            f"{command}: session {entry.session} does not answer within {TAKEN_S:g} s, so it is NOT {done}; "
            f"is its process {entry.pid} still there?"
        )
    print_line(f"{entry.session}: {done}", out)


def _greeting(endpoint: str) -> Hello | None:
    """How a session introduces itself that is not in the registry, None where nobody listens or answers."""
    if not is_used(endpoint):
        return None
    try:
        return next(
            (message for message in subscribe(endpoint, timeout_s=ANSWER_S) if isinstance(message, Hello)), None
        )
    except AddressError as error:
        print_line(f"a program listens at {endpoint}, and does not say what it is: {error}")
        return None


def _line(entry: SessionEntry, now_ns: int) -> str:
    parts = [
        entry.session,
        clock_text(now_ns - entry.started_ns),
        f"utterances {entry.utterances}",
        f"lag {entry.lag_s:.1f} s",
        "PAUSED" if entry.paused else "",
        "RECORDING" if entry.recording else "",
        f"deaths {entry.deaths}" if entry.deaths else "",
        f"alerts {entry.alerts}" if entry.alerts else "",
        entry.purpose,
        entry.endpoint,
        f"control {entry.control}" if entry.control else "",
        f"process {entry.pid}",
    ]
    silent_s = entry.silent_s(now_ns)
    parts.append(f"NO SIGN OF LIFE for {clock_text(int(silent_s * 1e9))}" if silent_s else "")
    return "  ".join(part for part in parts if part)
