"""`erc-live subscribe` and `erc-live schema`: the stream of events of a session, for people and for programs."""

import json
import sys
from typing import Annotated

import typer
from rich.text import Text

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.screen.console import err, out, print_line, wants_jsonl
from erc_live.streams.address import public_endpoint
from erc_live.streams.schema import event_schema
from erc_live.streams.subscribe import subscribe as events


def subscribe(
    endpoint: Annotated[str | None, typer.Argument(help="Where a session publishes (events.endpoint).")] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object per line.")] = False,
    wait: Annotated[float | None, typer.Option(help="Give up after so many seconds without a session.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with the next session after the end.")] = False,
    server_key: Annotated[
        str | None, typer.Option(help="Public key of who publishes on another machine (`erc-live keys list` there).")
    ] = None,
    dialogue: Annotated[str, typer.Option(help="One of the dialogues of `erc-live serve`.", metavar="ID")] = "",
    where: Annotated[bool, typer.Option("--where", help="Print the endpoint, and end.")] = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Follow the emotion events of a running session: first what was missed, then each as it comes."""
    settings = configuration.load(config, sets or []).config.events
    place = public_endpoint(endpoint or settings.endpoint)
    if where:
        print_line(place, out)
        return
    from erc_live.live.screen import sinks  # here: the schema needs neither a screen nor ZeroMQ

    waiting = Text(f"waiting for a session that publishes at {place} (events.endpoint); Ctrl-C ends it")
    messages = events(
        place,
        timeout_s=wait,
        on_wait=lambda: err.print(waiting, soft_wrap=True),
        follow=follow,
        server_key=server_key or ("none" if settings.keyless else None),
        dialogue=dialogue,
    )
    sinks.write(messages, sys.stdout, as_json=wants_jsonl(jsonl))


def schema(
    control: Annotated[bool, typer.Option("--control", help="Of requests to a session, and of the replies.")] = False,
) -> None:
    """Print the JSON Schema of the emotion event stream."""
    if control:
        from erc_live.streams.control_channel import control_schema  # here: the other one needs no ZeroMQ

        out.print(json.dumps(control_schema(), indent=2), soft_wrap=True)
        return
    out.print(json.dumps(event_schema(), indent=2), soft_wrap=True)
