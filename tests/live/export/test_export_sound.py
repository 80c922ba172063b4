"""The files of sound all begin and end with the session, and hold the samples that were recorded where they were."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from talks import SECOND, TALK, WALL_NS, event_of, exported, record, tone

from erc_live.live.export import sound_files
from erc_live.live.export.aligned_sound import BLOCK, aligned
from erc_live.streams.conversation_view import conversation_view
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import AudioChunk, samples_to_ns
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest, open_session


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return record(tmp_path_factory.mktemp("sound") / "s")


def samples(seconds: float) -> int:
    return round(seconds * 16_000)


@pytest.mark.parametrize(("write", "suffix"), [(sound_files.write_wav, "wav"), (sound_files.write_flac, "flac")])
def test_a_file_for_each_person_and_channel(bundle, tmp_path, write, suffix):
    with exported(open_session(bundle), tmp_path) as export:
        write(export)
    found = {file.name: soundfile.read(file, dtype="int16") for file in tmp_path.glob(f"*.{suffix}")}
    assert found.keys() == {f"talk.{name}.{suffix}" for name in ("mic-0.Ann", "mic_1", "mic_1.Ben", "mic_1.Ann")}
    assert {(len(pcm), rate) for pcm, rate in found.values()} == {(187 * 512, 16_000)}
    whole = tone(0, 187 * 512, 1) * 0
    own, room = (found[f"talk.{name}.{suffix}"][0] for name in ("mic-0.Ann", "mic_1"))
    assert np.array_equal(own, tone(0, len(own), 8000))
    expected = tone(0, len(whole), 4000)
    expected[samples(2.016) : samples(3.008)] = 0  # chunks of 32 ms
    assert np.array_equal(room, expected)
    for start, length, source, _, name in TALK:
        if source == "mic 1":
            part = slice(samples(start), samples(start + length))
            alone = np.zeros_like(room)
            alone[part] = room[part]
            assert np.array_equal(found[f"talk.mic_1.{name}.{suffix}"][0], alone)
    about = json.loads((tmp_path / f"talk.{suffix}.json").read_text())
    assert about["duration_s"] == pytest.approx(187 * 0.032)
    assert about["start_time"].startswith("2026-09-21T")
    assert about["gaps"] == [{"source": "mic 1", "start_s": 2.0, "end_s": 3.0, "cause": "device"}]
    assert {each["file"]: each["speaker_name"] for each in about["files"]}[f"talk.mic_1.{suffix}"] is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.sampled_from([160, 512, 512, 8000])), min_size=1, max_size=6))
def test_samples_lie_where_they_were_recorded(tmp_path_factory, pieces):
    """Whatever holes there are; what jitters by less than half a chunk is moved by less than that."""
    folder = tmp_path_factory.mktemp("holes") / "s"
    at_ns, placed = 0, []
    with Recorder(folder, new_manifest("s", 0, WALL_NS, [RecordedSource(name="m", kind="audio")], {})) as recorder:
        for number, (hole_ms, length) in enumerate(pieces):
            at_ns += hole_ms * 1_000_000
            pcm = np.full(length, number + 1, np.int16)
            recorder.write(AudioChunk(source="m", t_ns=at_ns, pcm=pcm))
            placed.append((at_ns // 62_500, length, number + 1))
            at_ns += samples_to_ns(length)
    session = open_session(folder)
    view = conversation_view(session)
    blocks = list(aligned(session, view, "m", []))
    assert all(len(block) == BLOCK for block in blocks[:-1])
    whole = np.concatenate(blocks)
    assert len(whole) == -(-view.end_ns // 62_500)
    for start, length, value in placed:
        own = np.flatnonzero(whole == value)
        assert abs(own[0] - start) <= 256
        assert own[-1] - own[0] + 1 == len(own) >= length - 256


def test_what_cannot_be_read_is_silence_and_is_named(bundle, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(bundle, copy)
    next((copy / "audio").glob("mic-0-*")).unlink()
    with exported(open_session(copy), tmp_path / "out") as export:
        sound_files.write_wav(export)
    assert len(export.missing) == 1
    assert "it is silence here" in export.missing[0]
    pcm, _ = soundfile.read(tmp_path / "out" / "talk.mic-0.Ann.wav")
    assert not pcm.any()


def test_a_recording_that_was_cut_off_gives_what_is_there(tmp_path):
    recorder = Recorder(tmp_path / "s", new_manifest("s", 0, 0, [RecordedSource(name="m", kind="audio")], {}))
    for n in range(400):
        recorder.write(AudioChunk(source="m", t_ns=n * 32_000_000, pcm=tone(n * 32_000_000, 512, 100)))
    recorder._let_go()  # as by a kill
    with exported(open_session(tmp_path / "s"), tmp_path / "out") as export:
        sound_files.write_flac(export)
    pcm, _ = soundfile.read(tmp_path / "out" / "talk.m.flac", dtype="int16")
    assert len(pcm) >= 8 * 16_000
    assert np.array_equal(pcm, tone(0, len(pcm), 100))


def test_times_that_no_session_has_fill_no_disk(tmp_path):
    with Recorder(tmp_path / "s", new_manifest("s", 0, 0, [RecordedSource(name="m", kind="audio")], {})) as recorder:
        recorder.write(AudioChunk(source="m", t_ns=0, pcm=tone(0, 512, 100)))
        recorder.write(event_of(0, 10**6 * SECOND, SECOND))
    for write in (sound_files.write_wav, sound_files.write_flac):
        with (
            pytest.raises(SessionError, match="days"),
            exported(open_session(tmp_path / "s"), tmp_path / "o") as export,
        ):
            write(export)
    assert not (tmp_path / "o").exists()
