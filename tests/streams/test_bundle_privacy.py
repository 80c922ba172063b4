"""A bundle is its owner's only, and one process's at a time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import conversation, die, manifest, record
from examples import event, hello, session_end

from erc_live.streams import bundle_lock, journal
from erc_live.streams.bundle_lock import LOCK, BundleLock, is_locked
from erc_live.streams.errors import SessionError
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import recover, verify
from erc_live.streams.session import MANIFEST, open_session

SAID = [hello(), *conversation(9), event(0), session_end()]


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> set[tuple[bool, str]]:
    return {(file.is_dir(), f"{file.stat().st_mode & 0o777:03o}") for file in (folder, *folder.rglob("*"))}


def test_whatever_was_there_before_nobody_else_can_read_a_bundle(tmp_path, umask):
    folder = tmp_path / "s"
    folder.mkdir()
    folder.chmod(0o755)
    recorder = Recorder(folder, manifest())
    for message in SAID:
        recorder.write(message)
    assert modes(folder) == {(True, "700"), (False, "600")}
    recorder.close()
    assert modes(folder) == {(True, "700"), (False, "600")}


def test_the_new_mode_of_a_folder_is_told_in_one_line(tmp_path):
    tmp_path.chmod(0o755)
    line = journal.make_private(tmp_path)
    assert "was 755 and is 700" in line
    assert "\n" not in line
    assert journal.make_private(tmp_path) == ""


def test_a_folder_that_holds_anything_keeps_its_mode(tmp_path):
    (tmp_path / "thesis.doc").write_text("words")
    tmp_path.chmod(0o755)
    with pytest.raises(SessionError, match="is not empty"):
        Recorder(tmp_path, manifest())
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert {file.name for file in tmp_path.iterdir()} == {"thesis.doc"}


def test_what_a_dead_writer_left_is_not_written_to(tmp_path):
    """Somebody else's file, or a link to one, under the name of the half-written one."""
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    (tmp_path / "x.json.part").symlink_to(victim)
    journal.write_whole(tmp_path / "x.json", b"ours")
    assert victim.read_text() == "theirs"
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o600


def test_while_a_session_is_recorded_it_is_left_alone(tmp_path):
    folder = tmp_path / "s"
    with Recorder(folder, manifest()) as recorder:
        for message in SAID:
            recorder.write(message)
        before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        assert verify(folder) == ["is being recorded"]
        for change in (recover, Recorder.resume):
            with pytest.raises(SessionError, match="is being recorded") as caught:
                change(folder)
            assert "\n" not in str(caught.value)
        assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    assert verify(folder) == []
    assert not (folder / LOCK).exists()


def test_another_process_is_locked_out_and_death_unlocks(tmp_path):
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from bundles import Path, Recorder, manifest\n"
        "recorder = Recorder(Path(sys.argv[1]), manifest())\n"
        "print('open', flush=True); sys.stdin.read()\n"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", program, str(tmp_path / "s"), str(here), str(here.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert is_locked(tmp_path / "s")
        with pytest.raises(SessionError, match="is being recorded"):
            recover(tmp_path / "s")
        process.kill()
    assert not is_locked(tmp_path / "s")
    assert recover(tmp_path / "s") == ["closed"]
    assert verify(tmp_path / "s") == []


def test_a_lock_of_a_file_that_was_removed_is_none(tmp_path, monkeypatch):
    """Between opening the file and locking it, its owner ended and removed it: another one may have made it anew."""
    first, lock = BundleLock(tmp_path), bundle_lock._lock

    def late(descriptor: int) -> bool:
        monkeypatch.setattr(bundle_lock, "_lock", lock)
        first.release()
        return lock(descriptor)

    monkeypatch.setattr(bundle_lock, "_lock", late)
    with BundleLock(tmp_path), pytest.raises(SessionError, match="is being recorded"):
        BundleLock(tmp_path)
    assert not is_locked(tmp_path)


def test_what_a_recorder_left_that_died_at_once_is_no_obstacle(tmp_path):
    (tmp_path / LOCK).touch()
    (tmp_path / f"{MANIFEST}.part").write_bytes(b"{")
    record(tmp_path, SAID)
    assert verify(tmp_path) == []
    assert not list(tmp_path.rglob("*.part"))


def test_half_written_files_are_swept(tmp_path):
    recorder = Recorder(tmp_path / "s", manifest())
    for message in SAID:
        recorder.write(message)
    die(recorder)
    shutil.copytree(tmp_path / "s", tmp_path / "t")
    for folder in ("s", "t"):
        (tmp_path / folder / "audio" / "mic-0-0002.flac.part").write_bytes(b"fLaC")
        (tmp_path / folder / "session.json.part").write_bytes(b"{")
    recover(tmp_path / "s")
    with Recorder.resume(tmp_path / "t"):
        pass
    for folder in ("s", "t"):
        assert verify(tmp_path / folder) == []
        assert not list((tmp_path / folder).rglob("*.part"))
        assert len(open_session(tmp_path / folder).events) == 3
