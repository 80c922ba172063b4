"""Where Prometheus finds figures: on the loopback interface, and only if somebody names a port."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from erc_live.streams.errors import AddressError

HOST = "127.0.0.1"


@contextmanager
def served(registry: CollectorRegistry, port: int) -> Iterator[None]:
    """Answer at http://127.0.0.1:PORT/metrics in a thread. Raises AddressError where the port cannot be used."""
    try:
        server, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        raise AddressError(f"metrics.port {port}: cannot be used ({error.strerror}); name another, or 0") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
