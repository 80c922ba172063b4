"""What starts light: nothing is loaded that is not needed at once, each in a process of its own."""

import subprocess
import sys

import pytest

ENGINES = {"torch", "cv2", "onnxruntime", "transformers", "faster_whisper", "ctranslate2", "safetensors", "sounddevice"}
MEDIA = {"av"}
ARRAYS = {"numpy", "zmq"}
_CALL = "import erc_live.live.cli as cli\ntry:\n    cli.main()\nexcept SystemExit:\n    pass\n"
_NOTHING_HERE = """
from pathlib import Path
from erc_live.live.config import Config
from erc_live.live.session import launch
assert launch.demo_words(Config(), Path("said.vtt")) == (Path("said.vtt"), None)
"""
STARTS = {
    "the command line": ("import erc_live.live.cli", [], ENGINES | MEDIA | ARRAYS),
    "help": (_CALL, ["--help"], ENGINES | MEDIA | ARRAYS),
    "a wrong option": (_CALL, ["--nonsense"], ENGINES | MEDIA | ARRAYS),
    "a wrong command": (_CALL, ["nonsense"], ENGINES | MEDIA | ARRAYS),
    "config show": (_CALL, ["config", "show"], ENGINES | MEDIA | ARRAYS),
    "schema": (_CALL, ["schema"], ENGINES | MEDIA),
    "models list": (_CALL, ["models", "list"], ENGINES | MEDIA),
    "subscribe": (_CALL, ["subscribe", "ipc://silence", "--wait", "0.1"], ENGINES | MEDIA),
    "the notice": (_CALL, ["notice"], ENGINES | MEDIA),
    "the page of a recorded session": ("import erc_live.live.report.bundle_report", [], ENGINES | MEDIA | {"zmq"}),
    "the page of a running session": ("import erc_live.live.commands.web", [], ENGINES | MEDIA),
    "status": (_CALL, ["status", "--set", "events.endpoint=ipc://silence"], ENGINES | MEDIA),
    "help of training": (_CALL, ["train", "--help"], ENGINES | MEDIA),
    "help of doctor": (_CALL, ["doctor", "--help"], ENGINES | MEDIA),
    "help of benches": (_CALL, ["bench", "--help"], ENGINES | MEDIA),
    "help of exports": (_CALL, ["export", "--help"], ENGINES | MEDIA),
    "help of corrections": (_CALL, ["corrections", "--help"], ENGINES | MEDIA),
    "help of annotations": (_CALL, ["annotate", "--help"], ENGINES | MEDIA),
    "voices that are kept": (_CALL, ["enrol", "--list"], ENGINES),
    "a subscriber": ("import erc_live.streams.subscribe, erc_live.streams.bus", [], ENGINES | MEDIA),
    "the dashboard": ("import erc_live.live.screen.dashboard, erc_live.live.screen.sinks", [], ENGINES | MEDIA),
    "a capture worker": ("import erc_live.live.session.workers, erc_live.live.capture.source", [], ENGINES),
    "a camera": ("import erc_live.live.capture.camera", [], ENGINES),
    "the supervisor": ("import erc_live.live.session.supervisor, erc_live.live.session.launch", [], ENGINES),
    "the demo where no recogniser is": (_NOTHING_HERE, [], ENGINES),
    "a model card": ("from erc_live.models import card; card.read('default')", [], ENGINES | MEDIA | ARRAYS),
}


@pytest.mark.parametrize("case", STARTS)
def test_what_is_not_needed_is_not_loaded(case, tmp_path, monkeypatch):
    for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    code, arguments, forbidden = STARTS[case]
    look = f"{code}\nimport sys\nprint('LOADED', *sorted({forbidden!r} & sys.modules.keys()))"
    command = [sys.executable, "-c", look, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["LOADED"], done.stdout[-300:] + done.stderr
