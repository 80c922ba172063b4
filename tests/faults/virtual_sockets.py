"""The sockets of `streams/bus.py` in memory, in virtual time: what is sent arrives a little later, in order.

What a process that was killed had sent may be lost, from some message on. The rule of this file: what ZeroMQ may do,
it may do, too; and nothing else.
"""

import math
import random
from collections import deque
from typing import Any

import zmq
from virtual_processes import Machine, VirtualProcess

from erc_live.streams.sockets import QUEUE

TICK_NS = 4_000_000  # what is sent arrives at the next tick but one
Frames = list[bytes]


class Network:
    """Who is bound and connected to what. `open_socket` and `close_socket` are for the bus."""

    def __init__(self, machine: Machine, chance: random.Random) -> None:
        self.machine = machine
        self.chance = chance
        self.bound: dict[str, VirtualSocket] = {}
        self.readers: list[VirtualSocket] = []

    def open_socket(self, kind: int, *endpoints: str) -> "VirtualSocket":
        return VirtualSocket(self, kind)

    def close_socket(self, used: "VirtualSocket", linger_ms: int) -> None:
        used.close()

    @property
    def arrival_ns(self) -> int:
        """When what is sent now arrives."""
        return (self.machine.now_ns // TICK_NS + 2) * TICK_NS

    def lose(self, process: VirtualProcess) -> None:
        """A process was killed: of what is on its way from it, all from some message on is lost."""
        for socket in [*self.readers, *self.bound.values()]:
            late = [n for n, (t_ns, sender, _) in enumerate(socket.inbox) if sender is process and t_ns > self._now_ns]
            for number in reversed(late[self.chance.randint(0, len(late)) :]):
                del socket.inbox[number]

    @property
    def _now_ns(self) -> int:
        return self.machine.now_ns


class VirtualSocket:
    """XPUB or XSUB, as far as the bus uses them."""

    def __init__(self, network: Network, kind: int) -> None:
        self.inbox: deque[tuple[int, VirtualProcess, Frames]] = deque()
        self.places: list[str] = []
        self.prefixes: list[bytes] = []
        self._network = network
        self._machine = network.machine
        self._owner = self._machine.current
        self._owner.on_death.append(self._die)
        if kind == zmq.XSUB:
            network.readers.append(self)

    def set(self, option: int, value: object) -> None:
        """Options change nothing here."""

    def bind(self, endpoint: str) -> None:
        assert endpoint not in self._network.bound, endpoint
        self._network.bound[endpoint] = self
        self.places.append(endpoint)

    def disconnect(self, endpoint: str) -> None:
        self.places.remove(endpoint)

    def connect(self, endpoint: str) -> None:
        self.places.append(endpoint)

    def send_multipart(self, frames: Frames) -> None:
        """Down, to whoever wants it."""
        self._machine.check()
        for reader in self._network.readers:
            wanted = any(frames[0].startswith(prefix) for prefix in reader.prefixes)
            if wanted and set(reader.places) & set(self.places):
                reader.receive(self._owner, [bytes(frame) for frame in frames])

    def send(self, data: bytes, flags: int = 0) -> None:
        """Up, to all publishers that are there."""
        self._machine.check()
        if data[:1] == b"\x01":
            self.prefixes.append(data[1:])
            return
        for place in self.places:
            if place in self._network.bound:
                self._network.bound[place].receive(self._owner, [data])

    def receive(self, sender: VirtualProcess, frames: Frames) -> None:
        if len(self.inbox) < 8 * QUEUE:  # one queue for each peer, on both sides
            self.inbox.append((self._network.arrival_ns, sender, frames))

    def poll(self, timeout_ms: int) -> bool:
        if timeout_ms and not self._arrived:
            self._machine.wait_for(timeout_ms / 1000, lambda: self.inbox[0][0] if self.inbox else math.inf)
        return self._arrived

    def recv_multipart(self, flags: int) -> Frames:
        if not self._arrived:
            raise zmq.Again
        return self.inbox.popleft()[2]

    def recv(self, flags: int) -> bytes:
        return self.recv_multipart(flags)[0]

    def close(self) -> None:
        for place in self.places:
            if self._network.bound.get(place) is self:
                del self._network.bound[place]
        if self in self._network.readers:
            self._network.readers.remove(self)

    def _die(self) -> None:
        self._network.lose(self._owner)
        self.close()

    @property
    def _arrived(self) -> bool:
        return bool(self.inbox) and self.inbox[0][0] <= self._machine.now_ns

    context: Any = None
