"""The page of a session that runs, for browsers on this machine: the same document, and a stream of what changes.

Three addresses on the loopback interface, each with a secret in it that only who started it is given: other users of
the machine can reach the port, and are refused like a page of somewhere else that was led here (DNS rebinding), which
names another host. Nothing is allowed to pages of other origins. The standard library's server is enough for it: each
browser has a thread, and is sent what changed since it last looked; so a slow one misses nothing and holds up nobody.
The rule of this file: it writes to a browser without holding the lock that the session's messages wait for.
"""

import secrets
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from erc_live.live.report.page_file import content_policy, page_html
from erc_live.live.report.page_state import PageState
from erc_live.streams.errors import AddressError

HOST = "127.0.0.1"
PACE_S = 0.1  # between two updates of one browser, at least
SIGN_S = 10.0  # between two signs of life: a browser that has gone is noticed by it
PATIENCE_S = 20.0  # for a browser that takes nothing; it asks again when it wakes up
MAX_BROWSERS = 50


class WebServer:
    """Serves one `PageState`. Raises AddressError where the port is not free (0: any that is)."""

    def __init__(self, state: PageState, port: int) -> None:
        self._state = state
        self._changed = threading.Condition()
        self._changes = 0
        self._closed = False
        self._browsers = threading.BoundedSemaphore(MAX_BROWSERS)
        self._secret = secrets.token_urlsafe(16)
        try:
            self._server = _LoopbackServer((HOST, port), _handler(self))
        except OSError as error:
            why = f"port {port} of {HOST}: {error.strerror}"
            raise AddressError(f"{why}; name another with --port, or leave it out: then a free one is taken") from error
        self.port = int(self._server.server_address[1])
        self.address = f"http://{HOST}:{self.port}/{self._secret}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def feed(self, message: object) -> None:
        """A message of the session."""
        with self._changed:
            self._state.feed(message)
            self._notify()

    def say(self, phase: str, text: str) -> None:
        """What became of the stream."""
        with self._changed:
            self._state.say(phase, text)
            self._notify()

    def close(self) -> None:
        """Stop serving; browsers say that nobody answers."""
        with self._changed:
            self._closed = True
            self._notify()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def is_own(self, host: str | None) -> bool:
        """Whether a request names this server, and not another host that was made to lead here."""
        return host in (f"{HOST}:{self.port}", f"localhost:{self.port}")

    def name(self, path: str) -> str | None:
        """What a path asks for, without the secret; None for who does not know it."""
        begin = f"/{self._secret}/"
        known = secrets.compare_digest(path[: len(begin)].encode(), begin.encode())
        return path[len(begin) :] if known else None

    def document(self) -> bytes:
        """The page as it is now."""
        with self._changed:
            _, items = self._state.changes(0)
        return page_html(items, follow="updates")

    def updates(self, last_id: str) -> Iterator[bytes]:
        """Server-sent events, from the one after `last_id` on; a comment where nothing changed for long.

        Ends when the server does, or where too many browsers look.
        """
        if not self._browsers.acquire(blocking=False):
            return
        try:
            seen, epoch, version = -1, *_position(last_id)
            while self._wait(seen):
                with self._changed:
                    seen, reset, epoch = self._changes, epoch != self._state.epoch, self._state.epoch
                    version, items = self._state.changes(0 if reset else version)
                data = msgspec.json.encode({"items": items, "reset": reset})
                yield b"id: %d-%d\ndata: %s\n\n" % (epoch, version, data) if items or reset else b":\n\n"
                time.sleep(PACE_S)
        finally:
            self._browsers.release()

    def _wait(self, seen: int) -> bool:
        """Until something changed, or it is time for a sign of life; False where the server ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._changes != seen, SIGN_S)
            return not self._closed

    def _notify(self) -> None:
        self._changes += 1
        self._changed.notify_all()


class _LoopbackServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that has gone is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _position(last_id: str) -> tuple[int, int]:
    """Epoch and version of an event's id; before all others where there is none."""
    epoch, _, version = last_id.partition("-")
    return (int(epoch), int(version)) if epoch.isdecimal() and version.isdecimal() else (-1, 0)


def _handler(server: WebServer) -> type[BaseHTTPRequestHandler]:
    """What answers the requests of one server."""

    class Answer(BaseHTTPRequestHandler):
        timeout = PATIENCE_S
        server_version, sys_version = "erc-live", ""

        def do_GET(self) -> None:
            name = server.name(self.path)
            if not server.is_own(self.headers.get("Host")):
                self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            elif name == "":
                self._begin("text/html; charset=utf-8")
                self.wfile.write(server.document())
            elif name == "updates":
                self._begin("text/event-stream; charset=utf-8")
                for update in server.updates(self.headers.get("Last-Event-ID", "")):
                    self.wfile.write(update)
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nothing: the terminal is not for each request."""

        def _begin(self, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", f"{content_policy(live=True)}; frame-ancestors 'none'")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()

    return Answer
