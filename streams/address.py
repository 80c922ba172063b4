"""Where the processes of a session meet: which endpoints may be used, and a private place for those of the workers.

The rule: nothing listens outside this machine. The stream tells how people feel, and it is not encrypted.
"""

import ipaddress
import os
import shutil
import socket
import tempfile
from pathlib import Path

from erc_live.streams.errors import AddressError

DEFAULT_ENDPOINT = "tcp://127.0.0.1:5577"  # events.endpoint of the configuration
_IPC_PATH_BYTES = 103  # of `sun_path`, less the final NUL, on macOS; 107 on Linux
_HAS_IPC = hasattr(socket, "AF_UNIX")
_FORMS = "ipc://PATH or tcp://127.0.0.1:PORT" if _HAS_IPC else "tcp://127.0.0.1:PORT"


class BusAddresses:
    """Gives each worker of a session its endpoint, before it starts.

    Sockets in a folder that only this user may enter, where the system has such; else free ports of the loopback
    interface.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="erc-")) if _HAS_IPC else None  # mkdtemp makes it 0700
        self._endpoints: dict[str, str] = {}

    def endpoint(self, worker: str) -> str:
        """The endpoint of `worker`: the same one each time it is asked for."""
        if worker not in self._endpoints:
            # A number, because names of workers come from names of devices: any length, any character.
            path = self._folder / str(len(self._endpoints)) if self._folder else None
            fits = path is not None and len(os.fsencode(path)) <= _IPC_PATH_BYTES
            self._endpoints[worker] = f"ipc://{path}" if fits else f"tcp://127.0.0.1:{_free_port()}"
        return self._endpoints[worker]

    def close(self) -> None:
        """Remove the folder, with the sockets of workers that could not clean up."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def check_endpoint(endpoint: str) -> None:
    """Raise AddressError unless `endpoint` is well formed and stays on this machine."""
    scheme, _, rest = endpoint.partition("://")
    if scheme == "inproc" and rest:
        return
    if scheme == "ipc" and rest and _HAS_IPC:
        if len(os.fsencode(rest)) > _IPC_PATH_BYTES:
            raise AddressError(f"{endpoint}: the path is longer than {_IPC_PATH_BYTES} bytes; choose a shorter one")
        return
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not _is_port(port):
        raise AddressError(f"{endpoint!r} is not an address of the event stream; write {_FORMS}")
    if not _is_loopback(host.strip("[]")):
        raise AddressError(
            f"{endpoint} is reachable from other machines, which needs CURVE encryption, and that is not offered yet; "
            f"write {_FORMS}"
        )


def check_unused(endpoint: str) -> None:
    """Raise AddressError if a program listens there. Binding to an `ipc://` path would take it over without a word."""
    scheme, _, rest = endpoint.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and port.isdigit():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if probe.connect_ex((host.strip("[]"), int(port))) == 0:
                raise AddressError(f"{endpoint} is in use by another program; end it or choose another events.endpoint")
    path = Path(rest)
    if scheme != "ipc" or not path.exists():
        return
    if not path.is_socket():
        raise AddressError(f"{path} exists and is not a socket; choose another events.endpoint")
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:  # refused: left behind by a process that died
            raise AddressError(f"{path} is in use by another program; stop it or choose another events.endpoint")


def _is_port(text: str) -> bool:
    return text == "*" or (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
