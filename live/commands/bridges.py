"""`erc-live bridge`: small programs on the public stream that say it again in the languages of others."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Annotated

import typer

from erc_live.live import config as configuration
from erc_live.live.bridges.bridge import carry, leaves_machine
from erc_live.live.commands.session_options import ConfigFile, Sets
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import print_line
from erc_live.streams.address import check_endpoint, public_endpoint
from erc_live.streams.messages import PublicEvent
from erc_live.streams.subscribe import subscribe

LOOPBACK = "127.0.0.1"
PASSWORD = "ERC_LIVE_MQTT_PASSWORD"

bridge_app = typer.Typer(
    help="Pass the event stream on to other programs: lsl, osc, mqtt, websocket. Each needs erc-live\\[bridges].",
    no_args_is_help=True,
)

Endpoint = Annotated[str | None, typer.Argument(help="Where a session publishes (events.endpoint).")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on with the next session after the end.")]
Wait = Annotated[float | None, typer.Option(help="Give up after so many seconds without a session.")]
ServerKey = Annotated[str | None, typer.Option(help="Public key of who publishes on another machine.")]


@bridge_app.command("lsl")
def bridge_lsl(
    endpoint: Endpoint = None,
    markers: Annotated[
        str | None, typer.Option(help="Name of an LSL stream of markers, which become marks of the session.")
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="Offer the streams to the local network, as LSL does by itself.")
    ] = False,
    follow: Follow = False,
    wait: Wait = None,
    server_key: ServerKey = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Three outlets of the Lab Streaming Layer: probabilities as numbers, labels and markers as strings.

    Their times are when things happened, on the clock of LSL. LabRecorder sees them as `erc-live estimates`,
    `erc-live labels` and `erc-live markers`. With --markers also the other way; for that the session must take requests
    (control.enabled).
    """
    from erc_live.live.bridges.lsl import LslBridge, this_machine_alone
    from erc_live.live.bridges.lsl_markers import MarkerInlet
    from erc_live.live.commands.control import control_place
    from erc_live.streams.control_channel import request_of

    messages = _stream(endpoint, follow, wait, server_key, config, sets)
    with ExitStack() as stack:
        if network:
            print_line(leaves_machine("whoever looks for LSL streams in the local network"))
        else:
            stack.enter_context(this_machine_alone())
        bridge = LslBridge()
        if markers is not None:
            place = control_place(None, config, sets)
            stack.enter_context(MarkerInlet(markers, bridge, lambda request: request_of(place, request), print_line))
        carry(messages, bridge)


@bridge_app.command("osc")
def bridge_osc(
    endpoint: Endpoint = None,
    host: Annotated[str, typer.Option(help="Who receives.")] = LOOPBACK,
    port: Annotated[int, typer.Option(help="Its UDP port.", min=1, max=65535)] = 9000,
    follow: Follow = False,
    wait: Wait = None,
    server_key: ServerKey = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Open Sound Control messages over UDP: /erc-live/event, /erc-live/probs and one address per other message."""
    from erc_live.live.bridges.osc import OscBridge

    messages = _stream(endpoint, follow, wait, server_key, config, sets)
    print_line(leaves_machine(host))
    carry(messages, OscBridge(host, port, print_line))


@bridge_app.command("mqtt")
def bridge_mqtt(
    endpoint: Endpoint = None,
    host: Annotated[str, typer.Option(help="The broker.")] = LOOPBACK,
    port: Annotated[int, typer.Option(help="Its port.", min=1, max=65535)] = 1883,
    prefix: Annotated[str, typer.Option(help="Of the topics.")] = "erc-live",
    user: Annotated[
        str | None, typer.Option(help=f"Name to log in with; the password is read from {PASSWORD}.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt, and check the broker's certificate.")] = False,
    follow: Follow = False,
    wait: Wait = None,
    server_key: ServerKey = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """MQTT messages: JSON at PREFIX/event, PREFIX/gap and so on; PREFIX/status says whether the bridge is online."""
    from erc_live.live.bridges.mqtt import MqttBridge

    messages = _stream(endpoint, follow, wait, server_key, config, sets)
    print_line(leaves_machine(host))
    login = (user, os.environ.get(PASSWORD)) if user else None
    carry(messages, MqttBridge(host, port, prefix, print_line, login, tls))


@bridge_app.command("websocket")
def bridge_websocket(
    endpoint: Endpoint = None,
    port: Annotated[int, typer.Option(help="At 127.0.0.1; 0 takes a free one.", min=0, max=65535)] = 8765,
    origin: Annotated[
        list[str] | None, typer.Option(help="A web page that may connect, as https://name; pages of this machine may.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(help="The last part of the address, which clients must know; a new one without.", metavar="TEXT"),
    ] = None,
    follow: Follow = False,
    wait: Wait = None,
    server_key: ServerKey = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Serve WebSocket clients of this machine: JSON messages, first what was missed, then each as it comes.

    The address that it prints has a secret in it: other users of this machine can reach the port.
    """
    from erc_live.live.bridges.websocket import serve

    settings = configuration.load(config, sets or []).config.events
    check_endpoint(public_endpoint(endpoint or settings.endpoint), anywhere=True)  # now, and not when somebody comes

    def messages(over: Callable[[], bool]) -> Iterator[PublicEvent]:
        return _stream(endpoint, follow, wait, server_key, config, sets, over)

    if secret is not None and not re.fullmatch(r"[\w.~-]+", secret, re.ASCII):
        raise ConfigError(f"--secret {secret}: letters, digits and . _ ~ - alone can be part of an address")

    def ready(address: str) -> None:
        print_line(f"{address}  (Ctrl-C ends it)")

    serve(port, messages, print_line, origin or (), secret, ready)


def _stream(
    endpoint: str | None,
    follow: bool,
    wait: float | None,
    server_key: str | None,
    config: ConfigFile,
    sets: Sets,
    over: Callable[[], bool] = lambda: False,
) -> Iterator[PublicEvent]:
    settings = configuration.load(config, sets or []).config.events
    place = public_endpoint(endpoint or settings.endpoint)

    def waiting() -> None:
        print_line(f"waiting for a session that publishes at {place}; Ctrl-C ends it")

    key = server_key or ("none" if settings.keyless else None)
    return subscribe(place, timeout_s=wait, on_wait=waiting, follow=follow, over=over, server_key=key)
