"""`erc-live web`: the page of a session that runs, for a browser on this machine."""

import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Annotated

import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.report.page_state import PageState
from erc_live.live.report.web_server import WebServer
from erc_live.live.screen.console import out, print_line
from erc_live.streams.address import check_endpoint, public_endpoint
from erc_live.streams.errors import StreamLost
from erc_live.streams.messages import PublicEvent, SessionEnd
from erc_live.streams.subscribe import subscribe


def web(
    endpoint: Annotated[str | None, typer.Argument(help="Where a session publishes (events.endpoint).")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0: a free one.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with the next session after the end.")] = False,
    server_key: Annotated[
        str | None, typer.Option(help="Public key of who publishes on another machine (`erc-live keys list` there).")
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Show a running session in a browser, as it goes on: the page of `erc-live report`, live.

    Start it beside a session, and open the address that it prints. The address has a secret in it, and is answered on
    this machine alone. The page stays after the end of the session, until Ctrl-C.
    """
    settings = configuration.load(config, sets or []).config.events
    place = public_endpoint(endpoint or settings.endpoint)
    check_endpoint(place, anywhere=True)  # before an address is printed that nothing would stand behind
    state = PageState(live=True)
    state.say("waiting", f"for a session that publishes at {place}")
    lost: StreamLost | None = None
    with closing(WebServer(state, port)) as server:
        print_line(server.address, out)
        print_line("Open this address in a browser of this machine; Ctrl-C ends it.")
        messages = subscribe(
            place,
            on_wait=lambda: _waits(server, state, place),
            follow=follow,
            server_key=server_key or ("none" if settings.keyless else None),
        )
        with suppress(KeyboardInterrupt):  # the ordinary end, unless the stream was lost before
            lost = _serve(server, messages)
            threading.Event().wait()
    if lost is not None:
        raise lost


def _serve(server: WebServer, messages: Iterator[PublicEvent]) -> StreamLost | None:
    """Pass the messages on to the page, to their end; how that came where it was none of a session."""
    try:
        for message in messages:
            server.feed(message)
            if isinstance(message, SessionEnd):
                print_line(f"session {message.session} ended: {message.reason}; the page stays until Ctrl-C")
    except StreamLost as error:
        server.say("lost", f"{error}")
        print_line(f"{error}; the page stays until Ctrl-C")
        return error
    return None


def _waits(server: WebServer, state: PageState, place: str) -> None:
    """Nobody publishes, or nobody does any more."""
    if not state.session:
        print_line(f"waiting for a session that publishes at {place} (events.endpoint)")
    elif state.phase == "live":
        server.say("lost", "no sign of life: the session or its machine is gone; waiting for the next one")
