"""`erc-live devices`: which microphones and cameras there are."""

from typing import Annotated

import msgspec
import typer

from erc_live.live.capture.devices import list_devices, render
from erc_live.live.screen.console import out


def devices(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """List microphones and cameras and what they can do."""
    found = list_devices()
    if as_json:
        out.print(msgspec.json.format(msgspec.json.encode(found)).decode(), soft_wrap=True)
    else:
        out.print(render(found))
