"""The command that makes conversations: with what is there, and one line where something is missing."""

from pathlib import Path

import pytest
from commands import run

from erc_live.live.bench import talk_maker, talk_voices
from erc_live.live.bench.recordings import find
from erc_live.live.commands.bench import bench_talk
from erc_live.live.demo import flite

DEMO = Path(flite.__file__).parent


@pytest.mark.skipif(not flite.installed(), reason="needs flite")
def test_flite_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk_voices, "SENTENCES", talk_voices.SENTENCES[:1])
    monkeypatch.setattr(talk_maker, "LENGTH_S", (5.0, 6.0))
    code, line = run(bench_talk, "--make", tmp_path / "talk", "--number", 1, "--people", 3)
    assert code == 0
    assert "1 conversation" in line
    (recording,) = find([tmp_path / "talk"])
    assert len({segment.speaker for segment in recording.segments or ()} & {*talk_voices.VOICES}) >= 3


def test_what_cannot_be_made_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, empty = tmp_path / "talk", tmp_path / "empty"
    empty.mkdir()
    ada = DEMO / "ada.flac"
    monkeypatch.setenv("PATH", str(empty))
    cases = {
        (): "no voices: name --clips FOLDER or --call FILE, or install flite",
        ("--flite", "slt"): "flite is not on the PATH",
        ("--flite", "anna"): "no voice that is told apart",
        ("--clips", empty): f"--clips {empty}: no sound file in it",
        ("--clips", ada): "no sound file in it",
        ("--call", empty / "no.flac"): "no such file",
        ("--call", ada, "--people", 2): "there are 1 voices",
        ("--call", ada, "--call", ada): "two voices are called ada",
    }
    for arguments, expected in cases.items():
        code, line = run(bench_talk, "--make", target, *arguments)
        assert code != 0
        assert expected in line
        assert "\n" not in line
        assert not target.exists()
    (empty / "something").touch()
    for path in (empty, ada):
        code, line = run(bench_talk, "--make", path, "--call", ada)
        assert code != 0
        assert f"--make {path}: there is something already" in line
