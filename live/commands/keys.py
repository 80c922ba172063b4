"""`erc-live keys`: who may read the event stream from another machine, and the key of this user.

What is printed is public, and may be sent to anybody; no command prints a secret.
"""

from typing import Annotated

import typer

from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import out
from erc_live.streams.curve_keys import KeyFolder

keys_app = typer.Typer(
    help="Who may read the event stream from another machine: make, allow, revoke, list keys.", no_args_is_help=True
)


@keys_app.command("new")
def keys_new(
    replace: Annotated[bool, typer.Option("--replace", help="Also where there is one: it is forgotten.")] = False,
) -> None:
    """Make the pair of keys of this user, and print the public one, in quotes for a command line."""
    keys = KeyFolder()
    if keys.exists and not replace:
        raise ConfigError(f"{keys.folder}: there is a key already; --replace makes another, and others have to be told")
    out.print(f"'{keys.renew().public}'", soft_wrap=True)


@keys_app.command("allow")
def keys_allow(
    name: Annotated[str, typer.Argument(help="What to call whose key this is.")],
    key: Annotated[str, typer.Argument(help="The public key, as `erc-live keys list` prints it there.")],
) -> None:
    """Let the owner of a key read the streams that this user publishes on TCP, from now on."""
    KeyFolder().allow(name, key)


@keys_app.command("revoke")
def keys_revoke(name: Annotated[str, typer.Argument(help="As `erc-live keys list` has it.")]) -> None:
    """Let somebody read no more: a session that runs cuts the connection within a second or two."""
    KeyFolder().revoke(name)


@keys_app.command("list")
def keys_list() -> None:
    """Print the public key of this user, and those that are allowed."""
    keys = KeyFolder()
    out.print(f"'{keys.own().public}'  this user", soft_wrap=True)
    for name, key in sorted(keys.allowed().items()):
        out.print(f"'{key}'  {name}", soft_wrap=True)
    out.print(f"folder: {keys.folder}", soft_wrap=True)
