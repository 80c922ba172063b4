"""`erc-live status`, `pause` and `resume`: what runs is listed, and who is asked for is asked."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from commands import run
from examples import hello

from erc_live.live import config
from erc_live.live.commands import running
from erc_live.live.commands.running import pause, resume, status
from erc_live.live.session.launch import demo_sources
from erc_live.live.session.registry import Registration
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.event_stream import EventPublisher

ENDPOINT = "ipc://{}/e"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("platformdirs.user_runtime_path", lambda *_: tmp_path / "runtime")
    return f"events.endpoint={ENDPOINT.format(tmp_path)}"


@pytest.fixture
def session(place: str) -> Iterator[Registration]:
    loaded = config.load(sets=[place]).config
    with closing(Registration(SessionSpec(session="s1", config=loaded, sources=demo_sources()[0]))) as current:
        yield current


def test_nothing_runs(place: str) -> None:
    assert run(status, "--set", place) == (0, "no session runs\n")
    code, text = run(pause)
    assert code == 6  # as where `control` and `subscribe` meet nobody
    assert "no session runs here" in text


def test_what_runs_is_listed_for_people_and_for_programs(session: Registration, place: str) -> None:
    code, text = run(status, "--set", place)
    assert code == 0
    for word in ("s1", "0:0", "utterances 0", "own-use", place.partition("=")[2]):
        assert word in text
    assert "SIGN OF LIFE" not in text
    (line,) = run(status, "--json", "--set", place)[1].splitlines()
    assert json.loads(line).items() >= {"session": "s1", "utterances": 0, "paused": False, "silent_s": 0.0}.items()


def test_what_is_silent_stands_out(place: str, session: Registration, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time_ns() + 90 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert "NO SIGN OF LIFE for 1:" in run(status, "--set", place)[1]


def test_a_session_that_leaves_no_trace_is_asked_itself(place: str) -> None:
    over = threading.Event()
    with closing(EventPublisher(place.partition("=")[2], history=3)) as publisher:
        publisher.publish(hello(session="hidden", purpose="research"))

        def serve() -> None:
            while not over.wait(0.005):
                publisher.poll()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            text = run(status, "--set", place)[1]
        finally:
            over.set()
            thread.join()
    assert text.startswith("hidden  research")


@contextmanager
def obeying(session: Registration) -> Iterator[list[str]]:
    """What a session is asked for, while it looks."""
    asked: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            asked.extend(filter(None, [session.command()]))

    thread = threading.Thread(target=look)
    thread.start()
    yield asked
    over.set()
    thread.join()


def test_a_session_that_does_not_answer_is_not_paused(
    session: Registration, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "TAKEN_S", 0.1)
    code, text = run(pause)
    assert code == 6
    assert "does not answer" in text
    assert "it is NOT paused" in text
    assert session.command() is None, "what was given up is not done later"


def test_a_session_that_ends_before_it_answers_has_ended(session: Registration, place: str) -> None:
    timer = threading.Timer(0.1, session.close)
    timer.start()
    code, text = run(pause)
    timer.join()
    assert (code, text) == (2, "session s1 has just ended")


def test_the_only_session_needs_no_name(session: Registration, place: str) -> None:
    with obeying(session) as asked:
        assert run(pause) == (0, "s1: paused\n")
        assert run(resume, "s1") == (0, "s1: resumed\n")
        assert asked == ["pause", "resume"]
    code, text = run(resume, "s2")
    assert code == 2
    assert "no session s2" in text
    loaded = config.load(sets=[place]).config
    with closing(Registration(SessionSpec(session="s2", config=loaded, sources=demo_sources()[0]))):
        assert "name one of s1, s2" in run(pause)[1]
