"""`erc-live score` as people call it: for each recording what a replay of it gives, and what happens to bad ones.

Longer recordings: pytest -m slow tests/live/commands/test_score_command.py
"""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from short_demo import make_short_demo
from sounds import read_pcm
from test_cli import a_fresh_user, run  # noqa: F401 - fixtures
from tiny_world import options

from erc_live.live.commands import score as score_command
from erc_live.live.errors import EngineError
from erc_live.live.session.launch import demo_sources
from erc_live.streams.media import encode_flac

parquet = pytest.importorskip("pyarrow.parquet")
SECONDS = 16_000  # samples


def stream(text):
    """The lines, without the name of the session."""
    named = ("session", "dialogue")
    return [{key: value for key, value in json.loads(line).items() if key not in named} for line in text.splitlines()]


def scored(out, name):
    return stream((out / f"{name}.jsonl").read_text(encoding="utf-8"))


def test_a_folder_gives_what_replays_of_its_recordings_give(run, tmp_path, tiny_world, tiny_model):  # noqa: F811
    world = options(tiny_world | {"transcriber.model": str(tiny_model)})
    place, out = tmp_path / "talks", tmp_path / "out"
    (place / "sub").mkdir(parents=True)
    assert run(*make_short_demo(tmp_path), "--speed", "max", "--record", place / "monday", *options(tiny_world))[0] == 0
    ada = read_pcm(tmp_path / "ada.flac")
    (place / "sub" / "a=1@2.flac").write_bytes(encode_flac(ada[: 6 * SECONDS]))
    (place / "ben.flac").write_bytes(encode_flac(read_pcm(tmp_path / "ben.flac")))
    (place / "sub" / "bad.mp4").write_bytes(b"no film " * 99)
    (place / "sub" / "readme.txt").touch()

    command = ("score", place, "-o", out, "--jobs", 1, *world)
    code, _, err = run(*command)
    assert code == 4, err
    assert "4 recordings\npassed over: 1 other file (1 .txt)\n1 process (" in err
    assert f"sub/bad.mp4: {place}/sub/bad.mp4: " in err
    assert f"1 recording failed or broke off: {out}/failures.jsonl" in err
    (failure,) = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert (failure["recording"], failure["code"]) == ("sub/bad.mp4", 4)
    names = ("ben.flac", "monday", "sub/a=1@2.flac")
    for name in names:
        code, replayed, complaint = run("replay", place / name, "--speed", "max", *world)
        assert code == 0, complaint
        assert scored(out, name) == stream(replayed)
    rows = parquet.read_table(out / "events.parquet").to_pylist()
    events = [each for name in names for each in scored(out, name) if each["type"] == "EmotionEvent"]
    assert [(row["utterance"], row["label"]) for row in rows] == [(each["utterance"], each["label"]) for each in events]
    assert len({row["recording"] for row in rows}) == 3
    assert any(row["text"] for row in rows if row["recording"] == "monday"), "a recorded session has its own words"

    (place / "sub" / "bad.mp4").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.flac.jsonl")}
    code, _, err = run(*command)
    assert code == 0, err
    assert "3 recordings, 3 of them scored before" in err
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.flac.jsonl")}
    code, _, err = run(*command, "--set", "segmenter.min_speech_s=0.5")
    assert code == 2
    assert "segmenter.min_speech_s: 0.25, now 0.5" in err


FILES = {
    "a speech": ["jfk.flac"],
    "films and a meeting": ["faces/single_face.mp4", "faces/WolfgangLanger_Pexels.mp4", "ami/trn00.flac"],
}


@pytest.mark.real
@pytest.mark.parametrize("case", ["a speech", pytest.param("films and a meeting", marks=pytest.mark.slow)])
def test_real_recordings_are_scored_as_a_replay_recognises_them(
    run,  # noqa: F811
    shared_data,
    tiny_en,
    smart_turn,
    tmp_path,
    case,
):
    place, out = tmp_path / "talks", tmp_path / "out"
    place.mkdir()
    for name in FILES[case]:
        shutil.copy(shared_data / "recordings" / name, place)
    keys = ("--set", f"models.folder={tiny_en.parent}", "--set", "transcriber.model=tiny.en")
    code, _, err = run("score", place, "-o", out, "--jobs", 1, *keys)
    assert code == 0, err
    for path in place.iterdir():
        assert scored(out, path.name) == stream(run("replay", path, "--speed", "max", *keys)[1])
    rows = parquet.read_table(out / "events.parquet").to_pylist()
    assert any(row["engine"].startswith("faster-whisper tiny.en") and row["text"] for row in rows)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform == "win32", reason="no FIFO")
def test_one_process_several_and_those_of_a_ray_give_the_same_bytes(
    run,  # noqa: F811
    shared_data,
    tiny_en,
    smart_turn,
    tmp_path,
):
    place = tmp_path / "talks"
    place.mkdir()
    for name in ("jfk.flac", "faces/single_face.mp4", "ami/trn00.flac"):
        shutil.copy(shared_data / "recordings" / name, place)
    keys = ("--set", f"models.folder={tiny_en.parent}", "--set", "transcriber.model=tiny.en")
    ways = {"one": ("--jobs", 1), "two": ("--jobs", 2), "ray": ("--jobs", 2, "--ray", "local", "--timeout", 60)}
    for name, way in ways.items():
        if name == "ray":
            os.mkfifo(place / "hangs.wav")  # nobody will ever write there
        code, _, err = run("score", place, "-o", tmp_path / name, *way, *keys)
        assert code == (4 if name == "ray" else 0), err
    assert "hangs.wav: got no further for 60 s and was given up" in err
    for path in (tmp_path / "one").glob("*.jsonl"):
        if path.name not in ("journal.jsonl", "failures.jsonl"):
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
            assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes()
    tables = [parquet.read_table(tmp_path / name / "events.parquet") for name in ways]
    assert tables[0].num_rows
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_what_has_to_be_installed_for_a_ray_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(score_command, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[scale\]'"):
        score_command.score(tmp_path, tmp_path / "out", ray="local")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_leaves_nothing_half_and_no_process(tmp_path, tiny_world):
    place, out = tmp_path / "talks", tmp_path / "out"
    place.mkdir()
    shutil.copy(demo_sources()[0][0].target, place)
    command = [sys.executable, "-m", "erc_live.live.entry", "score", str(place), "-o", str(out), *options(tiny_world)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        lines = iter(process.stderr.readline, "")
        assert any(" process" in line for line in lines)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        rest = "".join(lines)  # ends when the last of them is gone
    assert process.returncode == 130
    assert rest.endswith(f"stopped: what is scored is in {out}, and the same command goes on\n")
    assert "Traceback" not in rest
    assert {path.name for path in out.iterdir()} == {"failures.jsonl", "journal.jsonl"}
