"""A recorder that takes the place of a dead one makes of the bundle what it would have been without the death."""

import contextlib
import functools
import os
import shutil
from pathlib import Path

import pytest
from bundles import SECOND, conversation, die, manifest, record, tracks
from examples import event, hello, messages, same, session_end
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.streams import journal
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import AudioChunk, Gap, Relabel, SourceEnd, UtteranceFeatures, VideoFrame
from erc_live.streams.record import Recorder
from erc_live.streams.recovery import verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import LOGS, open_session

GAP = Gap(source="mic-0", t_start_ns=8 * SECOND, t_end_ns=9 * SECOND, lost=2, cause="bus")


@functools.cache
def script() -> list[object]:
    out: list[object] = [hello()]
    for message in conversation(20):
        out.append(message)
        if isinstance(message, VideoFrame) and message.t_ns % SECOND == 0:
            number = message.t_ns // SECOND
            out.append(event(number))
            if number % 5 == 0:
                out += [GAP, GAP, event(number)]  # a gap that two tell, and an event that is said twice
    ends = [SourceEnd(source=s, t_ns=30 * SECOND, reason="stopped") for s in ("mic-0", "camera-0", "perception")]
    return [*out, *ends, session_end()]


def content(path: Path) -> tuple[list[object], ...]:
    media = list(bundle_messages(path, open_session(path).t_first_ns))
    return *logs(path), media


def logs(path: Path) -> tuple[list[object], ...]:
    session = open_session(path)
    return [*session.events], [*session.gaps], [*session.features], [*session.ends]


def equal(one: tuple[list[object], ...], other: tuple[list[object], ...]) -> bool:
    return all(len(a) == len(b) and all(map(same, a, b)) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "s"
    record(folder, script())
    return folder


@pytest.fixture(scope="module")
def instants(tmp_path_factory) -> list[Path]:
    """The bundle as it was on the disk before and after each sync: what a kill at any instant leaves."""
    folder, copies = tmp_path_factory.mktemp("whole") / "s", tmp_path_factory.mktemp("instants")
    left: list[Path] = []

    def copy() -> None:
        left.append(copies / str(len(left)))
        shutil.copytree(folder, left[-1])

    def fsync(descriptor: int) -> None:
        copy()
        os.fdatasync(descriptor)
        copy()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.os, "fsync", fsync)
        record(folder, script())
    return left


TORN = (b"", b"{", b'{"type": "Emo')
LENGTH = len(script())


@settings(max_examples=60)
@given(
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(TORN),
    st.integers(0, 3),
    st.lists(st.integers(0, LENGTH), max_size=2),
)
def test_a_kill_at_any_instant_leaves_no_trace(tmp_path_factory, instants, whole, when, torn, log, kills):
    folder = tmp_path_factory.mktemp("killed") / "s"
    shutil.copytree(instants[int(when * len(instants))], folder)
    if (folder / LOGS[log]).exists() and not (folder / "checksums.json").exists():
        with (folder / LOGS[log]).open("ab") as file:
            file.write(torn)
    for said in [*kills, LENGTH]:  # all is said once more, by and by
        recorder = begin(folder)
        if recorder is None:
            break
        for message in script()[:said]:
            recorder.write(message)
        die(recorder)
    else:
        Recorder.resume(folder).close()
    assert verify(folder) == []
    assert equal(content(folder), content(whole))


