"""The end of a server to which any number of programs of this user send, and are answered: a ROUTER socket with limits.

The rules: an `ipc://` place is this user's alone; on TCP, which does not leave this machine, it takes the key of this
user. A sender that floods waits in its own queue; one that takes no answers goes without.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import zmq

from erc_live.streams.address import check_endpoint, check_unused
from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.doorkeeper import Doorkeeper
from erc_live.streams.errors import AddressError
from erc_live.streams.sockets import LINGER_MS, close_socket, open_socket


class RouterLimits(NamedTuple):
    """`frame_bytes`: of one frame; `queue`: messages of one sender that wait here; `answers`: that wait for all who
    sent. `option`: what an endpoint is named by, for errors.
    """

    frame_bytes: int
    queue: int
    answers: int
    option: str


class GuardedRouter:
    """Bound to `endpoint`. Raises AddressError where that cannot be used."""

    def __init__(self, endpoint: str, limits: RouterLimits, keys: KeyFolder | None = None) -> None:
        check_served(endpoint, limits.option)
        self._socket = open_socket(zmq.ROUTER, endpoint)
        self._doorkeeper: Doorkeeper | None = None
        self._waking, self._woken = socket.socketpair()
        self._waking.setblocking(False)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._woken, zmq.POLLIN)
        self._socket.set(zmq.RCVHWM, limits.queue)
        self._socket.set(zmq.SNDHWM, limits.answers)
        self._socket.set(zmq.MAXMSGSIZE, limits.frame_bytes)
        try:
            if endpoint.startswith("tcp:"):
                self._doorkeeper = Doorkeeper(self._socket, keys or KeyFolder(), own_only=True)
            self._socket.bind(endpoint)
            if endpoint.startswith("ipc:"):
                Path(endpoint.removeprefix("ipc://")).chmod(0o600)
        except (zmq.ZMQError, OSError) as error:
            self.close()
            why = f"cannot listen on {endpoint}: {error.strerror}; choose another {limits.option}"
            raise AddressError(why) from error
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)

    def wait(self, timeout_s: float) -> bool:
        """Whether something has come, within `timeout_s`, or until somebody calls `wake`."""
        if self._doorkeeper:
            self._doorkeeper.answer()
        ready = dict(self._poller.poll(max(0, round(timeout_s * 1000))))
        if self._woken.fileno() in ready:
            self._woken.recv(1 << 12)
        return self._socket in ready

    def wake(self) -> None:
        """End a `wait`; of any thread."""
        with contextlib.suppress(OSError):  # it is awake already, or closed
            self._waking.send(b"!")

    def receive(self, most: int) -> Iterator[tuple[bytes, list[bytes]]]:
        """Sender and frames of what has come, at most so many messages; the rest waits where it is."""
        with contextlib.suppress(zmq.Again):
            for _ in range(most):
                sender, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
                yield sender, frames

    def send(self, sender: bytes, *frames: bytes) -> None:
        """To who sent something, if it is still there and takes it."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([sender, *frames], zmq.NOBLOCK)

    def close(self) -> None:
        if self._doorkeeper:
            self._doorkeeper.close()
        close_socket(self._socket, LINGER_MS)
        self._waking.close()
        self._woken.close()


def check_served(endpoint: str, option: str) -> None:
    """Raise AddressError unless a server may listen there. `option`: what its endpoint is named by."""
    try:
        check_endpoint(endpoint)
        check_unused(endpoint)
    except AddressError as error:
        raise AddressError(str(error).replace("events.endpoint", option)) from error
