"""What is recorded is replayed: the same chunks, the same bytes, the same times but for one shift."""

import itertools

import msgspec
import numpy as np
import pytest
from bundles import SECOND, conversation, manifest, picture, record, sound, tracks
from examples import event, hello, messages, same, session_end
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.streams.errors import MediaError, SessionError
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import (
    AudioChunk,
    EmotionEvent,
    Gap,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
    WorkerStatus,
)
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import verify
from erc_live.streams.replay import FrameSettings, MediaSource, bundle_messages, due_ns, in_time_order, source_messages
from erc_live.streams.session import open_session

PICTURES = FrameSettings(rate_hz=10, width_px=640, jpeg_quality=85)
SHORT = settings(max_examples=25, deadline=None)


def moved(message, shift_ns):
    times = {name: getattr(message, name) + shift_ns for name in message.__struct_fields__ if name.startswith("t_")}
    return msgspec.structs.replace(message, **times)


def of(kind, source, stream):
    return [message for message in stream if isinstance(message, kind) and message.source == source]


@SHORT
@given(
    st.lists(st.sampled_from(["audio", "video"]).flatmap(tracks), min_size=1, max_size=4),
    st.integers(0, 2**60),
    st.data(),
)
def test_a_bundle_gives_back_what_was_recorded(tmp_path_factory, streams, start_ns, data):
    streams = list({stream[0].source: stream for stream in streams}.values())  # one stream per source
    folder = tmp_path_factory.mktemp("bundle") / "session"
    order = data.draw(st.permutations([i for i, stream in enumerate(streams) for _ in stream]))
    left = [iter(stream) for stream in streams]
    record(folder, (next(left[i]) for i in order))
    assert verify(folder) == []
    first_ns = min(m.t_ns for stream in streams for m in stream if not isinstance(m, SourceEnd))
    whole = list(bundle_messages(folder, start_ns))
    for stream in streams:
        source, kind = stream[0].source, type(stream[0])
        expected = [moved(m, start_ns - first_ns) for m in stream]
        found = [m for m in whole if m.source == source]
        if not isinstance(expected[-1], SourceEnd):
            assert found.pop().reason == "end of recording"
        assert len(found) == len(expected)
        assert all(map(same, found, expected))
        alone = source_messages(
            MediaSource(folder, source, "audio" if kind is AudioChunk else "video"), start_ns, PICTURES
        )
        assert all(map(same, alone, expected))


def test_replay_is_in_the_order_of_time_and_gaps_are_told(tmp_path):
    gap = Gap(source="mic-0", t_start_ns=8 * SECOND, t_end_ns=9 * SECOND, lost=2, cause="device")
    ends = [SourceEnd(source=s, t_ns=17 * SECOND, reason="stopped") for s in ("mic-0", "camera-0", "perception")]
    record(tmp_path / "s", [*conversation(10), gap, *ends])
    replayed = list(bundle_messages(tmp_path / "s", 0))
    assert [due_ns(m) for m in replayed] == sorted(due_ns(m) for m in replayed)
    assert of(Gap, "mic-0", replayed) == [moved(gap, -7 * SECOND)]
    assert [m.source for m in replayed[-2:]] == ["camera-0", "mic-0"]  # a worker without media is no source
    assert replayed == sorted(replayed, key=due_ns)
    again = list(bundle_messages(tmp_path / "s", 0))
    assert all(map(same, replayed, again))


@SHORT
@given(
    st.lists(messages(UtteranceFeatures), max_size=3),
    st.lists(messages(EmotionEvent), max_size=3),
    st.lists(messages(Gap), max_size=3),
)
def test_logs_give_back_the_messages(tmp_path_factory, features, events, gaps):
    folder = tmp_path_factory.mktemp("bundle") / "session"
    told = [hello(), *events, session_end()]
    record(folder, [*told, *features, *gaps])
    session = open_session(folder)
    assert session.events == tuple(told)
    final = [f for f in features if f.final]  # of what was still being said there is nothing to keep
    assert session.gaps == tuple(dict.fromkeys(gaps))  # who noticed it and who passed it on both tell
    assert len(session.features) == len(final)
    assert all(map(same, session.features, final))
    assert session.manifest.labels == hello().labels
    assert session.manifest.closed


def test_the_manifest_says_what_the_session_is(tmp_path):
    record(tmp_path / "s", [])
    read = open_session(tmp_path / "s").manifest
    assert read == msgspec.structs.replace(manifest(), closed=True)
    assert read.created == "2023-11-14T22:13:20+00:00"
    assert {"python", "numpy", "av", "msgspec"} <= read.versions.keys()
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0  # people's voices and faces


