"""A bundle is whole or says that it is not; a crash at any instant loses no event and at most ten seconds of media."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import SECOND, conversation, die, manifest, record, sound
from examples import event, hello, same, session_end
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.streams import journal
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import AudioChunk, EmotionEvent, SourceEnd, VideoFrame
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import recover, verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import open_session


class Crash(BaseException):
    """The power goes."""


@functools.cache
def script(seconds: float) -> list[object]:
    """A session with an event every second."""
    out: list[object] = [hello()]
    for message in conversation(seconds):
        out.append(message)
        if isinstance(message, VideoFrame) and message.t_ns % SECOND == 0:
            out.append(event(message.t_ns // SECOND))
    return out


def media_of(path: Path, source: str) -> list[AudioChunk | VideoFrame]:
    start_ns = open_session(path).t_first_ns
    return [m for m in bundle_messages(path, start_ns) if m.source == source and not isinstance(m, SourceEnd)]


def crash_at_sync(folder: Path, messages: list[object], syncs: int) -> list[object]:
    """Record until the sync of that number, which does not return; gives what was taken before."""
    left, taken = [syncs], []

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Crash

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Crash):
        patch.setattr(journal.os, "fsync", fsync)
        recorder = Recorder(folder, manifest())
        patch.setattr(recorder, "_let_go", lambda: None)
        for message in messages:
            recorder.write(message)
            taken.append(message)
        recorder.close()
    if taken:
        die(recorder)
    return taken


@settings(max_examples=40, deadline=None)
@given(st.integers(9, 65))
def test_a_crash_at_any_sync_loses_no_event_and_at_most_ten_seconds(tmp_path_factory, syncs):
    folder = tmp_path_factory.mktemp("crash") / "session"
    taken = crash_at_sync(folder, script(26), syncs)
    recover(folder)
    assert verify(folder) == []
    assert recover(folder) == []
    session = open_session(folder)
    events = [m for m in taken if isinstance(m, EmotionEvent)]
    assert list(session.events[1 : len(events) + 1]) == events
    for source in ("mic-0", "camera-0"):
        sent = [m for m in taken if getattr(m, "source", "") == source and isinstance(m, AudioChunk | VideoFrame)]
        kept = media_of(folder, source)
        assert all(map(same, kept, sent))
        assert sum(m.t_ns > kept[-1].t_ns if kept else True for m in sent) <= (313 if source == "mic-0" else 100)


@pytest.fixture(scope="module")
def crashed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("crashed") / "session"
    crash_at_sync(folder, script(26), 55)
    return folder


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_files_cut_anywhere_are_recovered_to_what_is_whole(tmp_path_factory, crashed, data):
    folder = tmp_path_factory.mktemp("cut") / "session"
    shutil.copytree(crashed, folder)
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "session.json")
    for file in data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=4, unique=True)):
        os.truncate(file, data.draw(st.integers(0, file.stat().st_size)))
    recover(folder)
    assert verify(folder) == []
    events = open_session(folder).events
    assert events == open_session(crashed).events[: len(events)]
    for source in ("mic-0", "camera-0"):
        before = {m.t_ns: m for m in media_of(crashed, source)}
        assert all(same(m, before[m.t_ns]) for m in media_of(folder, source))


def test_a_killed_process_leaves_a_session_that_can_be_recovered(tmp_path):
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from test_session import script, manifest, Recorder, EmotionEvent\n"
        "recorder = Recorder(Path(sys.argv[1]), manifest())\n"
        "for message in script(120):\n"
        "    recorder.write(message)\n"
        "    if isinstance(message, EmotionEvent): print(message.seq, flush=True)\n"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", program, str(tmp_path / "s"), str(here), str(here.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().splitlines()]
    assert verify(tmp_path / "s")
    assert "closed" in recover(tmp_path / "s")
    assert verify(tmp_path / "s") == []
    seqs = [e.seq for e in open_session(tmp_path / "s").events if isinstance(e, EmotionEvent)]
    assert seqs[: len(told)] == told
    assert media_of(tmp_path / "s", "mic-0")[-1].t_ns >= (told[-1] - 10) * SECOND


@pytest.mark.parametrize("syncs", [9, 12, 30, 40, 50])
def test_a_full_disk_ends_the_recording_in_one_line_and_keeps_what_was_written(tmp_path, monkeypatch, syncs):
    left = [syncs]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "fsync", fsync)
    recorder, taken = Recorder(tmp_path / "s", manifest()), []

    def write_all() -> None:
        for message in script(26):
            recorder.write(message)
            taken.append(message)
        recorder.close()

    with pytest.raises(SessionError, match=r"s: recording stopped: No space left on device; .*recover") as caught:
        write_all()
    assert "\n" not in str(caught.value)
    recorder.close()
    monkeypatch.undo()
    recover(tmp_path / "s")
    assert verify(tmp_path / "s") == []
    events = [m for m in taken if isinstance(m, EmotionEvent)]
    assert list(open_session(tmp_path / "s").events[1:]) == events  # and not the one that was refused


def test_a_torn_line_is_passed_over_by_reading_and_named_by_verification(tmp_path):
    record(tmp_path / "s", [hello(), event(0), session_end()])
    with (tmp_path / "s" / "events.jsonl").open("ab") as file:
        file.write(b'{"type": "EmotionEv')
    assert len(open_session(tmp_path / "s").events) == 3
    assert verify(tmp_path / "s") == ["events.jsonl: changed", "events.jsonl: the last line is torn"]
    assert recover(tmp_path / "s") == ["events.jsonl: left out 1 of 4 lines", "closed"]
    assert verify(tmp_path / "s") == []


def test_a_damaged_line_is_refused_by_reading_and_put_aside_by_recovery(tmp_path):
    record(tmp_path / "s", [hello(), event(0), session_end()])
    log = tmp_path / "s" / "events.jsonl"
    damaged = log.read_bytes().replace(b'"EmotionEvent"', b'"EmotionEvnt"')
    log.write_bytes(damaged)
    with pytest.raises(SessionError, match="line 2 is damaged"):
        open_session(tmp_path / "s")
    assert "events.jsonl: line 2 is damaged" in verify(tmp_path / "s")
    recover(tmp_path / "s")
    assert len(open_session(tmp_path / "s").events) == 2
    assert log.with_name("events.jsonl.damaged").read_bytes() == damaged


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_every_change_is_found_and_recovery_keeps_the_rest(tmp_path):
    record(tmp_path / "s", conversation(20))
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "s", whole)
    assert verify(whole) == []
    for change, finding in [
        (lambda f: flip(f / "audio" / "mic-0-0002.flac"), "audio/mic-0-0002.flac: changed"),
        (lambda f: (f / "video" / "camera-0-0001.mkv").unlink(), "video/camera-0-0001.mkv: missing"),
        (lambda f: (f / "audio" / "other.flac").write_bytes(b"x"), "audio/other.flac: not part of the session"),
        (lambda f: (f / "audio" / "x.flac.part").write_bytes(b"x"), "audio/x.flac.part: half-written"),
        (lambda f: (f / "timing.jsonl").unlink(), "timing.jsonl: missing"),
        (lambda f: (f / "checksums.json").unlink(), "session.json: not part of the session"),
    ]:
        copy = tmp_path / "copy"
        shutil.copytree(whole, copy)
        change(copy)
        assert finding in verify(copy)
        recover(copy)
        assert verify(copy) == []
        shutil.rmtree(copy)


def test_a_finished_segment_that_has_not_got_its_name_yet_is_kept(tmp_path):
    record(tmp_path / "s", conversation(20))
    before = media_of(tmp_path / "s", "mic-0")
    last = tmp_path / "s" / "audio" / "mic-0-0003.flac"
    last.rename(last.with_name(last.name + ".part"))
    assert recover(tmp_path / "s") == ["closed"]
    assert all(map(same, media_of(tmp_path / "s", "mic-0"), before))
    assert last.exists()


def test_a_changed_segment_is_never_played(tmp_path):
    record(tmp_path / "s", [sound("mic-0", 0, 600)])
    flip(tmp_path / "s" / "audio" / "mic-0-0001.flac")
    with pytest.raises(SessionError, match="is not what was recorded"):
        list(bundle_messages(tmp_path / "s", 0))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not a recorded session"),
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"schema": "erc.session/9"}', "schema erc.session/9; this version reads erc.session/1"),
        (b'{"schema": "erc.session/1"}', "missing required field"),
    ],
)
def test_what_is_no_session_is_refused_in_one_line(tmp_path, content, words):
    if content is not None:
        (tmp_path / "session.json").write_bytes(content)
    for use in (open_session, verify, recover):
        with pytest.raises(SessionError, match=words) as caught:
            use(tmp_path)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_log_does_not_lead_out_of_the_folder(tmp_path):
    record(tmp_path / "s", [sound("mic-0", 0, 600)])
    log = tmp_path / "s" / "timing.jsonl"
    log.write_bytes(log.read_bytes().replace(b"audio/mic-0-0001.flac", b"audio/../../../x.flac"))
    with pytest.raises(SessionError, match="line 1 is damaged"):
        open_session(tmp_path / "s")