def begin(folder: Path) -> Recorder | None:
    """As `live/session/recording.py`; None of a bundle that was closed."""
    if not (folder / "session.json").exists():
        return Recorder(folder, manifest())
    with contextlib.suppress(SessionError):
        return Recorder.resume(folder)
    assert open_session(folder).manifest.closed
    return None


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["audio", "video"]).flatmap(tracks), min_size=1, max_size=3), st.data())
def test_holes_and_clocks_that_were_set_back_are_no_doubles(tmp_path_factory, streams, data):
    streams = list({stream[0].source: stream for stream in streams}.values())
    sent = [message for stream in streams for message in stream]
    times = [(m.source, m.t_ns) for m in sent if not isinstance(m, SourceEnd)]
    if len(set(times)) < len(times):
        return  # two pictures of one instant are one
    killed = data.draw(st.integers(0, len(sent)))
    base = tmp_path_factory.mktemp("bundle")
    record(base / "whole", sent)
    recorder = Recorder(base / "s", manifest())
    for message in sent[:killed]:
        recorder.write(message)
    die(recorder)
    with Recorder.resume(base / "s") as recorder:
        for message in sent:
            recorder.write(message)
    assert verify(base / "s") == []
    assert equal(content(base / "s"), content(base / "whole"))


@given(
    st.lists(messages(UtteranceFeatures), max_size=3),
    st.lists(messages(Gap), max_size=3),
    st.lists(messages(Relabel), max_size=3),
    st.data(),
)
@settings(max_examples=25)
def test_messages_of_all_kinds_are_known_again(tmp_path_factory, features, gaps, relabels, data):
    said = data.draw(st.permutations([*features, *gaps, *relabels]))
    killed = data.draw(st.integers(0, len(said)))
    base = tmp_path_factory.mktemp("bundle")
    record(base / "whole", said)
    recorder = Recorder(base / "s", manifest())
    for message in said[:killed]:
        recorder.write(message)
    die(recorder)
    with Recorder.resume(base / "s") as recorder:
        for message in said:
            recorder.write(message)
    assert equal(logs(base / "s"), logs(base / "whole"))


def test_a_recorder_knows_what_is_there(tmp_path):
    recorder = Recorder(tmp_path / "s", manifest())
    assert (recorder.stored.until_ns, dict(recorder.stored.lines)) == ({}, {})
    chunks = [m for m in conversation(20) if isinstance(m, AudioChunk)]
    for message in [hello(), *chunks, event(1), GAP, GAP]:
        recorder.write(message)
    until_ns = recorder.until_ns["mic-0"]
    on_disk = [chunk for chunk in chunks if chunk.t_end_ns <= until_ns]
    assert 500 <= len(on_disk) < len(chunks)
    die(recorder)
    recorder = Recorder.resume(tmp_path / "s")
    assert recorder.until_ns == recorder.stored.until_ns == {"mic-0": until_ns}
    assert recorder.stored.lines == {"events.jsonl": 2, "faults.jsonl": 1}
    for message in chunks[400:]:
        recorder.write(message)
    recorder.write(SourceEnd(source="mic-0", t_ns=40 * SECOND, reason="stopped"))
    assert recorder.until_ns == {"mic-0": chunks[-1].t_end_ns}
    recorder.close()
    names = [segment.file for segment in open_session(tmp_path / "s").segments]
    assert names == [f"audio/mic-0-000{n}.flac" for n in range(1, len(names) + 1)]


def test_the_end_of_a_source_is_kept_though_its_sound_comes_later(tmp_path):
    end = SourceEnd(source="mic-0", t_ns=40 * SECOND, reason="stopped")
    record(tmp_path / "s", [end, *conversation(1), SourceEnd(source="perception", t_ns=0, reason="stopped")])
    assert open_session(tmp_path / "s").ends == (end,)


def test_a_closed_bundle_is_not_gone_on_with(tmp_path):
    record(tmp_path / "s", script())
    with pytest.raises(SessionError, match="has ended"):
        Recorder.resume(tmp_path / "s")
    assert verify(tmp_path / "s") == []


def test_large_pictures_make_short_segments(tmp_path, monkeypatch):
    monkeypatch.setattr("erc_live.streams.record._SEGMENT_BYTES", 100)
    record(tmp_path / "s", conversation(1))
    assert sum(segment.source == "camera-0" for segment in open_session(tmp_path / "s").segments) == 2
    assert verify(tmp_path / "s") == []
