"""MQTT, against a broker and a client that we did not write."""

import asyncio
import json
import socket
import threading
from contextlib import contextmanager

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from talk import TALK

from erc_live.live.bridges import mqtt
from erc_live.live.bridges.bridge import carry
from erc_live.live.bridges.mqtt import MqttBridge
from erc_live.streams import codec
from erc_live.streams.errors import AddressError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the broker


@contextmanager
def broker():
    """The port of a broker that runs in a thread."""
    from amqtt.broker import Broker

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    config = {"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": plugins}
    loop, started = asyncio.new_event_loop(), threading.Event()

    async def run():
        nonlocal over
        over = asyncio.Event()
        running = Broker(config)
        await running.start()
        started.set()
        await over.wait()
        await running.shutdown()

    over = None
    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    try:
        assert started.wait(60)
        yield port
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        loop.close()


@contextmanager
def client(port, count):
    """A client that listens to everything; yields what it got and an event, for so many messages."""
    got, ready, complete = [], threading.Event(), threading.Event()
    listener = Client(CallbackAPIVersion.VERSION2)
    listener.on_subscribe = lambda *_: ready.set()

    def take(_, __, message):
        got.append((message.topic, message.payload.decode(), message.retain))
        if len(got) == count:
            complete.set()

    listener.on_message = take
    listener.connect("127.0.0.1", port)
    listener.subscribe("#", 1)
    listener.loop_start()
    assert ready.wait(60)
    yield got, complete
    listener.disconnect()
    listener.loop_stop()


def test_a_session_arrives_as_it_was_and_who_comes_late_knows_the_labels():
    with broker() as port:
        with client(port, len(TALK) + 2) as (got, complete):
            carry(TALK, MqttBridge("127.0.0.1", port, "lab/erc", print))
            assert complete.wait(60)
        said = [(topic, payload) for topic, payload, _ in got if not topic.endswith("/status")]
        assert [codec.from_json(payload.encode()) for _, payload in said] == list(TALK)
        assert {topic for topic, _ in said} >= {"lab/erc/hello", "lab/erc/event", "lab/erc/gap", "lab/erc/session_end"}
        assert [payload for topic, payload, _ in got if topic == "lab/erc/status"] == ["online", "offline"]
        with client(port, 2) as (late, complete):
            assert complete.wait(60)
        assert {topic for topic, _, _ in late} == {"lab/erc/status", "lab/erc/hello"}, "no word of anybody is retained"
        hello = next(json.loads(payload) for topic, payload, _ in late if topic == "lab/erc/hello")
        assert hello["labels"] == list(TALK[0].labels)


def test_no_broker_is_one_line():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(AddressError, match="no broker answers at 127"):
            MqttBridge("127.0.0.1", probe.getsockname()[1], "erc-live", print)


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_a_broker_never_confirms_is_told(monkeypatch, interrupted):
    monkeypatch.setattr(mqtt, "DELIVERY_S", 0.1)
    lines = []

    def let_in():
        with listener.accept()[0] as client:
            client.recv(1000)
            client.sendall(b"\x20\x02\x00\x00")  # CONNACK: accepted; and then no PUBACK, ever
            while client.recv(1000):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=let_in)
        thread.start()
        bridge = MqttBridge("127.0.0.1", listener.getsockname()[1], "erc-live", lines.append).__enter__()
        for message in TALK:
            bridge.send(message)
        if interrupted:
            bridge.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        else:
            with pytest.raises(AddressError, match="11 messages not delivered"):
                bridge.__exit__(None, None, None)
        thread.join(60)
    assert any("11 messages not delivered" in line for line in lines) == interrupted
