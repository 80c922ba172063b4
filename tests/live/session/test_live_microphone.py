"""The whole product on a real microphone path: PortAudio, a recogniser, another program that listens, a recording.

Run with `pytest -m device`; it needs the packages that `virtual_room.PACKAGES` names, and pocketsphinx.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import readme
from tiny_world import options
from virtual_room import VirtualRoom

from erc_live.live import cli
from erc_live.streams.recovery import verify

DEMO = Path(cli.__file__).parent / "demo"
UTTERANCES = 6  # Ada's

pytestmark = [pytest.mark.device, pytest.mark.timeout(300)]


def events(text: str) -> list[dict[str, object]]:
    said = [json.loads(line) for line in text.splitlines() if '"EmotionEvent"' in line]
    return [event for event in said if event["final"]]


def test_speech_in_a_room_becomes_events_in_another_program(
    virtual_room: VirtualRoom, tiny_world: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("pocketsphinx")
    keys = tiny_world | {"events.endpoint": f"ipc://{tmp_path}/e", "transcriber.engine": "pocketsphinx"}
    listen = [sys.executable, "-m", "erc_live.live.cli", "--mic", "default=Ada", "--record", str(tmp_path / "kept")]
    snippet = readme.block("python", "zmq").replace("ipc:///run/user/1000/erc-live/events", keys["events.endpoint"])
    live = subprocess.Popen(
        [*listen, *options(keys)],
        env=virtual_room.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    follower = subprocess.Popen([sys.executable, "-u", "-c", snippet], stdout=subprocess.PIPE, text=True)
    try:
        assert follower.stdout is not None
        assert follower.stdout.readline().startswith("Hello")  # everything is warm
        speaking = virtual_room.play(DEMO / "ada.flac")
        heard = [follower.stdout.readline() for _ in range(UTTERANCES)]
        speaking.wait()
        live.send_signal(signal.SIGINT)
        out, err = live.communicate(timeout=30)
    finally:
        live.kill()
        follower.kill()
        follower.communicate()
    assert live.returncode == 0, err
    assert all(line.startswith("EmotionEvent Ada ") for line in heard), heard
    said = events(out)
    assert len(said) == UTTERANCES
    assert "wonderful" in " ".join(str(event["text"]) for event in said)
    assert verify(tmp_path / "kept") == []

    command = [sys.executable, "-m", "erc_live.live.cli", "replay", str(tmp_path / "kept"), "--speed", "max"]
    again = subprocess.run([*command, *options(keys)], capture_output=True, text=True, check=True)  # recognised anew
    for one, other in zip(said, events(again.stdout), strict=True):
        assert (one["text"], one["label"]) == (other["text"], other["label"])
        assert one["probs"] == pytest.approx(other["probs"], abs=1e-4)
