"""A session whose features go to a server, as processes: what is decided there is what would be decided here, and is
what the session shows.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from short_demo import UTTERANCES, make_short_demo
from tiny_world import options

from erc_live.live.serving import dialogue_records as records
from erc_live.streams.segmented_log import FileLog

PATIENCE_S = 240

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.skipif(sys.platform == "win32", reason="POSIX")]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return make_short_demo(tmp_path_factory.mktemp("short"))


@pytest.fixture
def folder():
    """The path of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="erc-") as place:
        yield Path(place)


@pytest.fixture
def start(folder, tiny_world):
    """Start `erc-live ...` with an event stream of its own, its lines in the file NAME.jsonl; what still runs at the
    end is killed.
    """
    started = []

    def call(name, *arguments):
        keys = tiny_world | {"events.endpoint": f"ipc://{folder}/{name}"}
        environment = dict(os.environ, XDG_STATE_HOME=str(folder / "state"), XDG_CONFIG_HOME=str(folder / "config"))
        command = [sys.executable, "-m", "erc_live.live.cli", *map(str, arguments), *options(keys)]
        with (folder / f"{name}.jsonl").open("w") as out:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.PIPE}
            process = subprocess.Popen(command, text=True, env=environment, **pipes)
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def read_until(process, text):
    """The lines of its standard error up to one with that text."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(lines)


def logged(folder):
    """The final events that a server has written down, and so published."""
    with closing(FileLog(folder)) as log:
        batches = [b for _, data in log.records() if isinstance(b := records.decode(data), records.BatchRecord)]
    events = [json.loads(bytes(event)) for batch in batches for event in batch.events]
    return [event for event in events if event["final"]]


def shown(folder, name):
    """What a session wrote of utterances, and of its end."""
    lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return [line for line in lines if line["type"] == "EmotionEvent"], lines[-1]


def without(keys, event):
    return {key: value for key, value in event.items() if key not in keys}


@pytest.mark.timeout(900)
def test_the_events_of_the_server_are_those_of_a_replay(start, folder, played):
    place = f"ipc://{folder}/f"
    command = ["serve", "--features", place, "--log", folder / "log", "--dialogues", "4"]
    alone = start("alone", *played, "--speed", "max", "--jsonl")
    server = start("server", *command)
    read_until(server, "room for")
    standby = start("server", *command, "--standby")
    read_until(standby, "standing by")
    server.send_signal(signal.SIGSTOP)  # it hangs, and nobody answers
    fed = start("fed", *played, "--speed", "1000", "--jsonl", "--feed", f"desk-4@{place}")
    lines = read_until(fed, "no answer from the server")
    server.kill()
    lines += fed.stderr.readlines()
    assert fed.wait(PATIENCE_S) == 0, lines
    text = " ".join("".join(lines).split())
    assert f"the server at {place} answers again" in text
    assert f"{UTTERANCES} utterances are stored at {place} as desk-4" in text
    standby.terminate()
    assert standby.wait(PATIENCE_S) == 0
    told = logged(folder / "log")
    _, err = alone.communicate(timeout=PATIENCE_S)
    decided_alone, _ = shown(folder, "alone")
    events, end = shown(folder, "fed")
    finals = [event for event in events if event["final"]]
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert (end["type"], end["utterances"]) == ("SessionEnd", UTTERANCES)

    assert len(told) == len(decided_alone) == UTTERANCES, err
    stream = {"seq", "session", "dialogue", "t_logits_ns", "t_published_ns"}
    assert [without(stream, event) for event in finals] == [without(stream, event) for event in told]
    own = {"seq", "session", "dialogue", "words", "probs", "entropy", "valence", "arousal"}
    for here, there in zip(decided_alone, told, strict=True):
        same = {key for key in here if not key.startswith("t_") and key not in own}
        assert {key: there[key] for key in same} == {key: here[key] for key in same}
        assert [word["text"] for word in there["words"]] == [word["text"] for word in here["words"]]
        assert there["t_end_ns"] - there["t_start_ns"] == here["t_end_ns"] - here["t_start_ns"]
        assert there["probs"] == pytest.approx(here["probs"], abs=1e-4)


@pytest.mark.slow  # it waits 20 s of real time; `test_dialogue_feed.py` does not
def test_without_a_server_what_is_lost_is_told_and_the_exit_code_says_so(start, folder, played):
    fed = start("fed", *played, "--speed", "10", "--feed", f"desk-4@ipc://{folder}/nobody")
    _, err = fed.communicate(timeout=PATIENCE_S)
    assert fed.returncode == 7, err
    text = " ".join(err.split())
    assert f"did not take all that was said: {UTTERANCES} utterances were lost" in text
    assert f"0 utterances are stored at ipc://{folder}/nobody as desk-4" in text


def test_what_cannot_be_fed_is_refused_at_once(start, played):
    for name, speed, why in (("a.b", "1", "1 to 64 letters"), ("a", "max", "--speed 1000 instead of max")):
        refused = start("refused", *played, "--speed", speed, "--feed", name)
        _, err = refused.communicate(timeout=PATIENCE_S)
        assert refused.returncode == 2
        assert why in " ".join(err.split())
