"""`erc-live report` and `erc-live web` as they are called: files, lines, exit codes, a real publisher, Ctrl-C."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import recorded_talk as talk
from commands import run

from erc_live.live.commands import web as web_command
from erc_live.live.commands.report import report
from erc_live.live.report.page_state import PageState
from erc_live.live.report.web_server import WebServer
from erc_live.streams.errors import StreamLost

TESTS = Path(__file__).resolve().parents[2]
CALL = "from erc_live.live.entry import main; main()"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return talk.record(tmp_path / "my talk", talk.events())


def test_one_command_makes_a_page_of_a_bundle(bundle):
    assert run(report, bundle) == (0, "my talk.html: 6 utterances; open it in a browser\n")
    assert Path("my talk.html").read_bytes().startswith(b"<!doctype html>")


def test_the_page_goes_where_it_is_wanted_and_never_into_the_bundle(bundle):
    assert run(report, bundle, "-o", "there.html", "--no-sound")[0] == 0
    assert Path("there.html").exists()
    code, line = run(report, bundle, "-o", bundle / "audio/page.html")
    assert code == 2
    assert "is inside the recorded session" in line


@pytest.mark.parametrize("name", ["nothing", "my talk/events.jsonl"])
def test_what_is_no_bundle_is_one_line(bundle, name):
    code, line = run(report, name)
    assert code == 4
    assert "not a recorded session" in line
    assert "\n" not in line


def test_a_damaged_line_names_the_remedy(bundle):
    log = bundle / "events.jsonl"
    log.write_bytes(b"{}\n" + log.read_bytes())
    code, line = run(report, bundle)
    assert code == 4
    assert "erc-live session recover" in line


def begin_web(*options: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CALL, "web", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )


def test_a_real_session_reaches_a_browser_to_its_end(tmp_path):
    settings = json.dumps({"endpoint": f"ipc://{tmp_path}/e", "history": 3})
    publisher = subprocess.Popen(
        [sys.executable, TESTS / "streams/publishing.py", settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert publisher.stdout
    publisher.stdout.readline()
    web = begin_web(f"ipc://{tmp_path}/e")
    assert web.stdout
    assert web.stderr
    host, path = re.findall(r"http://([^/]*)(/\S*/)", web.stdout.readline())[0]
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", f"{path}updates")
    reply, page = connection.getresponse(), {}
    while page.get("phase") != "ended":
        line = reply.readline().decode()
        assert line
        if not line.startswith("data: "):
            continue
        items = json.loads(line[6:])["items"]
        page |= items.get("status", {}).get("now", {})
        page |= {"utterances": {**page.get("utterances", {}), **items.get("utterances", {})}}
        if len(page["utterances"]) == 3 and publisher.stdin:
            publisher.stdin.close()
            publisher.stdin = None
    assert page["text"] == "end of file"
    assert "in a browser of this machine" in web.stderr.readline()
    assert "the page stays until Ctrl-C" in web.stderr.readline()
    web.send_signal(signal.SIGINT)
    web.communicate(timeout=60)
    assert web.returncode == 0
    publisher.communicate(timeout=60)


def test_a_stream_that_vanishes_stands_on_the_page_and_is_the_end(capsys):
    def messages():
        yield from talk.events()[:3]
        raise StreamLost("no sign of life for 3 s")

    state = PageState(live=True)
    with closing(WebServer(state, 0)) as server:
        lost = web_command._serve(server, messages())
        items = state.changes(0)[1]
    assert isinstance(lost, StreamLost)
    assert items["status"]["now"].phase == "lost"
    assert len(items["utterances"]) == 1
    assert "the page stays until Ctrl-C" in capsys.readouterr().err


def test_what_is_no_address_of_a_stream_is_one_line():
    code, line = run(web_command.web, "nonsense://x")
    assert (code, line.startswith("'nonsense://x' is not an address of the event stream")) == (6, True)


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        web = begin_web(f"ipc://{tmp_path}/e", "--port", str(port))
        _, errors = web.communicate(timeout=60)
    assert web.returncode == 6
    assert errors.count("\n") == 1
    assert f"port {port} of 127.0.0.1" in errors