def test_segments_are_short_and_holes_begin_new_ones(tmp_path):
    late = [sound("mic-0", 60 * SECOND, 512), sound("mic-0", 60 * SECOND + 500_000_000, 512)]
    status = WorkerStatus(worker="mic-0", pid=1, t_ns=0, phase="running")
    record(tmp_path / "s", [*conversation(20), *late, picture("camera-0", 60 * SECOND, (64, 64)), status])
    session = open_session(tmp_path / "s")
    assert [s.file for s in session.segments if s.source == "mic-0"] == [
        f"audio/mic-0-000{n}.flac" for n in range(1, 6)
    ]
    spans = [s.runs[-1].t_end_ns - s.t_first_ns for s in session.segments if s.source == "mic-0"]
    assert all(span <= 8.1 * SECOND for span in spans)
    assert max(len(s.runs) for s in session.segments if s.source == "mic-0") == 1  # in step: one run, however long
    assert session.tracks() == (("audio", "mic-0"), ("video", "camera-0"))


def test_two_sources_whose_file_names_would_be_equal_are_kept_apart(tmp_path):
    record(tmp_path / "s", [sound("a b", 0, 5), sound("a:b", 0, 6), sound("../a", 0, 7)])
    session = open_session(tmp_path / "s")
    assert {s.source: sum(map(len, session.samples(s))) for s in session.segments} == {"a b": 5, "a:b": 6, "../a": 7}
    assert {file.parent.name for file in tmp_path.rglob("*.flac")} == {"audio"}


def test_a_folder_that_holds_anything_is_refused(tmp_path):
    (tmp_path / "thesis.doc").write_text("words")
    with pytest.raises(SessionError, match="is not empty"):
        Recorder(tmp_path, manifest())
    with pytest.raises(SessionError, match="cannot record there: Not a directory"):
        Recorder(tmp_path / "thesis.doc" / "s", manifest())


def test_nothing_is_written_after_the_end(tmp_path):
    with Recorder(tmp_path / "s", manifest()) as recorder:
        recorder.write(event(0))
    recorder.close()
    with pytest.raises(SessionError, match="has ended"):
        recorder.write(event(1))


def test_media_files_are_played_as_one_session(tmp_path):
    for name, samples in (("a", 1000), ("b", 700)):
        (tmp_path / f"{name}.flac").write_bytes(encode_flac(sound(name, 0, samples).pcm))
    files = [MediaSource(tmp_path / f"{s}.flac", s, "audio") for s in "ba"]
    played = list(in_time_order([source_messages(file, 50, PICTURES) for file in files]))
    assert [(type(m), m.source, m.t_ns) for m in played] == [
        (AudioChunk, "a", 50),
        (AudioChunk, "b", 50),
        (AudioChunk, "b", 50 + 32_000_000),
        (SourceEnd, "b", 50 + 700 * 62_500),
        (AudioChunk, "a", 50 + 32_000_000),
        (SourceEnd, "a", 50 + 1000 * 62_500),
    ]


def test_a_media_file_that_breaks_off_ends_there_and_says_so(tmp_path):
    data = encode_flac(np.random.default_rng(0).integers(-9_000, 9_000, 80_000).astype(np.int16))
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    *played, end = source_messages(MediaSource(tmp_path / "cut.flac", "mic-0", "audio"), 0, PICTURES)
    assert len(played) > 50
    assert "ends early" in end.reason
    with pytest.raises(MediaError, match="no such file"):
        next(source_messages(MediaSource(tmp_path / "none.mp4", "camera-0", "video"), 0, PICTURES))


def test_pictures_of_a_media_file_are_taken_as_asked(shared_data):
    clip = shared_data / "recordings" / "faces" / "single_face.mp4"
    *frames, end = source_messages(MediaSource(clip, "camera-0", "video"), 0, FrameSettings(5, 320, 50))
    assert {(type(f), f.width_px) for f in frames} == {(VideoFrame, 320)}
    assert len(frames) == 12
    assert end.reason == "end of file"


def test_a_bundle_is_read_a_segment_at_a_time(tmp_path):
    record(tmp_path / "s", conversation(20))
    (tmp_path / "s" / "audio" / "mic-0-0003.flac").unlink()
    replayed = bundle_messages(tmp_path / "s", 0)
    assert sum(1 for _ in itertools.islice(replayed, 300)) == 300
    with pytest.raises(SessionError, match=r"mic-0-0003\.flac.*recover"):
        list(replayed)
