"""Where the processes of a session meet, and where other programs follow it: which endpoints may be used.

The rule: the workers of a session meet where nobody but this user can be. The public stream goes further only by an
endpoint that somebody wrote down, and beyond this user only with keys (`curve_keys.py`).
"""

import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from erc_live.streams.errors import AddressError
from erc_live.streams.runtime_folder import SOCKET_PATH_BYTES, SessionFolder, runtime_folder

if TYPE_CHECKING:
    from erc_live.streams.curve_keys import KeyPair

DEFAULT_ENDPOINT = "auto"  # events.endpoint of the configuration: a socket of this user
_DEFAULT_TCP = "tcp://127.0.0.1:5577"  # where a system has no other
_DEFAULT_CONTROL_TCP = "tcp://127.0.0.1:5578"
_DEFAULT_FEATURES_TCP = "tcp://127.0.0.1:5579"
_DEFAULT_RECOGNITION_TCP = "tcp://127.0.0.1:5580"
_HAS_IPC = hasattr(socket, "AF_UNIX")
_FORMS = "ipc://PATH or tcp://127.0.0.1:PORT" if _HAS_IPC else "tcp://127.0.0.1:PORT"


class BusAddresses:
    """Gives each worker of a session its endpoint, before it starts.

    Sockets in a folder that only this user may enter, and never anything else where the system has such; else free
    ports of the loopback interface, which others can reach: those are guarded by `pair`, the keys of the session.
    """

    def __init__(self) -> None:
        self._folder = SessionFolder() if _HAS_IPC else None
        self.pair = None if _HAS_IPC else _new_pair()
        self._endpoints: dict[str, str] = {}

    def endpoint(self, worker: str) -> str:
        """The endpoint of `worker`: the same one each time it is asked for."""
        if worker not in self._endpoints:
            # A number, because names of workers come from names of devices: any length, any character.
            number = len(self._endpoints)
            self._endpoints[worker] = (
                f"ipc://{self._folder.path / str(number)}" if self._folder else f"tcp://127.0.0.1:{_free_port()}"
            )
        return self._endpoints[worker]

    def close(self) -> None:
        """Remove the folder, with the sockets of workers that could not clean up."""
        if self._folder:
            self._folder.close()


def public_endpoint(endpoint: str) -> str:
    """The endpoint that `events.endpoint` means: for "auto", the socket of this user. Raises AddressError."""
    if endpoint != DEFAULT_ENDPOINT:
        return endpoint
    return f"ipc://{runtime_folder() / 'events'}" if _HAS_IPC else _DEFAULT_TCP


def control_endpoint(endpoint: str) -> str:
    """The endpoint that `control.endpoint` means: for "auto", a socket of this user. Raises AddressError."""
    if endpoint != DEFAULT_ENDPOINT:
        return endpoint
    return f"ipc://{runtime_folder() / 'control'}" if _HAS_IPC else _DEFAULT_CONTROL_TCP


def own_endpoint(name: str) -> str:
    """An endpoint of that name for the stream of a session that stands beside another one. Raises AddressError."""
    return f"ipc://{runtime_folder() / name}" if _HAS_IPC else "tcp://127.0.0.1:*"


def feature_endpoint(endpoint: str) -> str:
    """The endpoint where a server takes features: for "auto", a socket of this user. Raises AddressError."""
    if endpoint != DEFAULT_ENDPOINT:
        return endpoint
    return f"ipc://{runtime_folder() / 'features'}" if _HAS_IPC else _DEFAULT_FEATURES_TCP


def recognition_endpoint(endpoint: str) -> str:
    """The endpoint where a pool of recognisers takes sound: for "auto", a socket of this user. Raises AddressError."""
    if endpoint != DEFAULT_ENDPOINT:
        return endpoint
    return f"ipc://{runtime_folder() / 'recognisers'}" if _HAS_IPC else _DEFAULT_RECOGNITION_TCP


def check_endpoint(endpoint: str, *, anywhere: bool = False) -> None:
    """Raise AddressError unless `endpoint` is well formed and, but for `anywhere`, stays on this machine."""
    scheme, _, rest = endpoint.partition("://")
    if scheme == "inproc" and rest:
        return
    if scheme == "ipc" and rest and _HAS_IPC:
        if len(os.fsencode(rest)) > SOCKET_PATH_BYTES:
            raise AddressError(f"{endpoint}: the path is longer than {SOCKET_PATH_BYTES} bytes; choose a shorter one")
        return
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not _is_port(port):
        raise AddressError(f"{endpoint!r} is not an address of the event stream; write {_FORMS}")
    if not (anywhere or stays_here(endpoint)):
        raise AddressError(
            f"{endpoint} is reachable from other machines, which needs CURVE with keys: only the public stream can; "
            f"write {_FORMS}"
        )


def stays_here(endpoint: str) -> bool:
    """Whether only programs of this machine can reach a well-formed `endpoint`."""
    scheme, _, rest = endpoint.partition("://")
    return scheme != "tcp" or _is_loopback(rest.rpartition(":")[0].strip("[]"))


def check_unused(endpoint: str) -> None:
    """Raise AddressError if a program listens there. Binding to an `ipc://` path would take it over without a word."""
    path = _socket_path(endpoint)
    if path and path.exists() and not path.is_socket():
        raise AddressError(f"{path} exists and is not a socket; choose another events.endpoint")
    if is_used(endpoint):
        raise AddressError(f"{path or endpoint} is in use by another program; end it or choose another events.endpoint")


def is_used(endpoint: str) -> bool:
    """Whether a program of this machine listens at `endpoint`; False where that cannot be known."""
    host, _, port = endpoint.partition("://")[2].rpartition(":")
    if path := _socket_path(endpoint):
        if not path.is_socket():
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0  # refused: left behind by a process that died
    if endpoint.startswith("tcp://") and port != "*" and _is_port(port) and _is_loopback(host.strip("[]")):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            return probe.connect_ex((host.strip("[]"), int(port))) == 0
    return False


def _socket_path(endpoint: str) -> Path | None:
    return Path(endpoint.removeprefix("ipc://")) if endpoint.startswith("ipc://") else None


def _is_port(text: str) -> bool:
    return text == "*" or (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _new_pair() -> "KeyPair":
    from erc_live.streams.curve_keys import KeyPair  # here: where there are folders for sockets, ZeroMQ is not loaded

    return KeyPair.new()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
