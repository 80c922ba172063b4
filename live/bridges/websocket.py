"""The event stream over WebSocket: one JSON object per text message, as `erc-live schema` describes it.

Each client has a subscription of its own: it gets the greeting and what it missed first, then each message as it comes;
one that reads slowly holds up nobody else. The rule of this file: other users of this machine, who can reach the port,
are strangers, and so is a page that a browser here happens to have open. The address has a secret in it; and only pages
of this machine may connect, and programs, which name no origin.
"""

import re
import secrets
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from erc_live.live.bridges.bridge import Say, json_of, uninstalled
from erc_live.live.errors import LiveError
from erc_live.streams.errors import AddressError, StreamError
from erc_live.streams.messages import PublicEvent

HOST = "127.0.0.1"
CLIENTS = 100  # at once; each costs two threads
GOING_AWAY, TRY_AGAIN_LATER = 1001, 1013  # close codes of RFC 6455 and its registry
_LOCAL_PAGE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")

Stream = Callable[[Callable[[], bool]], Iterable[PublicEvent]]  # a new subscription, which ends when it is over


def serve(
    port: int,
    messages: Stream,
    say: Say,
    origins: Iterable[str] = (),
    secret: str | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Answer clients at ws://127.0.0.1:PORT/SECRET until interrupted. `messages`: a new subscription, for each client.

    `port` 0 takes a free one; without a `secret` one is made; `ready` is called with the address. `origins`: further
    web pages that may connect, as "https://name:port". Raises EngineError without websockets, AddressError where the
    port cannot be used.
    """
    try:
        from websockets.sync.server import serve as listen
    except ModuleNotFoundError as error:
        raise uninstalled("websockets") from error
    clients = _Clients(messages, say)
    path = f"/{secret or secrets.token_urlsafe(16)}"

    def admit(client: Any, request: Any) -> Any:
        """None for who knows the address; else the answer."""
        known = secrets.compare_digest(request.path.encode(), path.encode())
        return None if known else client.respond(HTTPStatus.NOT_FOUND, "not here\n")

    pages = [None, _LOCAL_PAGE, *map(_origin, origins)]
    try:
        server = listen(clients.answer, HOST, port, origins=pages, process_request=admit)
    except OSError as error:
        reason = error.strerror or error
        raise AddressError(f"websocket: port {port} cannot be used ({reason}); name another with --port") from error
    with server:
        ready(f"ws://{HOST}:{server.socket.getsockname()[1]}{path}")
        try:
            server.serve_forever()
        finally:
            clients.close()


def _origin(page: str) -> Any:
    """As the library's types want it; to it, too, it is a str."""
    return page


class _Clients:
    """Those that are connected. Each has a thread that reads, to notice when it leaves, and one that sends."""

    def __init__(self, messages: Stream, say: Say) -> None:
        self._messages, self._say = messages, say
        self._connected: set[Any] = set()
        self._lock = threading.Lock()
        self._closed = False

    def answer(self, client: Any) -> None:
        """Until the client leaves, or the stream ends."""
        with self._lock:
            full = self._closed or len(self._connected) >= CLIENTS
            if not full:
                self._connected.add(client)
        if full:
            client.close(TRY_AGAIN_LATER, f"more than {CLIENTS} clients")
            return
        gone = threading.Event()
        threading.Thread(target=self._send, args=(client, gone), daemon=True).start()
        try:
            for _ in client:  # what it says does not count
                pass
        finally:
            gone.set()
            with self._lock:
                self._connected.discard(client)

    def close(self) -> None:
        """Send all away."""
        with self._lock:
            self._closed = True
            connected = list(self._connected)
        for client in connected:
            client.close(GOING_AWAY)

    def _send(self, client: Any, gone: threading.Event) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            for message in self._messages(gone.is_set):
                client.send(json_of(message))
            client.close()
        except ConnectionClosed:
            pass
        except (StreamError, LiveError) as error:
            self._say(f"websocket: {error}")
            client.close(TRY_AGAIN_LATER, str(error)[:100])  # at most 123 bytes
