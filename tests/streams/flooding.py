"""A program for tests: a peer of the public stream that asks for more than its share. Called with an endpoint and the
name of a function below; it goes on until it is killed.
"""

import os
import socket
import sys
import time
from collections.abc import Callable

import zmq

READY = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB"
GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL" + bytes(48)
ANSWER_BYTES = 92  # the greeting of the other side, and its READY


def subscribed(endpoint: str, topics: list[str]) -> None:
    opened = zmq.Context().socket(zmq.SUB)
    opened.set(zmq.SNDHWM, 0)
    opened.connect(endpoint)
    for topic in topics:
        opened.subscribe(topic)
    while True:
        opened.poll(1000)


def many_snapshots(endpoint: str) -> None:
    subscribed(endpoint, [f"snapshot.{number}" for number in range(20_000)])


def long_topics(endpoint: str) -> None:
    subscribed(endpoint, [f"{number:06}" + os.urandom(450).hex() for number in range(13_849)])


def connections_that_do_not_read(endpoint: str) -> None:
    """Each asks for all that it may, again and again, and takes nothing."""
    opened = [zmq.Context().socket(zmq.SUB) for _ in range(100)]
    for number, one in enumerate(opened):
        one.set(zmq.RCVHWM, 1)
        one.connect(endpoint)
        for topic in ("", *(f"snapshot.{number}.{each}" for each in range(80))):
            one.subscribe(topic)
    number = 0
    while True:
        time.sleep(0.1)
        number += 1
        for one in opened:
            one.subscribe(f"snapshot.again.{number}")


def patience(endpoint: str) -> None:
    """As many connections as it gets. Each asks for all that is published, reads nothing, and subscribes on and on, so
    slowly that it might be meant.
    """
    held: list[socket.socket] = []
    while True:
        while len(held) < 8:
            try:
                held.append(connected(endpoint))
            except OSError:  # enough for now
                break
        time.sleep(0.02)
        for one in [*held]:
            try:
                one.sendall(subscription(os.urandom(100).hex().encode()))
            except OSError:
                held.remove(one)


def connected(endpoint: str) -> socket.socket:
    """A connection that speaks the protocol as it should, and has asked for everything. Raises OSError."""
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(1.0)
    one.connect(endpoint.removeprefix("ipc://"))
    one.sendall(GREETING + READY)
    answer = 0
    while answer < ANSWER_BYTES:
        data = one.recv(ANSWER_BYTES - answer)
        if not data:
            raise ConnectionError("refused")
        answer += len(data)
    one.sendall(b"".join(subscription(topic) for topic in (b"", *(b"snapshot.%d" % number for number in range(20)))))
    return one


def subscription(topic: bytes) -> bytes:
    return bytes([0, len(topic) + 1]) + b"\x01" + topic


def connections(endpoint: str) -> None:
    """As many as the kernel gives, each greets and says nonsense."""
    held: list[socket.socket] = []
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(1.0)
        try:
            one.connect(endpoint.removeprefix("ipc://"))
            one.sendall(GREETING + os.urandom(2000))
            held.append(one)
        except OSError:
            one.close()
        if len(held) > 200:
            held.pop(0).close()


def endless_bytes(endpoint: str) -> None:
    while True:
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(endpoint.removeprefix("ipc://"))
                while True:
                    one.sendall(GREETING + os.urandom(1 << 16))
            except OSError:
                continue


FLOODS: dict[str, Callable[[str], None]] = {
    flood.__name__: flood
    for flood in (many_snapshots, long_topics, connections_that_do_not_read, patience, connections, endless_bytes)
}

if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(19)  # what it costs the publisher is measured, not what it costs the machine
    FLOODS[sys.argv[2]](sys.argv[1])
