"""What a stranger may cost the public stream: little memory, none of it for long, and the others next to no time.

The publisher and who floods it are processes of their own, and so is nothing else: what is measured is the real thing.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import zmq
from flooding import FLOODS
from programs import program, publishing

from erc_live.streams.address import BusAddresses
from erc_live.streams.relay import CONNECTIONS_OF_ONE, Allowance

DEADLINE_S = 60.0
MEGABYTES = 16
WORSE_MS = 1.0
SHARE = 0.5  # of a processor, with 400 events a second
WINDOW = 200  # events
WINDOWS = 20  # at most, until one is good: this machine has other things to do

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process in /proc")


@pytest.fixture
def endpoint() -> Iterator[str]:
    with closing(BusAddresses()) as addresses:
        yield addresses.endpoint("events")


def busy_s(process: "subprocess.Popen[str]") -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: "subprocess.Popen[str]") -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def delays_ms(reader: zmq.Socket[bytes]) -> list[float]:
    """How long the next events took from publisher to reader, sorted."""
    took = []
    while len(took) < WINDOW:
        assert reader.poll(DEADLINE_S * 1000)
        event = json.loads(reader.recv_multipart()[1])
        took.append((time.monotonic_ns() - event["t_published_ns"]) / 1e6)
    return sorted(took)


def slow_ms(reader: zmq.Socket[bytes]) -> float:
    """What nine of ten events do not exceed: the rest tells of what else this machine does."""
    return delays_ms(reader)[WINDOW * 9 // 10]


@contextmanager
def reading(endpoint: str, topic: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, closing(context.socket(zmq.SUB)) as socket:
        socket.connect(endpoint)
        socket.subscribe(topic)
        yield socket


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_costs_a_few_megabytes_and_the_others_no_millisecond(flood: str, endpoint: str) -> None:
    with publishing(endpoint=endpoint, rate_hz=400.0) as publisher, reading(endpoint, "event") as reader:
        calm_ms = min(slow_ms(reader) for _ in range(3))
        before_mb = resident_mb(publisher)
        with program("flooding.py", endpoint, flood):
            slow_ms(reader)  # it begins
            begun_s, busy_before_s = time.monotonic(), busy_s(publisher)
            windows = (slow_ms(reader) for _ in range(WINDOWS))
            flooded_ms = next((ms for ms in windows if ms < calm_ms + WORSE_MS), None)
            during_mb = resident_mb(publisher)
            share = (busy_s(publisher) - busy_before_s) / (time.monotonic() - begun_s)
            with reading(endpoint, "snapshot.mine") as newcomer:
                assert newcomer.poll(DEADLINE_S * 1000)
                assert json.loads(newcomer.recv_multipart()[1])["type"] == "Hello"
        for _ in range(2):
            slow_ms(reader)
        after_mb = resident_mb(publisher)
    assert max(during_mb, after_mb) - before_mb < MEGABYTES
    assert flooded_ms is not None
    assert share < SHARE


def test_one_process_has_so_many_connections_and_no_more(endpoint: str) -> None:
    with publishing(endpoint=endpoint), zmq.Context() as context:
        sockets = [context.socket(zmq.SUB) for _ in range(CONNECTIONS_OF_ONE + 4)]
        for number, socket in enumerate(sockets):
            socket.connect(endpoint)
            socket.subscribe(f"snapshot.{number}")
        served: set[int] = set()
        deadline = time.monotonic() + DEADLINE_S
        while len(served) < CONNECTIONS_OF_ONE and time.monotonic() < deadline:
            served |= {number for number, socket in enumerate(sockets) if socket.poll(10)}
        assert len(served) == CONNECTIONS_OF_ONE
        leaver = sockets[served.pop()]
        leaver.close(linger=0)
        while not any(sockets[n].poll(10) for n in range(len(sockets)) if n not in served and sockets[n] is not leaver):
            assert time.monotonic() < deadline  # there is room for another
        for socket in sockets:
            socket.close(linger=0)


def test_an_allowance_fills_up_again() -> None:
    now = 0.0
    allowance = Allowance(10, 2.0, lambda: now)
    assert allowance.take(10)
    assert not allowance.take(1)
    now = 1.0
    assert allowance.take(2)
    assert not allowance.take(1)
    now = 100.0
    assert not allowance.take(11)
    assert allowance.take(10)


@pytest.mark.bench
@pytest.mark.parametrize("flood", FLOODS)
def test_the_delays_of_the_others(flood: str, endpoint: str) -> None:
    with publishing(endpoint=endpoint, rate_hz=100.0) as publisher, reading(endpoint, "event") as reader:
        calm = [delays_ms(reader) for _ in range(5)]
        before_mb = resident_mb(publisher)
        with program("flooding.py", endpoint, flood):
            delays_ms(reader)
            flooded = [delays_ms(reader) for _ in range(5)]
            grown_mb = resident_mb(publisher) - before_mb
    for name, windows in {"calm": calm, flood: flooded}.items():
        p50, p99 = (sorted(window[int(WINDOW * q)] for window in windows)[2] for q in (0.5, 0.99))
        sys.stdout.write(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms\n")
    sys.stdout.write(f"{grown_mb:.1f} MB more\n")
