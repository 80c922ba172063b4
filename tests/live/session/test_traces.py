"""What real sessions leave behind and whom they call: nothing on the disk where that was asked for, and nobody outside
this machine; and what their operators see of them meanwhile.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from socket import socket
from urllib.request import urlopen

import pytest
from short_demo import make_short_demo
from test_sessions import PATIENCE_S, follow
from tiny_world import options

from erc_live.streams import Annotation, EmotionEvent, Gap, Hello, SessionState, WorkerLost, subscribe

pytestmark = [
    pytest.mark.xdist_group("sessions"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and XDG folders"),
]

# Run by each Python of a session before anything else: notes what it connects to. Sockets of libraries in C raise no
# audit event, so those that the process holds are looked up, too.
GUARD = """
import os, socket, struct, sys, threading, time
place = os.path.join(os.environ["GUARD"], str(os.getpid()))
seen = set()
def note(line):
    if line not in seen:
        seen.add(line)
        with open(place, "a") as file:
            file.write(line + "\\n")
def hook(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        note("address " + str(address[0] if isinstance(address, tuple) else "local"))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        note("address " + str(args[0]))
def ip(text):
    raw = bytes.fromhex(text.partition(":")[0])
    words = struct.pack(">" + "I" * (len(raw) // 4), *struct.unpack("<" + "I" * (len(raw) // 4), raw))
    return socket.inet_ntop(socket.AF_INET6 if len(raw) == 16 else socket.AF_INET, words)
def held():
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        try:
            lines = open("/proc/self/net/" + kind).read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[9] in inodes:
                for address in fields[1:3]:
                    note("address " + ip(address))
def watch():
    while True:
        held()
        time.sleep(0.1)
sys.addaudithook(hook)
note("process " + " ".join(sys.orig_argv[1:]))
threading.Thread(target=watch, daemon=True).start()
"""
ANYWHERE = {"0.0.0.0", "::"}  # the other side of a socket that listens
LOOPBACK = {"127.0.0.1", "::1", "localhost", "local"}


# Where one of them is set, onnxruntime reports to nobody; a person has none.
CI = {"CI", "TF_BUILD", "GITHUB_ACTIONS", "TRAVIS", "JENKINS_URL", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY"}


class House:
    """The folders of a person: all that a session could write to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.guard, self.site = folder / "house", folder / "guard", folder / "site"
        for each in (self.folder, self.guard, self.site):
            each.mkdir()
        (self.site / "sitecustomize.py").write_text(GUARD)
        names = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR")
        places = {name: str(self.folder / name) for name in names}
        for place in places.values():
            Path(place).mkdir(mode=0o700)
        own = {"HOME": str(self.folder), "GUARD": str(self.guard), "PYTHONPATH": str(self.site)}
        self.environment = {name: value for name, value in os.environ.items() if name not in CI} | places | own

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start `erc-live ...`."""
        command = [sys.executable, "-m", "erc_live.live.cli", *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=self.environment, cwd=self.folder)

    def run(self, *arguments: object) -> str:
        """Run `erc-live ...` to its end; what it printed."""
        out, err = self.start(*arguments).communicate(timeout=PATIENCE_S)
        assert not err or "error" not in err, err
        return out

    def things(self) -> dict[Path, bytes | None]:
        """Everything in the house: files with what is in them, and all others."""
        return {path: path.read_bytes() if path.is_file() else None for path in self.folder.rglob("*")}

    def calls(self) -> tuple[set[str], set[str]]:
        """Which processes there were, and which addresses they used."""
        lines = [line for path in self.guard.iterdir() for line in path.read_text().splitlines()]
        return tuple(
            {line.partition(" ")[2] for line in lines if line.startswith(kind)} for kind in ("process", "address")
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(scope="module")
def short_demo(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make_short_demo(tmp_path_factory.mktemp("short"))


def free_port() -> int:
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def world(tiny_world: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return tiny_world | {"events.endpoint": f"ipc://{tmp_path}/e"}


def test_the_guard_sees_who_is_called(house: House) -> None:
    """Sockets of Python and of ZeroMQ; 192.0.2.1 is nobody's, and is sent nothing."""
    code = """
import socket, time, zmq
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
peer = zmq.Context().socket(zmq.SUB)
peer.bind("tcp://127.0.0.2:*")
time.sleep(0.3)
"""
    subprocess.run([sys.executable, "-c", code], env=house.environment, check=True)
    assert {"192.0.2.1", "127.0.0.2"} <= house.calls()[1]


def test_an_ephemeral_session_leaves_nothing_on_the_disk_and_calls_nobody(
    house: House, world: dict[str, str], short_demo: list[str]
) -> None:
    before = house.things()
    messages: list[object] = []
    seen = threading.Event()
    session = house.start(
        *short_demo, "--speed", 1.5, "--ephemeral", "--purpose", "research", "--jsonl", *options(world)
    )
    follower = follow(world["events.endpoint"], messages, seen)
    assert seen.wait(PATIENCE_S)
    during = house.things()
    listed = house.run("status", "--set", f"events.endpoint={world['events.endpoint']}")
    assert "leaves no trace here" in listed
    _, err = session.communicate(timeout=PATIENCE_S)
    follower.join(PATIENCE_S)
    assert session.returncode == 0, err
    assert not [path for path, data in during.items() if data], "a file with anything in it, if only for a while"
    left = house.things().keys() - before.keys()
    assert not [path for path in left if not path.is_dir()]
    hello, state = messages[:2]
    assert isinstance(hello, Hello)
    assert isinstance(state, SessionState)
    assert (hello.purpose, state.purpose, state.recording) == ("research", "research", False)
    assert "Purpose: research. It is not being recorded." in hello.notice
    processes, addresses = house.calls()
    assert {"perception", "tracker", "screen", "mic-0", "camera-0"} <= {
        process.rpartition(" ")[2] for process in processes
    }
    assert addresses <= LOOPBACK | ANYWHERE


def test_a_session_is_seen_by_its_operator_and_recorded_and_replayed_without_calling_anybody(
    house: House, world: dict[str, str], short_demo: list[str], tmp_path: Path
) -> None:
    port = free_port()
    own = f"events.endpoint={world['events.endpoint']}"
    measured = {"metrics.port": str(port), "session.controller": "Ann Lee"}
    measured |= {"control.enabled": "true", "control.endpoint": f"ipc://{tmp_path}/c"}
    seen = threading.Event()
    recording = ("--speed", 1.0, "--record", tmp_path / "talk", "--jsonl")
    session = house.start(*short_demo, *recording, *options(world | measured))
    messages: list[object] = []
    follower = follow(world["events.endpoint"], messages, seen, final=True)
    assert seen.wait(PATIENCE_S)
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    (entry,) = map(json.loads, house.run("status", "--json", "--set", own).splitlines())
    assert house.run("control", "name", 1, "Annie").endswith(": named\n")
    assert house.run("control", "mark", "the phone rings", "--author", "Zoe").endswith(": marked\n")
    _, err = session.communicate(timeout=PATIENCE_S)
    follower.join(PATIENCE_S)
    assert session.returncode == 0, err
    assert any(isinstance(message, SessionState) and message.recording for message in messages)
    assert (entry["recording"], entry["pid"], entry["silent_s"]) == (True, session.pid, 0)
    assert entry["control"] == measured["control.endpoint"]
    assert entry["workers"]["tracker"].startswith("running")
    name, mark = (message for message in messages if isinstance(message, Annotation))
    assert (name.speaker, name.text, mark.text, mark.author) == (0, "Annie", "the phone rings", "Zoe")
    later = messages[messages.index(name) :]
    assert {e.speaker_name for e in later if isinstance(e, EmotionEvent) and e.speaker == 0} <= {"Annie"}
    written = (tmp_path / "talk" / "events.jsonl").read_text()
    assert "the phone rings" in written
    assert 'erc_live_utterances_total{label="' in text
    assert 'erc_live_latency_seconds_count{stage="all"}' in text
    assert 'erc_live_worker_running{worker="perception"} 1.0' in text
    assert house.run("status", "--set", own) == "no session runs\n"
    manifest = json.loads((tmp_path / "talk" / "session.json").read_text())
    assert manifest["config"]["session"]["controller"] == "Ann Lee"
    (log,) = (path for path in house.folder.rglob("*.log"))
    assert log.stat().st_mode & 0o077 == 0
    assert all(json.loads(line)["message"] for line in log.read_text().splitlines())

    replayed = house.run("replay", tmp_path / "talk", "--speed", "max", "--jsonl", *options(world))
    assert "Ann Lee" not in replayed, "the notice is of who replays"
    assert json.loads(replayed.splitlines()[0])["notice"].startswith("A computer estimates")
    house.run("session", "verify", tmp_path / "talk")
    assert house.calls()[1] <= LOOPBACK | ANYWHERE


@pytest.mark.slow
def test_a_session_is_paused_and_resumed_and_says_so(
    house: House, world: dict[str, str], short_demo: list[str]
) -> None:
    own = f"events.endpoint={world['events.endpoint']}"
    states: list[SessionState] = []
    gaps: list[Gap] = []
    begun, resumed, dead, again = (threading.Event() for _ in range(4))

    def collect() -> None:
        for message in subscribe(world["events.endpoint"], timeout_s=PATIENCE_S):
            if isinstance(message, SessionState):
                states.append(message)
                begun.set()
                if len(states) == 3:
                    resumed.set()
            elif isinstance(message, Gap):
                gaps.append(message)
                if dead.is_set() and message.source == "mic-0" and message.cause == "paused":
                    again.set()
            elif isinstance(message, WorkerLost):
                dead.set()

    session = house.start(*short_demo, "--as-live", "--speed", 0.4, "--jsonl", *options(world))
    follower = threading.Thread(target=collect, daemon=True)
    follower.start()
    assert begun.wait(PATIENCE_S)
    assert house.run("pause").endswith(": paused\n")
    assert json.loads(house.run("status", "--json", "--set", own))["paused"]
    assert house.run("resume").endswith(": resumed\n")
    assert resumed.wait(PATIENCE_S)
    assert house.run("pause").endswith(": paused\n")
    pattern = ["pgrep", "-P", str(session.pid), "-f", "workers mic-0$"]
    os.kill(int(subprocess.run(pattern, capture_output=True, text=True, check=True).stdout), signal.SIGKILL)
    assert again.wait(PATIENCE_S), "who takes the place of a dead one listens no more than that one did"
    _, err = session.communicate(timeout=PATIENCE_S)
    follower.join(PATIENCE_S)
    assert session.returncode == 0, err
    assert [state.paused for state in states[:3]] == [False, True, False]
    paused = [gap for gap in gaps if gap.cause == "paused"]
    assert {gap.source for gap in paused} >= {"mic-0", "mic-1"}
    assert min(gap.t_start_ns for gap in paused) < states[2].t_ns


RAISING = """
if "tracker" in sys.orig_argv:
    from erc_live.live.tracking.tracker import Tracker
    def observe(self, features):
        raise ValueError("a bug of ours")
    Tracker.observe = observe
"""


@pytest.mark.slow
def test_an_ephemeral_session_that_fails_prints_the_end_of_its_log(
    house: House, world: dict[str, str], short_demo: list[str]
) -> None:
    """There is no file to look into, so nobody is sent to one."""
    (house.site / "sitecustomize.py").write_text(GUARD + RAISING)
    before = house.things()
    session = house.start(*short_demo, "--ephemeral", "--jsonl", *options(world))
    _, err = session.communicate(timeout=PATIENCE_S)
    assert session.returncode == 7
    assert "see its log, which is printed if the session fails" in err
    entries = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert "ValueError: a bug of ours" in {entry["message"] for entry in entries if entry["worker"] == "tracker"}
    assert house.things() == before
