"""Processes of real sessions are killed, or raise: people and programs are told, and the exit code is never 0 when
something that was said is lost.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from test_sessions import PATIENCE_S, follow, short_demo, start, world
from tiny_world import options

from erc_live.live.session import launch
from erc_live.streams import SessionEnd
from erc_live.streams.media import encode_flac

__all__ = ["short_demo", "start", "world"]  # fixtures

pytestmark = [
    pytest.mark.xdist_group("sessions"),
    pytest.mark.skipif(sys.platform == "win32" or shutil.which("pgrep") is None, reason="POSIX signals and pgrep"),
]

# Run by each Python of the session before anything else.
RAISING = """
import sys
if "perception" in sys.orig_argv:
    from erc_live.live.perception.conversation import Conversation
    def describe(self, analysis):
        if analysis.request.kind == "final":
            raise ValueError("a bug of ours")
        return []
    Conversation.describe = describe
elif "erc_live.live.cli" in sys.orig_argv:
    from erc_live.live.session import spec
    spec.ENDINGS["perception"] = spec.Ending(then="end source", restarts=1)
"""
IN_A_HURRY = """
import sys
if "erc_live.live.cli" in sys.orig_argv:
    from erc_live.live.session import supervisor
    supervisor.DRAIN_S = 1.0
"""


def kill(session, worker, number=signal.SIGKILL):
    found = subprocess.run(
        ["pgrep", "-P", str(session.pid), "-f", f"workers {worker}$"], capture_output=True, text=True, check=True
    )
    os.kill(int(found.stdout), number)


def told(out, kind):
    return [message for message in map(json.loads, out.splitlines()) if message["type"] == kind]


def begun(start, world, *arguments, command=("demo",), final=False):
    """A session whose first event, or first final one, was seen, and what a subscriber is told."""
    messages, seen = [], threading.Event()
    session = start(*command, *arguments, *options(world))
    follower = follow(world["events.endpoint"], messages, seen, final)
    assert seen.wait(PATIENCE_S)
    return session, messages, follower


def test_perception_and_recorder_that_were_killed_are_told_with_what_was_lost(start, short_demo, world, tmp_path):
    asked = ("--speed", "1.5", "--record", tmp_path / "kept")
    session, _, _ = begun(start, world, *asked, command=short_demo, final=True)
    kill(session, "recorder")
    line = session.stderr.readline()  # at once, and not at the end
    assert "recorder process was killed by SIGKILL" in line
    assert "nothing is recorded from here on" in line
    kill(session, "perception")
    line = session.stderr.readline()
    assert "perception process was killed by SIGKILL; see /" in line
    assert "started again" in line
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 7, err
    assert "the recorder process was killed by SIGKILL" in err.splitlines()[-1]
    gaps = {gap["source"]: gap for gap in told(out, "Gap") if gap["cause"] == "worker"}
    assert gaps.keys() == {"recorder", "perception"}
    assert gaps["perception"]["t_end_ns"] - gaps["perception"]["t_start_ns"] > 100_000_000
    (end,) = told(out, "SessionEnd")
    assert end["deaths"] == 2
    assert end["lost"] == gaps["perception"]["lost"]
    assert end["utterances"] > 0


def test_perception_that_raises_at_every_utterance_ends_in_a_failure_that_names_it(start, world, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(RAISING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    session = start("demo", *options(world))
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 7, err
    died = [
        line
        for line in err.splitlines()
        if "perception process died (exit status 1): ValueError: a bug of ours" in line
    ]
    assert len(died) == 3  # two deaths, and the reason of the end
    assert "started again, time 1 of 1" in died[0]
    assert not told(out, "EmotionEvent")
    (end,) = told(out, "SessionEnd")
    assert "ValueError: a bug of ours" in end["reason"]
    assert (end["utterances"], end["deaths"]) == (0, 2)
    assert end["lost"] >= 2


def test_a_tracker_that_was_killed_leaves_nobody_waiting(start, world):
    session, messages, follower = begun(start, world)
    kill(session, "tracker")
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 7
    assert "tracker process was killed by SIGKILL" in err
    follower.join(PATIENCE_S)
    assert isinstance(messages[-1], SessionEnd)
    assert "tracker" in messages[-1].reason
    assert messages[-1].deaths == 1
    assert told(out, "SessionEnd")


def test_a_screen_that_was_killed_is_no_ordinary_end(start, world):
    session, _, _ = begun(start, world)
    kill(session, "screen")
    _, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 7
    assert "screen process was killed by SIGKILL" in err


def test_a_reader_that_leaves_its_pipe_is_one(start, world):
    session, messages, follower = begun(start, world)
    session.stdout.readline()
    session.stdout.close()
    session.stdout = None  # for `communicate`
    _, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 0, err
    assert err.splitlines() == [launch.UNHEARD]
    follower.join(PATIENCE_S)
    assert isinstance(messages[-1], SessionEnd)


def test_ctrl_c_ends_a_session_whose_perception_hangs_and_tells_what_is_lost(start, world, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(IN_A_HURRY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    session, messages, follower = begun(start, world, "--speed", "0.5")  # the first event is a draft: it is being said
    kill(session, "perception", signal.SIGSTOP)
    session.send_signal(signal.SIGINT)
    out, err = session.communicate(timeout=PATIENCE_S)
    (end,) = told(out, "SessionEnd")
    assert end["reason"] == "stopped"
    assert (end["utterances"], end["lost"]) == (0, 1)
    (gap,) = told(out, "Gap")
    assert (gap["source"], gap["lost"], gap["cause"]) == ("perception", 1, "overload")
    assert gap["t_end_ns"] > gap["t_start_ns"]
    assert "1 of the utterances that were begun" in err
    assert session.returncode == 7  # nothing that was said was classified
    follower.join(PATIENCE_S)
    assert isinstance(messages[-1], SessionEnd)


def test_a_silent_session_in_its_processes_says_why(start, world, tmp_path):
    silent = tmp_path / "silent.flac"
    silent.write_bytes(encode_flac(np.zeros(16_000, np.int16)))
    session = start("replay", silent, "--set", "transcriber.engine=none", *options(world))
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 0, err
    (end,) = told(out, "SessionEnd")
    assert end["note"] == "no utterance: mic-0 delivered 1.0 s of sound that is all zero"
    assert err.splitlines() == [end["note"]]
