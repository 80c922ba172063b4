"""What every bridge is: something that messages of the public stream are given to, one by one, until they end.

The rule of the files beside this one: each imports its library in the call, for all of them are optional; and what
a bridge cannot pass on, it says.
"""

import ipaddress
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from erc_live.live.errors import EngineError
from erc_live.streams import codec
from erc_live.streams.messages import PublicEvent
from erc_live.streams.topics import BY_MESSAGE

Say = Callable[[str], None]  # one line for people


class Bridge(AbstractContextManager["Bridge"], Protocol):
    """Passes messages on, between entering and leaving."""

    def send(self, message: PublicEvent) -> None:
        """Pass on one message. Raises AddressError where nothing can be passed on any more."""


def carry(messages: Iterable[PublicEvent], bridge: Bridge) -> None:
    """Pass on all messages, in their order."""
    with bridge:
        for message in messages:
            bridge.send(message)


def topic_of(message: PublicEvent) -> str:
    """The topic of the public stream on which a message is published: "event", "gap" and so on."""
    return BY_MESSAGE[type(message)].name


def json_of(message: PublicEvent) -> str:
    """The message as `erc-live schema` describes it."""
    return codec.to_json(message).decode()


def leaves_machine(host: str) -> str:
    """The line for whoever sends what people say to another machine; "" where it stays on this one."""
    try:
        stays = ipaddress.ip_address(host).is_loopback
    except ValueError:
        stays = host == "localhost"
    return (
        "" if stays else f"What people say, and which emotion it is taken for, leaves this machine: it goes to {host}."
    )


def uninstalled(library: str) -> EngineError:
    """The error for a library that is not there."""
    return EngineError(f"this bridge needs {library}: pip install 'erc-live[bridges]'")
