"""Whole sessions in their processes, as a person runs them: demo, record, replay, subscribe, Ctrl-C, and a dead
camera.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest
from short_demo import UTTERANCES, make_short_demo
from tiny_world import options
from typer.testing import CliRunner

from erc_live.live import cli
from erc_live.streams import EmotionEvent, Hello, SessionEnd, subscribe
from erc_live.streams.session import open_session, verify

PATIENCE_S = 240  # catches what hangs

pytestmark = [pytest.mark.xdist_group("sessions"), pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]


@pytest.fixture
def world(tiny_world, tmp_path):
    """The tiny world with an endpoint of its own."""
    return tiny_world | {"events.endpoint": f"ipc://{tmp_path}/e"}


@pytest.fixture(scope="session")
def short_demo(tmp_path_factory):
    return make_short_demo(tmp_path_factory.mktemp("short"))


@pytest.fixture
def start(tmp_path):
    """Start `erc-live ...`; what still runs at the end of the test is killed."""
    started = []

    def call(*arguments):
        environment = dict(os.environ, XDG_STATE_HOME=str(tmp_path / "state"), XDG_CONFIG_HOME=str(tmp_path / "config"))
        process = subprocess.Popen(
            [sys.executable, "-m", "erc_live.live.cli", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def follow(endpoint, messages, seen=None, final=False):
    """Collect the event stream in a thread; `seen` is set at the first event, or the first final one."""

    def collect():
        for message in subscribe(endpoint, timeout_s=PATIENCE_S):
            messages.append(message)
            if seen and isinstance(message, EmotionEvent) and message.final >= final:
                seen.set()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    return thread


def events(text):
    return [json.loads(line) for line in text.splitlines() if '"EmotionEvent"' in line]


def finals(text):
    return [event for event in events(text) if event["final"]]


def assert_same(one, other):
    """Equal but for the machine's own time, and the numbers that provisional events took."""
    keys = ("index", "utterance", "speaker_name", "text", "label", "modalities", "shift", "revision")
    assert [[e[k] for k in keys] for e in one] == [[e[k] for k in keys] for e in other]
    for a, b in zip(one, other, strict=True):
        assert a["probs"] == pytest.approx(b["probs"], abs=1e-4)


def test_live_recorded_and_replayed_give_the_same_events(start, short_demo, world, tmp_path):
    messages = []
    kept = tmp_path / "kept"
    live = start(*short_demo, "--speed", "3", "--record", kept, *options(world))
    follower = follow(world["events.endpoint"], messages)
    out, err = live.communicate(timeout=PATIENCE_S)
    assert live.returncode == 0, err
    told, said = events(out), finals(out)
    assert len(said) == UTTERANCES
    drafts = [e for e in told if not e["final"]]
    assert {e["utterance"] for e in drafts} <= {e["utterance"] for e in said}
    assert all(d["revision"] < f["revision"] for d in drafts for f in said if d["utterance"] == f["utterance"])

    follower.join(PATIENCE_S)
    assert isinstance(messages[0], Hello)
    assert isinstance(messages[-1], SessionEnd)
    assert [m.seq for m in messages if isinstance(m, EmotionEvent)] == [e["seq"] for e in told]

    assert verify(kept) == []
    session = open_session(kept)
    assert [e.seq for e in session.events if isinstance(e, EmotionEvent)] == [e["seq"] for e in told]
    assert [f.utterance for f in session.features] == [e["utterance"] for e in said]
    assert {kind for kind, _ in session.tracks()} == {"audio", "video"}

    again = CliRunner().invoke(cli.app, ["replay", str(kept), "--speed", "max", *options(world)])
    assert again.exit_code == 0, again.output
    assert [e["seq"] for e in events(again.stdout)] == list(range(len(said)))  # nothing is provisional there
    assert_same(said, events(again.stdout))


def test_ctrl_c_ends_in_order_and_loses_nothing(start, world, tmp_path):
    messages, seen = [], threading.Event()
    live = start("demo", "--record", tmp_path / "kept", *options(world))
    follower = follow(world["events.endpoint"], messages, seen)
    assert seen.wait(PATIENCE_S)
    live.send_signal(signal.SIGINT)
    out, err = live.communicate(timeout=PATIENCE_S)
    assert live.returncode == 0, err
    assert "Traceback" not in err
    follower.join(PATIENCE_S)
    end = messages[-1]
    assert isinstance(end, SessionEnd)
    assert end.utterances == len(finals(out))
    assert verify(tmp_path / "kept") == []


@pytest.mark.skipif(shutil.which("pgrep") is None, reason="needs pgrep")
def test_ctrl_c_before_the_session_has_begun_ends_at_once(start, world, tmp_path):
    live = start("demo", "--record", tmp_path / "kept", *options(world))
    while subprocess.run(["pgrep", "-P", str(live.pid)], capture_output=True, check=False).returncode:
        assert live.poll() is None  # until the first worker is there
    live.send_signal(signal.SIGINT)
    _, err = live.communicate(timeout=PATIENCE_S)
    assert live.returncode == 0, err
    assert not (tmp_path / "kept").exists()


def test_no_process_outlives_a_killed_supervisor(start, world):
    seen = threading.Event()
    live = start("demo", *options(world))
    follow(world["events.endpoint"], [], seen)
    assert seen.wait(PATIENCE_S)
    live.kill()
    assert live.stdout is not None
    live.stdout.read()  # returns when the last worker that holds the pipe has ended
    assert live.wait() == -signal.SIGKILL
