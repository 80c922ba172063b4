"""No library reports to its makers: what would do so is off before it is loaded, whoever loads it."""

import os
import subprocess
import sys

import pytest

LOADED = """
import importlib, os, sys
seen = []
class Look:
    def find_spec(self, name, path=None, target=None):
        if name in ("onnxruntime", "huggingface_hub"):
            seen.append((os.environ.get("ORT_DISABLE_TELEMETRY"), os.environ.get("HF_HUB_DISABLE_TELEMETRY")))
sys.meta_path.insert(0, Look())
importlib.import_module(sys.argv[1])
print(*seen)
"""


@pytest.mark.parametrize("module", ["perception.vad", "perception.turn_detection", "vision.yunet", "session.engines"])
def test_it_is_off_before_anything_is_loaded(module: str) -> None:
    unset = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    command = [sys.executable, "-c", LOADED, f"erc_live.live.{module}"]
    out = subprocess.run(command, env=unset, capture_output=True, text=True, check=True).stdout
    assert "('1', '1')" in out
    assert "None" not in out
