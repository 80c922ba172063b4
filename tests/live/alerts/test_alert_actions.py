"""What a rule does beside the stream: one at a time, in time, on this machine, and never in anybody's way."""

import json
import os
import select
import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from erc_live.live.alerts import alert_actions
from erc_live.live.alerts.alert_actions import AlertActions
from erc_live.live.config import AlertRule
from erc_live.streams.annotations import Alert

PATIENCE_S = 20.0


def alert(number: int = 0, rule: str = "a", on: bool = True) -> Alert:
    return Alert(session="s1", t_ns=number, rule=rule, on=on, text="a: text; $(touch x)")


def rule(*run: str, **fields) -> AlertRule:
    return AlertRule(name="a", kind="shift", run=run, **fields)


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *arguments)


def failures(actions: AlertActions, count: int = 1) -> list[str]:
    lines, until_s = [], time.monotonic() + PATIENCE_S
    while len(lines) < count:
        assert time.monotonic() < until_s
        lines += actions.failures()
    return lines


def test_a_program_gets_the_alert_and_its_arguments_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_actions, "CLOSE_S", PATIENCE_S)
    write = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + sys.argv[2] + chr(10))"
    place = tmp_path / "seen"
    with closing(AlertActions([rule(*python(write, str(place), "$HOME; `id`"))], replaying=False)) as actions:
        for number in range(3):
            actions.observe(alert(number, on=number != 1))
        actions.observe(alert(9, rule="other"))
        actions.observe("something else")
    lines = place.read_text().splitlines()
    assert [json.loads(line)["t_ns"] for line in lines[::2]] == [0, 1, 2]
    assert [json.loads(line)["on"] for line in lines[::2]] == [True, False, True]
    assert set(lines[1::2]) == {"$HOME; `id`"}
    assert actions.failures() == []


def test_what_fails_is_one_line_and_the_next_is_tried() -> None:
    complain = python("import sys; print('first', file=sys.stderr); sys.exit('no light')")
    with closing(AlertActions([rule(*complain)], replaying=False)) as actions:
        actions.observe(alert(0))
        actions.observe(alert(1))
        lines = failures(actions, 2)
    assert lines == [f"alert a: {sys.executable} ended with 1: no light"] * 2


def test_a_program_that_is_gone_is_one_line() -> None:
    with closing(AlertActions([rule("/nowhere/program")], replaying=False)) as actions:
        actions.observe(alert())
        assert failures(actions) == ["alert a: /nowhere/program cannot be run: No such file or directory"]


def test_a_program_that_does_not_end_is_ended_and_nobody_waited() -> None:
    hang = python("import time; time.sleep(600)")
    with closing(AlertActions([rule(*hang)], replaying=False, action_s=0.2)) as actions:
        begun_s = time.monotonic()
        actions.observe(alert())
        assert time.monotonic() - begun_s < 0.1
        assert "did not end within 0.2 s, and was ended" in failures(actions)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="groups of processes are of POSIX")
def test_what_a_program_has_started_is_ended_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_actions, "CLOSE_S", 0.2)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    inner = "import sys; open(sys.argv[1]).read()"
    outer = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    with closing(AlertActions([rule(*python(outer, inner, str(fifo)))], replaying=False)) as actions:
        actions.observe(alert())
        with fifo.open("w") as written:  # opens when the inner program reads
            actions.close()
            readers = select.poll()
            readers.register(written, 0)
            assert readers.poll(PATIENCE_S * 1000) == [(written.fileno(), select.POLLERR)], "nobody reads any more"


def test_a_program_that_complains_without_end_costs_no_memory() -> None:
    flood = python("import sys\nwhile True: sys.stderr.write('x' * 65536)")
    with closing(AlertActions([rule(*flood)], replaying=False, action_s=0.6)) as actions:
        tracemalloc.start()
        try:
            actions.observe(alert())
            assert "did not end" in failures(actions)[0]
            assert tracemalloc.get_traced_memory()[1] < 5_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")
def test_a_program_that_leaves_one_behind_has_ended() -> None:
    leave = ("sh", "-c", "sleep 5 & echo no sound >&2; exit 3")
    with closing(AlertActions([rule(*leave)], replaying=False, action_s=4.0)) as actions:
        actions.observe(alert())
        assert failures(actions) == ["alert a: sh ended with 3: no sound"]


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes are of POSIX")
def test_what_was_not_done_when_the_session_ends_is_said_and_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_actions, "CLOSE_S", 0.1)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    begin = "import sys, time; open(sys.argv[1], 'w').write('begun'); time.sleep(600)"
    with closing(AlertActions([rule(*python(begin, str(fifo)))], replaying=False)) as actions:
        for number in range(3):
            actions.observe(alert(number))
        assert fifo.read_text() == "begun"  # opens when the first program writes, and ends with what it wrote
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # nobody who begins now would have to wait for it
    assert actions.failures() == ["alert a: the session ended before it was done; alerts that were not acted on: 3"]
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_more_than_can_wait_is_given_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_actions, "CLOSE_S", 0.1)
    hang = python("import time; time.sleep(600)")
    with closing(AlertActions([rule(*hang)], replaying=False)) as actions:
        for number in range(alert_actions.WAITING + 3):
            actions.observe(alert(number))
        assert "too many alerts wait" in failures(actions)[0]


def test_in_a_replay_nothing_is_done_unless_the_rule_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_actions, "CLOSE_S", PATIENCE_S)
    touch = python("import sys, pathlib; pathlib.Path(sys.argv[1]).touch()", str(tmp_path / "done"))
    for in_replays in (False, True):
        with closing(AlertActions([rule(*touch, in_replays=in_replays)], replaying=True)) as actions:
            actions.observe(alert())
        assert (tmp_path / "done").exists() == in_replays


class Page(BaseHTTPRequestHandler):
    posted: list[dict]

    def do_POST(self) -> None:
        self.server.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        elsewhere = self.path == "/elsewhere"
        self.send_response(307 if elsewhere else 204)
        if elsewhere:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/there")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the terminal of the tests."""


@pytest.fixture
def page() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        server.posted = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_page_of_this_machine_is_posted_to_and_sends_it_nowhere_else(page: HTTPServer) -> None:
    place = f"http://127.0.0.1:{page.server_port}"
    rules = [AlertRule(name=name, kind="shift", webhook=f"{place}/{name}") for name in ("here", "elsewhere")]
    with closing(AlertActions(rules, replaying=False)) as actions:
        actions.observe(alert(1, "here"))
        actions.observe(alert(2, "elsewhere"))
        (line,) = failures(actions)
    assert sorted(posted["t_ns"] for posted in page.posted) == [1, 2]
    assert "307" in line


def test_a_page_that_is_not_there_is_one_line() -> None:
    with closing(
        AlertActions([AlertRule(name="a", kind="shift", webhook="http://127.0.0.1:9/")], replaying=False)
    ) as actions:
        actions.observe(alert())
        (line,) = failures(actions)
    assert line == "alert a: http://127.0.0.1:9/: Connection refused"


def test_a_page_that_talks_nonsense_is_one_line_and_the_next_alert_is_tried() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        closing(
            AlertActions(
                [AlertRule(name="a", kind="shift", webhook=f"http://127.0.0.1:{server.getsockname()[1]}/")],
                replaying=False,
            )
        ) as actions,
    ):
        for number in range(2):
            actions.observe(alert(number))
            with server.accept()[0] as page:
                page.recv(65536)
                page.sendall(b"SSH-2.0-nonsense\r\n\r\n")
            assert "SSH-2.0-nonsense" in failures(actions)[0]
