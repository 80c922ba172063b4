"""Who follows a session beside its stream: programs find where it takes requests, and what fails at its end is said."""

import sys
import time
from pathlib import Path

import msgspec
import pytest

from erc_live.live import config
from erc_live.live.session.launch import demo_sources
from erc_live.live.session.operators import operators
from erc_live.live.session.registry import running
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.annotations import Alert


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_runtime_path", lambda *_: tmp_path / "runtime")


def session(*sets: str, alerts: tuple[config.AlertRule, ...] = ()) -> SessionSpec:
    loaded = msgspec.structs.replace(config.load(sets=sets).config, alerts=alerts)
    return SessionSpec(session="s1", config=loaded, sources=demo_sources()[0])


def test_where_any_free_port_was_asked_for_programs_find_the_one_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: tmp_path / "config")
    asked = session("control.enabled=true", "control.endpoint=tcp://127.0.0.1:*")
    with operators(asked, lambda message: None) as others:
        (entry,) = running(time.time_ns())
        assert others.control is not None
        assert entry.control == others.control.endpoint
        assert entry.control.rpartition(":")[2].isdigit()


def test_an_alert_whose_program_fails_when_the_session_has_ended_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    rule = config.AlertRule(name="a", kind="shift", run=(sys.executable, "-c", "exit(3)"), in_replays=True)
    with operators(session(alerts=(rule,)), lambda message: None) as others:
        others.observe(Alert(session="s1", t_ns=0, rule="a", on=True, text="a: it"))
    assert f"alert a: {sys.executable} ended with 3" in capfd.readouterr().err.replace("\n", "")
