"""`erc-live control`: ask a running session to pause, resume, stop, mark a moment, name a speaker, correct a label.

This is one client of the control channel (`streams/control_channel.py`), and any program can be another; both need
`control.enabled`. `erc-live pause` and `resume` go another way, by a file of the registry: to stop listening must work
in every session, also in one in which nothing was enabled.
"""

import time
from typing import Annotated

import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import out, print_line
from erc_live.live.session import registry
from erc_live.streams.address import control_endpoint
from erc_live.streams.control_channel import (
    ControlRequest,
    LabelRequest,
    MarkRequest,
    NameRequest,
    PauseRequest,
    ResumeRequest,
    StopRequest,
    request_of,
)

control_app = typer.Typer(
    help="Steer a running session, if it is enabled: pause, mark a moment, name a speaker, correct a label, stop.\n\n"
    "Start it with `--set control.enabled=true`. Other programs can ask the same: `erc-live schema --control`.",
    epilog="Examples: erc-live control mark 'the phone rings' | erc-live control name 2 Ben | "
    "erc-live control label UTTERANCE joy (the id is the field `utterance` of an event)",
    no_args_is_help=True,
)
Session = Annotated[str | None, typer.Argument(help="Which one; the only one without.", metavar="[SESSION]")]
Author = Annotated[str, typer.Option("--author", help="Who says so.")]


@control_app.command()
def pause(session: Session = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Stop listening and looking; `erc-live pause` does so also where nothing is enabled."""
    _ask(PauseRequest(), session, config, sets, "paused")


@control_app.command()
def resume(session: Session = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Listen and look again."""
    _ask(ResumeRequest(), session, config, sets, "resumed")


@control_app.command()
def stop(session: Session = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """End the session in order: what was being said is still classified. A second time: at once."""
    _ask(StopRequest(), session, config, sets, "ending")


@control_app.command()
def mark(
    text: Annotated[str, typer.Argument(help="A note about this moment.")],
    session: Session = None,
    author: Author = "control",
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Mark this moment with a note."""
    _ask(MarkRequest(text=text, author=author), session, config, sets, "marked")


@control_app.command()
def name(
    speaker: Annotated[int, typer.Argument(min=1, help="The speaker's number, from 1, as on the screen.")],
    text: Annotated[str, typer.Argument(help="How they are called.", metavar="NAME")],
    session: Session = None,
    author: Author = "control",
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Say how a speaker is called, from now on and before."""
    _ask(NameRequest(speaker=speaker - 1, text=text, author=author), session, config, sets, "named")


@control_app.command()
def label(
    utterance: Annotated[str, typer.Argument(help="Its id: the field `utterance` of an event.")],
    text: Annotated[str, typer.Argument(help="A label of the weights, or an own word.", metavar="LABEL")],
    session: Session = None,
    author: Author = "control",
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Say what you take the expression of an utterance for; the estimate stays beside it."""
    _ask(LabelRequest(utterance=utterance, label=text, author=author), session, config, sets, "noted")


def _ask(request: ControlRequest, session: str | None, config: ConfigFile, sets: Sets, done: str) -> None:
    reply = request_of(control_place(session, config, sets), request)
    if not reply.ok:
        raise ConfigError(f"control: {reply.error}")
    print_line(f"{reply.session}: {done}", out)


def control_place(session: str | None, config: ConfigFile, sets: Sets) -> str:
    """Where the session takes requests: as the registry says, or, for one that leaves no trace, the configuration.

    Raises ConfigError where no such session runs, or it takes none.
    """
    entry = registry.chosen(session, time.time_ns())
    if entry is not None and not entry.control:
        raise ConfigError(
            f"control: session {entry.session} takes no requests; start it with --set control.enabled=true "
            "(`erc-live pause` and `resume` work without)"
        )
    return entry.control if entry else control_endpoint(configuration.load(config, sets or []).config.control.endpoint)
