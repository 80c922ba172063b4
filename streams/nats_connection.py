"""A connection to a NATS server, for programs that wait for each answer.

The client of NATS is asynchronous, and has to answer the server's pings also while nobody asks for anything: it runs in
a thread of its own. The rule of this file: a connection that is lost is not made again, for nobody knows what of the
last request has been done; whoever has it ends, and begins anew from what the server says.
"""

import asyncio
import re
import threading
from collections.abc import Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from erc_live.streams.address import stays_here
from erc_live.streams.errors import AddressError, SessionError

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

PATIENCE_S = 10.0  # for an answer of the server
_FORMS = "nats://127.0.0.1:4222/STREAM, or tls:// on another machine"

T = TypeVar("T")


class NatsPlace(NamedTuple):
    """`server`: its URL, also with a user and password; `stream`: the name on it."""

    server: str
    stream: str

    @classmethod
    def of(cls, url: str) -> "NatsPlace":
        """Raises AddressError where that is none, or where what is sent could be read on the way."""
        scheme, address, path, *_ = urlsplit(url)
        stream = path.strip("/")
        if scheme not in ("nats", "tls") or not address or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", stream):
            raise AddressError(f"{_public(url)} is not the place of a log: write {_FORMS}")
        if scheme == "nats" and not stays_here(f"tcp://{urlsplit(url).hostname}:0"):
            raise AddressError(f"{_public(url)}: what people say would be sent unencrypted: write {_FORMS}")
        return cls(f"{scheme}://{address}", stream)

    def __str__(self) -> str:
        return f"{_public(self.server)}/{self.stream}"


class NatsConnection:
    """All methods raise SessionError where the server fails them, with `place` in it."""

    def __init__(self, place: NatsPlace) -> None:
        try:
            self._errors = import_module("nats.errors")
        except ModuleNotFoundError as error:
            raise SessionError("a log on NATS needs its client: pip install 'erc-live[nats]'") from error
        self.place = place
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        try:
            self.client: Client = self.call(self._connected())
            self.streams: JetStreamContext = self.client.jetstream(timeout=PATIENCE_S)
        except SessionError:
            self._stop()
            raise

    @property
    def lost(self) -> bool:
        """Whether it is there no more."""
        return self.client.is_closed

    def call(self, request: Coroutine[Any, Any, T]) -> T:
        """Wait for the answer."""
        try:
            return asyncio.run_coroutine_threadsafe(request, self._loop).result()
        except (self._errors.Error, OSError, TimeoutError) as error:
            why = getattr(error, "description", "") or str(error).removeprefix("nats: ") or type(error).__name__
            raise SessionError(
                f"{self.place}: {why}: see to the NATS server, and start again; what was acknowledged is in its stream"
            ) from error

    def answer(self, subject: str) -> None:
        """From now on, as long as the connection lasts, somebody is there by that name."""

        async def answered(message: "Msg") -> None:
            await message.respond(b"")

        self.call(self.client.subscribe(subject, cb=answered))

    def anybody(self, subject: str) -> bool:
        """Whether a connection `answer`s; also one that is frozen, until the server gives it up."""
        return self.call(self._anybody(subject))

    def close(self) -> None:
        """May be called when it is lost, and once."""
        self.call(self.client.close())
        self._stop()

    async def _connected(self) -> "Client":
        import nats

        options = {"allow_reconnect": False, "connect_timeout": PATIENCE_S, "error_cb": _known, "name": "erc-live"}
        # How often, and how far apart, it knocks where nobody is; by default it does so for two minutes.
        knocking = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.5}
        return await nats.connect(self.place.server, **options, **knocking)

    async def _anybody(self, subject: str) -> bool:
        try:
            await self.client.request(subject, timeout=1.0)
        except self._errors.NoRespondersError:
            return False
        except self._errors.TimeoutError:
            return True
        return True

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _known(error: Exception) -> None:
    """Whoever asks next is told, in one line."""


def _public(url: str) -> str:
    """Without the password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
