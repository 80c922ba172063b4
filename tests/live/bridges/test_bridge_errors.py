"""A library that is not there is one line with what brings it."""

import sys

import pytest

from erc_live.live.bridges import lsl, mqtt, osc, websocket
from erc_live.live.commands.bridges import bridge_websocket
from erc_live.live.errors import ConfigError, EngineError, exit_code
from erc_live.streams.errors import AddressError

BRIDGES = {
    "pylsl": lsl.LslBridge,
    "pythonosc.udp_client": lambda: osc.OscBridge("127.0.0.1", 9000, print),
    "paho.mqtt.client": lambda: mqtt.MqttBridge("127.0.0.1", 1883, "erc-live", print),
    "websockets.sync.server": lambda: websocket.serve(0, lambda over: iter(()), print),
}


@pytest.mark.parametrize("module", BRIDGES)
def test_a_library_that_is_missing_is_named_with_what_brings_it(monkeypatch, module):
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == module.partition(".")[0]:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == module.partition(".")[0]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[bridges\]'") as raised:
        BRIDGES[module]()
    assert exit_code(raised.value) == 5
    assert "\n" not in str(raised.value)


def test_a_library_in_c_that_cannot_be_loaded_is_named(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "pylsl":
                raise RuntimeError("LSL binary library file was not found.\nA long explanation follows.")

    monkeypatch.delitem(sys.modules, "pylsl", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(EngineError, match=r"liblsl cannot be loaded \(LSL binary library file was not found\.\)"):
        lsl.LslBridge()


@pytest.mark.parametrize("prefix", ["a/#", "+", "x" * 1001, "a\0b"])
def test_a_prefix_that_no_topic_can_have_is_one_line(prefix):
    with pytest.raises(ConfigError, match="mqtt: --prefix"):
        mqtt.MqttBridge("127.0.0.1", 1, prefix, print)


def test_a_broker_without_a_name_is_one_line():
    with pytest.raises(AddressError, match="no broker answers"):
        mqtt.MqttBridge("", 1, "erc-live", print)


def test_an_address_that_is_none_is_refused_before_anybody_comes():
    with pytest.raises(AddressError, match="not an address of the event stream"):
        bridge_websocket("nonsense", port=0)
