"""A bundle from a stranger is data: whatever it says, it costs little, leads nowhere, and is refused in one line."""

import hashlib
import os
import shutil
import tracemalloc
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bundles import SECOND, conversation, record, sound
from examples import event, hello, session_end
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.asr.transcript_file import read_cues
from erc_live.streams import bundle_limits, journal, segments
from erc_live.streams.bundle_losses import missing
from erc_live.streams.errors import SessionError, StreamError
from erc_live.streams.jpeg import jpeg_size
from erc_live.streams.media import encode_flac, encode_mkv
from erc_live.streams.messages import Gap, VideoFrame
from erc_live.streams.recovery import recover, verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import open_session

NESTED = b"[" * 100_000 + b"]" * 100_000
GAP = Gap(source="mic-0", t_start_ns=8 * SECOND, t_end_ns=9 * SECOND, lost=2, cause="bus")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "s"
    record(folder, [hello(), *conversation(9), event(0), GAP, session_end()])
    return folder


@pytest.fixture
def bundle(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "s")
    return tmp_path / "s"


def use(path: Path) -> None:
    """All that is done with a bundle."""
    for step in (verify, open_session, play, read_cues, missing, recover, verify, missing, play):
        with suppress(StreamError):
            step(path)


def play(path: Path) -> int:
    return sum(1 for _ in bundle_messages(path, 0))


def refused(path: Path, step=play) -> str:
    with pytest.raises(SessionError) as caught:
        step(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def put_segment(bundle: Path, data: bytes, **fields: object) -> None:
    """One segment of these bytes, as a recorder would have listed it, but for the fields."""
    (bundle / "audio" / "mic-0-0001.flac").write_bytes(data)
    line = {"type": "AudioSegment", "source": "mic-0", "file": "audio/mic-0-0001.flac", "runs": [[0, 512, 10]]}
    line |= {"sha256": hashlib.sha256(data).hexdigest()} | fields
    (bundle / "timing.jsonl").write_bytes(msgspec.json.encode(line) + b"\n")


def put_pictures(bundle: Path, jpeg: bytes) -> None:
    data = encode_mkv([VideoFrame(source="c", t_ns=0, width_px=64, height_px=48, jpeg=jpeg)])
    (bundle / "video" / "camera-0-0001.mkv").write_bytes(data)
    line = {"type": "VideoSegment", "source": "camera-0", "file": "video/camera-0-0001.mkv", "times_ns": [0]}
    line |= {"sha256": hashlib.sha256(data).hexdigest(), "width_px": 64, "height_px": 48}
    (bundle / "timing.jsonl").write_bytes(msgspec.json.encode(line) + b"\n")


@pytest.mark.parametrize("name", ["session.json", "timing.jsonl", "events.jsonl", "features.jsonl", "faults.jsonl"])
@pytest.mark.parametrize("content", [NESTED, b'{"type":"Gap","x":' + NESTED + b"}", b'{"schema":' + NESTED + b"}"])
def test_nesting_without_end(bundle, name, content):
    (bundle / name).write_bytes(content + b"\n")
    refused(bundle)
    use(bundle)


def test_nesting_in_what_anything_may_stand_in(bundle):
    manifest = (bundle / "session.json").read_bytes()
    (bundle / "session.json").write_bytes(manifest.replace(b'"config": {', b'"config": {"x": ' + NESTED + b", "))
    refused(bundle)
    (bundle / "session.json").write_bytes(manifest)
    (bundle / "checksums.json").write_bytes(NESTED)
    assert "session.json: not part of the session" in verify(bundle)


@pytest.mark.parametrize("name", ["session.json", "timing.jsonl", "events.jsonl", "checksums.json"])
def test_files_without_end(bundle, name):
    os.truncate(bundle / name, 1 << 42)  # holes take no room
    assert verify(bundle) if name != "session.json" else refused(bundle)
    use(bundle)


def test_a_line_without_end_is_not_kept_in_memory(bundle):
    with (bundle / "events.jsonl").open("ab") as file:
        file.write(b"x" * (40 * bundle_limits.LINE_BYTES) + b"\n")
    tracemalloc.start()
    contents = journal.read_log(bundle / "events.jsonl", len)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (contents.bad, contents.torn) == ((4,), False)
    assert peak < 8 * bundle_limits.LINE_BYTES


def test_a_segment_is_read_as_a_stream_and_no_further_than_it_should_reach(bundle, monkeypatch):
    put_segment(bundle, encode_flac(np.zeros(16_000 * 600, np.int16)))
    pieces, decode = [0], segments.decode_flac

    def counted(file):
        for piece in decode(file):
            pieces[0] += 1
            yield piece

    monkeypatch.setattr(segments, "decode_flac", counted)
    tracemalloc.start()
    assert "more samples than were recorded" in refused(bundle)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pieces[0] <= 6
    assert peak < 2_000_000  # it is 19 MB of samples


@pytest.mark.parametrize(
    "runs",
    [
        [[0, 512, 200_000]],
        [[0, 16_000 * 3600 * 20, 1]],
        [[0, 0, 1_000_000_000_000]],
        [[0, 512, 0]],
        [[10**18 * 5, 512, 1]],
        [[10**30, 512, 1]],
        [[0, 10**30, 1]],
    ],
)
def test_twenty_hours_in_one_segment(bundle, runs):
    put_segment(bundle, encode_flac(np.zeros(5120, np.int16)), runs=runs)
    assert "line 1 is damaged" in refused(bundle, open_session)
    use(bundle)


def test_one_file_for_a_million_segments(bundle):
    put_segment(bundle, encode_flac(np.zeros(5120, np.int16)))
    line = (bundle / "timing.jsonl").read_bytes()
    (bundle / "timing.jsonl").write_bytes(line * 3)
    assert "names a file twice" in refused(bundle)
    assert "timing.jsonl: line 2 is damaged" in verify(bundle)
    recover(bundle)
    assert play(bundle) == 12  # with a gap and the end


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"RIFF\x24\x10\x00\x00WAVEfmt ",
        encode_mkv([VideoFrame(source="c", t_ns=0, width_px=64, height_px=48, jpeg=b"\xff\xd8\xff\xd9")]),
        b"",
    ],
)
def test_a_segment_in_another_format_opens_nothing(bundle, data):
    put_segment(bundle, data)
    assert "not a FLAC segment" in refused(bundle)
    use(bundle)


