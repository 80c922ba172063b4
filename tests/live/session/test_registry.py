"""The registry of running sessions: what it lists is so, and a session never fails because of it."""

import os
from pathlib import Path

import pytest
from conversation import state, status
from examples import event
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live import config
from erc_live.live.errors import ConfigError
from erc_live.live.session import registry
from erc_live.live.session.launch import demo_sources
from erc_live.live.session.registry import Registration, SessionEntry, ask, chosen, running
from erc_live.live.session.spec import SessionSpec
from erc_live.streams.messages import WorkerLost

S = 1_000_000_000
T_NS = 1_700_000_000 * S
DEATH = WorkerLost(t_ns=0, worker="mic-0", reason="was killed", consequence="it is started again", restarts=1, lost=0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_runtime_path", lambda *_: tmp_path / "runtime")
    return tmp_path / "runtime" / "sessions"


class Wall:
    """Wall time that somebody sets."""

    def __init__(self) -> None:
        self.now_ns = T_NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def wall() -> Wall:
    return Wall()


def registration(wall: Wall, name: str = "s1", **fields: str) -> Registration:
    return Registration(SessionSpec(session=name, config=config.Config(), sources=demo_sources()[0], **fields), wall)


def entry(wall: Wall) -> SessionEntry:
    (found,) = running(wall())
    return found


def test_without_a_runtime_folder_nobody_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert registry.folder().name == "sessions"


def test_a_session_is_listed_while_it_runs_and_no_longer(wall: Wall, folder: Path) -> None:
    first = registration(wall, record="talk")
    wall.now_ns += S
    second = registration(wall, "../s2: \u00fc")
    assert [found.session for found in running(wall())] == ["s1", "../s2: \u00fc"]
    assert [found.recording for found in running(wall())] == [True, False]
    assert {found.pid for found in running(wall())} == {os.getpid()}
    assert {path.parent for path in folder.parent.rglob("*.json")} == {folder}
    ask("s1", "pause")
    for each in (first, second, second):
        each.close()
    assert not [*folder.iterdir()]
    assert not running(wall())


def test_it_says_how_the_session_does(wall: Wall) -> None:
    current = registration(wall)
    said = (event(0, index=0), event(1, index=1), event(2, index=2, final=False), DEATH, DEATH)
    for message in (*said, status("mic-0", lag_s=0.2), status("perception", lag_s=3.0), status("mic-0", lag_s=0.1)):
        current.observe(message)
    assert entry(wall).utterances == 0, "it is written once a second"
    wall.now_ns += 2 * S
    current.observe(status("mic-0", lag_s=0.1))
    assert (entry(wall).utterances, entry(wall).deaths, entry(wall).lag_s) == (2, 2, 3.0)
    current.observe(state(recording=True, paused=True))
    assert entry(wall).paused, "a pause at once"
    wall.now_ns -= 100 * S
    current.observe(event(3, index=3))
    assert entry(wall).utterances == 4, "a clock that was set back stops nothing"


def test_what_is_silent_is_said_to_be_and_forgotten_in_the_end(wall: Wall, folder: Path) -> None:
    registration(wall)
    assert entry(wall).silent_s(wall()) == 0
    wall.now_ns += 60 * S
    assert entry(wall).silent_s(wall()) == 60
    (folder / "other.json").write_text("{")
    wall.now_ns += 2 * 3600 * S
    assert not running(wall())
    assert [path.name for path in folder.iterdir()] == ["other.json"]


def test_without_a_name_it_is_the_only_one_that_gives_signs_of_life(wall: Wall) -> None:
    assert chosen(None, wall()) is None
    registration(wall, "dead")
    wall.now_ns += 60 * S
    assert chosen(None, wall()) is None
    registration(wall, "s2")
    found = chosen(None, wall())
    assert found is not None
    assert found.session == "s2"
    assert chosen("dead", wall()) is not None
    registration(wall, "s3")
    with pytest.raises(ConfigError, match="name one of s2, s3"):
        chosen(None, wall())
    with pytest.raises(ConfigError, match="no session s4 runs here"):
        chosen("s4", wall())


def test_a_command_arrives_once(wall: Wall, folder: Path) -> None:
    current, other = registration(wall), registration(wall, "s2")
    assert current.command() is None
    ask("s1", "pause")
    assert other.command() is None
    assert current.command() == "pause"
    assert current.command() is None
    ask("s1", "pause")
    ask("s1", "resume")
    assert current.command() == "resume", "the last one counts"
    (folder / "s1.command").write_text("explode")
    assert current.command() is None
    with pytest.raises(ConfigError, match="no session s3 runs here"):
        ask("s3", "pause")


@given(st.binary(max_size=30))
def test_whatever_lies_there_is_no_session(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    place = tmp_path_factory.mktemp("r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "folder", lambda: place)
        (place / "x.json").write_bytes(data)
        assert running(T_NS) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_folder_of_others_and_a_full_disk_cost_the_entry_alone(
    wall: Wall, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    registration(wall).observe(state())
    assert not [*folder.iterdir()]
    folder.chmod(0o700)
    current = registration(wall)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(registry, "_replace", full)
    current.observe(state())
    assert current.command() is None
    current.close()
