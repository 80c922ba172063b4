"""`erc-live config show`: every key, its value, and who set it."""

import json
from typing import Annotated

import msgspec
import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.screen.console import out

config_app = typer.Typer(help="The configuration: which keys there are, and who set them.", no_args_is_help=True)


@config_app.command("show")
def config_show(
    origin: Annotated[bool, typer.Option("--origin", help="Say which layer set each key.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Print every key with its value; `config.toml` of the repository explains them."""
    loaded = configuration.load(config, sets or [])
    tree = msgspec.to_builtins(loaded.config)
    out.print(f"# the user's own file: {configuration.user_file()}", soft_wrap=True)
    alerts = tree.pop(configuration.ALERTS)
    for section, keys in tree.items():
        out.print(f"\n[{section}]")
        for key, value in keys.items():
            line = f"{key} = {json.dumps(value)}"
            whose = f"{line:<44}# {loaded.origin[f'{section}.{key}']}"
            out.print(whose if origin else line, soft_wrap=True)
    for rule in alerts:
        out.print(f"\n[[alerts]]{' ' * 34}# {loaded.origin[configuration.ALERTS]}" if origin else "\n[[alerts]]")
        for key, value in rule.items():
            if value is not None:
                out.print(f"{key} = {json.dumps(value)}", soft_wrap=True)