def test_more_sources_than_there_can_be_processes(tmp_path):
    record(tmp_path / "s", [sound(f"mic-{n}", 0, 512) for n in range(bundle_limits.SOURCES + 1)])
    assert "more than 64 sources" in refused(tmp_path / "s")


def test_a_picture_as_large_as_a_house(bundle):
    house = b"\xff\xd8\xff\xe0\x00\x04ab??\xff\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(9) + b"\xff\xd9"
    assert jpeg_size(house) == (65535, 65535)
    put_pictures(bundle, house)
    assert "65535 times 65535" in refused(bundle)


@given(st.binary(max_size=60))
def test_the_size_of_no_picture(data):
    assert jpeg_size(b"RIFF" + data) is None
    assert jpeg_size(b"\xff\xd8" + data) is None or b"\xff" in data


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "device"])
@pytest.mark.parametrize("name", ["session.json", "events.jsonl", "audio/mic-0-0001.flac", "checksums.json"])
def test_what_is_no_file(bundle, tmp_path, kind, name):
    (tmp_path / "secret").write_text("{}")
    (bundle / name).unlink()
    match kind:
        case "fifo":
            os.mkfifo(bundle / name)
        case "link":
            (bundle / name).symlink_to(tmp_path / "secret")
        case "folder":
            (bundle / name).mkdir()
        case "device":
            (bundle / name).symlink_to("/dev/zero")
    use(bundle)
    assert (tmp_path / "secret").read_text() == "{}"


def test_a_folder_that_is_a_link_to_another_place(bundle, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.flac").write_bytes(b"mine")
    shutil.rmtree(bundle / "audio")
    (bundle / "audio").symlink_to(tmp_path / "elsewhere")
    for step in (verify, recover, play):
        assert "a link to another place" in refused(bundle, step)
    assert (tmp_path / "elsewhere" / "mine.flac").read_bytes() == b"mine"


def test_numbers_beyond_all_bounds(bundle):
    faults = (bundle / "faults.jsonl").read_bytes()
    for number in (b"9" * 30, b"9223372036854775807"):
        (bundle / "faults.jsonl").write_bytes(faults.replace(b"8000000000", number))
        refused(bundle)
        use(bundle)


FILES = (
    "session.json", "timing.jsonl", "events.jsonl", "faults.jsonl", "checksums.json", "audio/mic-0-0001.flac",
    "video/camera-0-0001.mkv",
)  # fmt: skip
PIECES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"null", b"-1", b"1e999", b"99999999999999999999999", b'"', b"\\ud800", b"\xff\xfe", b"[[", b"\n"]
    ),
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), PIECES), min_size=1, max_size=4)


@settings(max_examples=150)
@given(st.sampled_from(FILES), EDITS, st.booleans())
def test_no_mutated_bundle_is_a_bug(tmp_path_factory, whole, name, edits, listed):
    """`listed`: its digest is right."""
    folder = tmp_path_factory.mktemp("mutated") / "s"
    shutil.copytree(whole, folder)
    data = before = (folder / name).read_bytes()
    for where, length, piece in edits:
        at = int(where * len(data))
        data = data[:at] + piece + data[at + length :]
    (folder / name).write_bytes(data)
    for log in ("timing.jsonl", "checksums.json") if listed else ():
        digests = [hashlib.sha256(content).hexdigest().encode() for content in (before, data)]
        (folder / log).write_bytes((folder / log).read_bytes().replace(*digests))
    use(folder)
    with suppress(SessionError):
        recover(folder)
        assert verify(folder) == []
