"""OSC, against the server of python-osc, which we did not write."""

import threading

import pytest
from msgspec.structs import replace
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer
from talk import FINALS, NAME, TALK

from erc_live.live.bridges.bridge import carry, leaves_machine
from erc_live.live.bridges.osc import OscBridge
from erc_live.streams.errors import AddressError


def received(messages, count):
    """What a server gets of the messages, of which it is to get so many."""
    got, complete = [], threading.Event()

    def take(address, *values):
        got.append((address, values))
        if len(got) == count:
            complete.set()

    dispatcher = Dispatcher()
    dispatcher.set_default_handler(take)
    with BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        lines = []
        carry(messages, OscBridge("127.0.0.1", server.server_address[1], lines.append))
        assert complete.wait(60) or lines
        server.shutdown()
        thread.join()
    return got, lines


def test_a_session_arrives_as_it_was():
    got, lines = received(TALK, 13)
    assert not lines
    addresses = [address.removeprefix("/erc-live/") for address, _ in got]
    assert addresses == [
        "hello", "notice", "session_state", "event", "probs", "event", "probs", "annotation", "alert", "gap",
        "event", "probs", "session_end",
    ]  # fmt: skip
    events = [values for address, values in got if address == "/erc-live/event"]
    speaker, name, label, p, certain, final, begin_s, end_s, utterance, text = events[1]
    assert (speaker, name, label, certain, final, utterance, text) == (0, NAME, "joy", True, True, "u7", "schön, 好")
    assert (p, begin_s, end_s) == pytest.approx((1.0, 2.0, 2.5))
    assert len(FINALS) == sum(values[5] for values in events)
    labels = got[0][1][1:]
    probs = next(values for address, values in got if address == "/erc-live/probs")
    assert dict(zip(labels, probs[1:], strict=True)) == pytest.approx(FINALS[0].probs)


def test_what_no_datagram_holds_is_told_and_the_rest_goes_on():
    got, lines = received([TALK[0], replace(FINALS[0], text="x" * 70_000), FINALS[1]], 5)
    assert len(lines) == 1
    assert "was not sent" in lines[0]
    assert [address for address, _ in got].count("/erc-live/event") == 1


def test_an_unknown_host_is_an_address_error():
    with pytest.raises(AddressError, match="no such host:9000 cannot be used"):
        OscBridge("no such host", 9000, print)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_what_stays_here_is_not_warned_of(host):
    assert not leaves_machine(host)


@pytest.mark.parametrize("host", ["192.168.1.7", "example.org", "0.0.0.0", "2001:db8::1"])
def test_what_leaves_this_machine_is_told(host):
    assert host in leaves_machine(host)
