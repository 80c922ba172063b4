"""`erc-live session` and replays of bundles from strangers: what is printed is text, and there is no traceback."""

import hashlib
import json
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from examples import event, hello, session_end
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from tiny_world import make_tiny_world, options

from erc_live.live import cli
from erc_live.live import config as configuration
from erc_live.live.config import SessionSection
from erc_live.live.privacy.consent import agreement
from erc_live.live.privacy.consent import last_day as consent_end
from erc_live.live.screen import sinks
from erc_live.live.session import recording_registry
from erc_live.live.speakers import voice_prints
from erc_live.streams.messages import AudioChunk, Gap, Recogniser, SourceEnd, UtteranceFeatures, Word
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest

EVIL = "\x1b]0;owned\x07\x1b[2J\x1b[31mAnn\u202e\u2066\x9b1m\r\x08\x7f\nwhole\u2028x\ud7ff\u200b[bold]"
SECOND = 1_000_000_000
SAID = UtteranceFeatures(
    dialogue="main", utterance=f"u{EVIL}", source="mic-0", speaker_name=EVIL, text=f"well {EVIL}",
    engine=Recogniser(name=EVIL, languages=(EVIL,)), face_coverage=None, final=True, t_start_ns=SECOND,
    t_end_ns=3 * SECOND, t_closed_ns=3 * SECOND, closed_by="silence", t_text_ns=0, t_features_ns=0, revision=0,
    words=(Word(text=EVIL, t_start_ns=SECOND, t_end_ns=2 * SECOND),), text_confidence=None, skipped=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny_world(tmp_path_factory) -> dict[str, str]:
    return make_tiny_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def a_fresh_user(tmp_path, monkeypatch):
    monkeypatch.setattr(configuration, "user_file", lambda: tmp_path / "user.toml")
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_: tmp_path / "data")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch, capsys):
    """`run(*arguments)` -> (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["erc-live", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call


def make(folder: Path, name: str = EVIL) -> Path:
    """A bundle whose every name and text is `name`, or has it in it."""
    sources = [RecordedSource(name="mic-0", kind="audio", speaker=name), RecordedSource(name=name, kind="audio")]
    noise = np.random.default_rng(0)
    with Recorder(folder, new_manifest(name, 0, SECOND, sources, {name: name})) as recorder:
        recorder.write(hello(session=name, model=name, notice=name, labels=(name, "joy"), speakers=(name,)))
        for source in ("mic-0", name):
            for n in range(150):
                loud = 8_000 * (30 < n < 90)
                pcm = noise.normal(0, 30 + loud, 512).astype(np.int16)
                recorder.write(AudioChunk(source=source, t_ns=n * 32_000_000, pcm=pcm))
            recorder.write(SourceEnd(source=source, t_ns=5 * SECOND, reason=name, note=name))
        recorder.write(structs.replace(SAID, speaker_name=name))
        recorder.write(event(0, text=name, speaker_name=name, source=name))
        recorder.write(Gap(source=name, t_start_ns=0, t_end_ns=SECOND, lost=1, cause="device"))
        recorder.write(session_end())
    return folder


def clean(text: str) -> bool:
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in text)


def hurt(folder: Path) -> None:
    """Files of evil names, and logs that are wrong in evil words."""
    (folder / "audio" / "mic\x1b[31m\n: whole.flac").write_bytes(b"x")
    (folder / "video" / "\x9b2J.mkv.part").write_bytes(b"x")
    with (folder / "events.jsonl").open("ab") as log:
        log.write(json.dumps({"type": EVIL}).encode() + b"\n")
        log.write(json.dumps({"type": "Gap", EVIL: EVIL}).encode() + b"\n")
    min((folder / "audio").glob("*.flac")).unlink()


def test_nothing_that_a_bundle_says_is_obeyed(run, tmp_path, tiny_world):
    bundle = make(tmp_path / "s")
    everything = []
    for arguments in (
        ("session", "verify", bundle),
        ("replay", bundle, "--speed", "max", *options(tiny_world)),
        ("replay", bundle, "--speed", "max", "--set", "transcriber.engine=none", *options(tiny_world)),
    ):
        code, out, err = run(*arguments)
        assert code in (0, 4), err  # a source that ended in evil words ended early
        everything += [out, err]
    hurt(bundle)
    for arguments, expected in (
        (("replay", bundle, "--speed", "max", *options(tiny_world)), 4),
        (("session", "verify", bundle), 4),
        (("session", "recover", bundle), 0),
        (("session", "verify", bundle), 0),
    ):
        code, out, err = run(*arguments)
        assert code == expected, err
        everything += [out, err]
    manifest = bundle / "session.json"
    manifest.write_text(json.dumps({"schema": EVIL}))
    everything += run("session", "verify", bundle)[1:]
    for text in everything:
        assert clean(text), [c for c in text if not clean(c)]
    assert "gone" in "".join(everything)
    assert "\nwhole" not in "".join(everything)  # nor does it begin a line


def test_no_file_of_a_bundle_makes_a_line_of_its_own(run, tmp_path):
    bundle = make(tmp_path / "s", "Ann")
    (bundle / "audio" / f"x\n{bundle.name}: whole").write_bytes(b"x")
    _, out, err = run("session", "verify", bundle)
    assert len(out.splitlines()) == len(err.splitlines()) == 1


def test_lines_for_people_and_for_programs_are_clean(tmp_path):
    said = [hello(session=EVIL, notice=EVIL), event(0, text=EVIL, speaker_name=EVIL, source=EVIL), session_end()]
    page = sinks.Page(None)
    assert all(clean(page.add(message)) for message in said)
    lines = [sinks.json_line(message) for message in said]
    assert all(map(clean, lines))
    assert json.loads(lines[1])["text"] == EVIL


def test_what_recovery_did_and_what_is_gone_is_printed(run, tmp_path):
    bundle = make(tmp_path / "s", "Ann")
    for file in (bundle / "audio").glob("mic-0-*"):
        file.unlink()
    code, out, _ = run("session", "recover", bundle)
    assert code == 0
    assert "timing.jsonl: left out 1 of 4 lines" in out
    assert "recovered, but 1 segment (4 s) of mic-0 gone, nothing of mic-0 there" in out
    code, out, _ = run("session", "verify", bundle)
    assert (code, out) == (0, f"{bundle}: whole, but 1 segment (4 s) of mic-0 gone, nothing of mic-0 there\n")


def test_a_session_that_is_being_recorded_is_left_alone(run, tmp_path):
    with Recorder(tmp_path / "s", new_manifest("s", 0, 0, [], {})):
        for command in ("verify", "recover"):
            code, out, err = run("session", command, tmp_path / "s")
            assert (code, out) == (4, "")
            assert "is being recorded" in err
            assert len(err.splitlines()) == 1


def test_the_new_mode_of_a_folder_is_told(run, tmp_path, tiny_world):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept").chmod(0o755)
    bundle = make(tmp_path / "s", "Ann")
    _, _, err = run("replay", bundle, "--speed", "max", "--record", tmp_path / "kept", *options(tiny_world))
    assert [line for line in err.splitlines() if "was 755 and is 700" in line]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    assert recording_registry.recordings() == [tmp_path / "kept"]


def test_somebody_is_forgotten_only_when_that_was_read_and_wanted(run, tmp_path):
    bundle = make(tmp_path / "s", "Ann")
    recording_registry.register(bundle, "Ann")
    agreed = agreement("Ann", consent_end(None), "keyboard", SessionSection())
    voice_prints.keep([voice_prints.recorded(np.zeros(256), 15.0)], "e", agreed)
    whole = {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    code, out, err = run("forget", "--speaker", "Ann")
    assert code == 0
    assert "nothing was changed: --yes does it" in err
    assert {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()} == whole
    assert len(voice_prints.stored()) == 1
    code, done, err = run("forget", "--speaker", "ann", bundle, "--yes")
    assert code == 0
    assert done == out.replace(": would be removed", ": removed")
    assert "all sound of mic-0, which is theirs" in done
    assert not voice_prints.stored()
    code, _, err = run("forget", "--speaker", "Ann", bundle)
    assert code == 4
    assert "nobody called 'Ann'" in err


def test_one_recording_that_cannot_be_changed_does_not_save_the_others(run, tmp_path):
    make(tmp_path / "a", "Ann")
    (tmp_path / "a" / "audio" / "mic-0-0001.flac").unlink()
    make(tmp_path / "b", "Ann")
    code, out, err = run("forget", "--speaker", "Ann", tmp_path / "a", tmp_path / "b", "--yes")
    assert code == 4
    assert "1 of 2 recorded sessions were left as they are" in err
    assert ": removed" in out
    assert run("session", "verify", tmp_path / "b")[0] == 0


def test_what_is_older_than_keep_days_is_deleted_and_nothing_else(run, tmp_path, tiny_world):
    for name in ("old", "beside", "strange", "gone"):
        make(tmp_path / name, name)  # of 1970
    for name in ("old", "beside", "gone"):
        recording_registry.register(tmp_path / name, name)
    (tmp_path / "beside" / "notes.txt").write_text("mine")
    shutil.rmtree(tmp_path / "gone")
    recording_registry.register(tmp_path / "strange", "another session that was there before")
    keep = ("--set", "recording.keep_days=30")
    assert "stay until you delete them" in run("session", "prune")[1]
    code, out, _ = run("session", "prune", *keep)
    assert (code, out.splitlines()[-1]) == (0, "2 recordings older than 30 days; --yes deletes what is listed")
    assert (tmp_path / "old").exists()
    fresh = tmp_path / "fresh"
    command = ("replay", tmp_path / "strange", "--speed", "max", "--record", fresh, *keep, *options(tiny_world))
    _, _, err = run(*command)
    assert f"{tmp_path / 'old'}: deleted, for it was older than recording.keep_days (30)" in err
    assert "files in it that are no part of the recording stay" in err
    assert not (tmp_path / "old").exists()
    assert [file.name for file in (tmp_path / "beside").rglob("*")] == ["notes.txt"]
    assert run("session", "verify", tmp_path / "strange")[0] == 0
    assert run("session", "prune", *keep, "--yes")[1] == ""
    assert fresh.exists()


@pytest.fixture(scope="module")
def sane(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("sane") / "s", "Ann")


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["session.json", "timing.jsonl", "features.jsonl", "faults.jsonl", "audio/mic-0-0001.flac"]),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=6),
)
def test_no_mutated_bundle_ends_a_replay_in_a_traceback(run, tmp_path_factory, sane, tiny_world, name, where, piece):
    folder = tmp_path_factory.mktemp("mutated") / "s"
    shutil.copytree(sane, folder)
    data = before = (folder / name).read_bytes()
    at = int(where * len(data))
    data = data[:at] + piece + data[at + len(piece) :]
    (folder / name).write_bytes(data)
    digests = [hashlib.sha256(content).hexdigest().encode() for content in (before, data)]
    (folder / "timing.jsonl").write_bytes((folder / "timing.jsonl").read_bytes().replace(*digests))
    for arguments in (("replay", folder, "--speed", "max", *options(tiny_world)), ("session", "verify", folder)):
        code, out, err = run(*arguments)
        assert code in (0, 4), err
        assert clean(out + err)
