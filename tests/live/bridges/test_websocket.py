"""WebSocket, against the client of the library and one that a browser's page would be, on a real stream."""

import json
import signal
import subprocess
import sys
import threading
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import examples
import pytest
from talk import TALK
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from erc_live.live.bridges import websocket
from erc_live.streams import codec
from erc_live.streams.address import BusAddresses
from erc_live.streams.errors import AddressError, StreamLost
from erc_live.streams.event_stream import EventPublisher

PATIENCE_S = 120


@pytest.fixture
def serve():
    """Serve streams in a thread until the test ends: gives the address, and the lines for people."""
    lines, servers = [], []

    def start(messages, origins=()):
        begun, address = threading.Event(), []
        own = {"ready": lambda found: (address.append(found), begun.set())}
        listen = websocket.serve
        thread = threading.Thread(target=listen, args=(0, messages, lines.append, origins), kwargs=own, daemon=True)
        thread.start()
        assert begun.wait(PATIENCE_S)
        servers.append(thread)
        return address[0], lines

    return start


def test_each_client_gets_everything_once_in_order(serve):
    address, lines = serve(lambda over: iter(TALK))
    for _ in range(2):
        with connect(address) as client:
            assert [codec.from_json(text.encode()) for text in client] == list(TALK)
    assert not lines


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (None, True),
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("https://mine.example", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example:80", False),
        ("null", False),
    ],
)
def test_pages_of_others_may_not_read_it(serve, origin, may):
    address, _ = serve(lambda over: iter(TALK), origins=["https://mine.example"])
    if may:
        with connect(address, origin=origin) as client:
            assert json.loads(client.recv())["type"] == "Hello"
    else:
        with pytest.raises(InvalidStatus, match="403"):
            connect(address, origin=origin)


@pytest.mark.parametrize("path", ["", "/", "/guess", "//"])
def test_who_does_not_know_the_address_gets_nothing(serve, path):
    address, _ = serve(lambda over: iter(TALK))
    assert len(urlsplit(address).path) > 20
    with pytest.raises(InvalidStatus, match="404"):
        connect(urlunsplit(urlsplit(address)._replace(path=path)))


def test_a_lost_stream_is_told_on_both_sides(serve):
    def vanishing(over):
        yield TALK[0]
        raise StreamLost("ipc://e: no sign of life for 3 s")

    address, lines = serve(vanishing)
    with connect(address) as client:
        client.recv()
        with pytest.raises(ConnectionClosed, match="no sign of life"):
            client.recv()
    assert lines == ["websocket: ipc://e: no sign of life for 3 s"]


def test_who_leaves_ends_its_subscription(serve):
    ended = threading.Event()

    def endless(over):
        yield TALK[0]
        while not over():
            pass
        ended.set()

    address, _ = serve(endless)
    with connect(address) as client:
        client.recv()
    assert ended.wait(PATIENCE_S)


def test_a_port_that_is_taken_is_one_line(serve):
    address, _ = serve(lambda over: iter(TALK))
    port = urlsplit(address).port
    with pytest.raises(AddressError, match=f"port {port} cannot be used"):
        websocket.serve(port, lambda over: iter(TALK), print)


def test_the_command_serves_a_session_that_runs_and_ctrl_c_ends_it():
    with closing(BusAddresses()) as addresses:
        endpoint = addresses.endpoint("events")
        publisher = EventPublisher(endpoint, 200)
        over = threading.Event()

        def publish():
            for message in (examples.hello(), examples.event(0)):
                publisher.publish(message)
            while not over.wait(0.005):
                publisher.poll()

        session = threading.Thread(target=publish)
        session.start()
        command = [sys.executable, "-m", "erc_live.live.cli", "bridge", "websocket", endpoint, "--port", "0"]
        bridge = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        address = bridge.stderr.readline().split()[0]
        with connect(address) as client:
            assert [json.loads(client.recv())["type"] for _ in range(2)] == ["Hello", "EmotionEvent"]
            bridge.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv()
        assert closed.value.rcvd.code == websocket.GOING_AWAY
        assert bridge.wait(PATIENCE_S) == 130
        assert "Traceback" not in bridge.stderr.read()
        bridge.stderr.close()
        over.set()
        session.join()
        publisher.close()
