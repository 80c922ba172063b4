"""Processes of real sessions are killed, stopped, or raise: who dies is replaced, nothing is lost or said twice, people
and programs are told, and the exit code is never 0 when something that was said is lost.
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
from short_demo import LENGTH_S, UTTERANCES
from test_sessions import PATIENCE_S, follow, short_demo, start, world
from tiny_world import options

from erc_live.live.session import launch
from erc_live.streams import EmotionEvent, Gap, SessionEnd, WorkerLost
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import SAMPLE_RATE_HZ, AudioChunk
from erc_live.streams.recovery import verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import open_session

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
"""
FULL_DISK = """
import sys
if "recorder" in sys.orig_argv:
    from erc_live.streams.record import Recorder
    def write(self, message):
        raise OSError(28, "No space left on device")
    Recorder._write = write
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


def next_line(session):
    """Of standard error; that it takes long to load is the machine's business."""
    while (line := session.stderr.readline()).startswith("Still loading"):
        pass
    return line


def lines(err):
    return [line for line in err.splitlines() if not line.startswith("Still loading")]


def told(out, kind):
    return [message for message in map(json.loads, out.splitlines()) if message["type"] == kind]


def begun(start, world, *arguments, command=("demo",), final=False):
    """A session whose first event, or first final one, was seen, and what a subscriber is told."""
    messages, seen = [], threading.Event()
    session = start(*command, *arguments, *options(world))
    follower = follow(world["events.endpoint"], messages, seen, final)
    assert seen.wait(PATIENCE_S)
    return session, messages, follower


@pytest.fixture
def altered(tmp_path, monkeypatch):
    """Have each Python of the session run this first."""

    def alter(code):
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return alter


def test_whoever_dies_is_replaced_and_nothing_is_lost_or_said_twice(start, short_demo, world, tmp_path):
    kept = tmp_path / "kept"
    session, messages, follower = begun(start, world, "--record", kept, command=short_demo)
    for worker in ("recorder", "tracker", "mic-0", "camera-0", "perception"):
        kill(session, worker)
        line = next_line(session)  # at once, and not at the end
        assert f"the {worker} process was killed by SIGKILL; see /" in line
        assert line.endswith("it is started again\n")
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 0, err
    follower.join(PATIENCE_S)
    assert [message for message in messages if isinstance(message, Gap)] == []
    deaths = [message.worker for message in messages if isinstance(message, WorkerLost)]
    assert deaths == ["recorder", "tracker", "mic-0", "camera-0", "perception"]
    seqs = [message.seq for message in messages if isinstance(message, EmotionEvent)]
    assert seqs == list(range(len(seqs)))
    said = [message for message in messages if isinstance(message, EmotionEvent) and message.final]
    assert [event.index for event in said] == list(range(UTTERANCES))
    assert [event["utterance"] for event in told(out, "EmotionEvent") if event["final"]] == [e.utterance for e in said]
    assert (messages[-1].utterances, messages[-1].lost, messages[-1].deaths) == (UTTERANCES, 0, 5)
    assert verify(kept) == []
    bundle = open_session(kept)
    assert [e.utterance for e in bundle.events if isinstance(e, EmotionEvent) and e.final] == [
        e.utterance for e in said
    ]
    for source in ("mic-0", "mic-1"):
        chunks = [m for m in bundle_messages(kept, 0) if isinstance(m, AudioChunk) and m.source == source]
        assert sum(len(chunk.pcm) for chunk in chunks) == round(LENGTH_S * SAMPLE_RATE_HZ)


@pytest.mark.slow  # in each run of the tests it dies in virtual time (`tests/faults`)
def test_a_screen_that_was_killed_is_started_again_and_lines_go_on(start, short_demo, world):
    session, _, follower = begun(start, world, command=short_demo)
    kill(session, "screen")
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 0, err
    assert "the screen process was killed by SIGKILL" in err
    follower.join(PATIENCE_S)
    finals = [event["index"] for event in told(out, "EmotionEvent") if event["final"]]
    assert finals == list(range(UTTERANCES))
    assert told(out, "SessionEnd")


@pytest.mark.slow  # in virtual time it is in each run, too
def test_a_process_that_is_stuck_is_ended_and_replaced(start, short_demo, world):
    session, messages, follower = begun(start, world, command=short_demo)
    kill(session, "perception", signal.SIGSTOP)
    line = next_line(session)
    assert "no sign of life" in line
    assert "it is started again" in line
    _, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 0, err
    follower.join(PATIENCE_S)
    assert messages[-1].utterances == UTTERANCES


@pytest.mark.slow  # in virtual time it is in each run, too
def test_perception_that_raises_at_every_utterance_ends_in_a_failure_that_names_it(start, world, altered):
    altered(RAISING)
    session = start("demo", "--speed", "5", *options(world))
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 7, err
    died = [line for line in err.splitlines() if "perception process died (exit status 1): ValueError: a bug" in line]
    assert len(died) == 3  # two deaths, and the reason of the end
    assert "it is started again" in died[0]
    assert "the session ends with it" in died[1]
    assert not told(out, "EmotionEvent")
    assert [lost["reason"] for lost in told(out, "WorkerLost")] == [
        "died (exit status 1): ValueError: a bug of ours"
    ] * 2
    (end,) = told(out, "SessionEnd")
    assert "ValueError: a bug of ours" in end["reason"]
    assert (end["utterances"], end["deaths"]) == (0, 2)
    assert end["lost"] >= 1


def test_a_full_disk_is_told_at_once_and_the_session_goes_on_without_its_recording(
    start, short_demo, world, altered, tmp_path
):
    altered(FULL_DISK)
    session = start(*short_demo, "--record", tmp_path / "kept", *options(world))
    said = [next_line(session) for _ in range(2)]
    assert all("recording stopped: No space left on device" in line for line in said)
    assert said[1].endswith("nothing is recorded from here on\n")
    out, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 4, err
    assert [lost["worker"] for lost in told(out, "WorkerLost")] == ["recorder", "recorder"]
    assert len([event for event in told(out, "EmotionEvent") if event["final"]]) == UTTERANCES


def test_a_reader_that_leaves_its_pipe_is_one(start, world):
    session, messages, follower = begun(start, world)
    session.stdout.readline()
    session.stdout.close()
    session.stdout = None  # for `communicate`
    _, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 0, err
    assert lines(err) == [launch.UNHEARD]
    follower.join(PATIENCE_S)
    assert isinstance(messages[-1], SessionEnd)


def test_ctrl_c_ends_a_session_whose_perception_hangs_and_tells_what_is_lost(start, world, altered):
    altered(IN_A_HURRY)
    session, messages, follower = begun(start, world, "--speed", "0.5")  # the first event is a draft: it is being said
    kill(session, "perception", signal.SIGSTOP)
    session.send_signal(signal.SIGINT)
    out, err = session.communicate(timeout=PATIENCE_S)
    (end,) = told(out, "SessionEnd")
    assert end["reason"] == "stopped"
    assert (end["utterances"], end["lost"]) == (0, 1)
    gap = told(out, "Gap")[0]
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
    assert lines(err) == [end["note"]]
