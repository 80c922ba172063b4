"""What is gone from a bundle is known of it from then on."""

import os
import re
import shutil
from contextlib import suppress

import pytest
from bundles import SECOND, conversation, record
from examples import event, hello, session_end

from erc_live.streams import journal
from erc_live.streams.bundle_losses import missing
from erc_live.streams.messages import Gap
from erc_live.streams.recovery import recover, verify


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "s"
    record(folder, [hello(), *conversation(20), event(0), event(1), session_end()])
    return folder


@pytest.fixture
def bundle(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "s")
    return tmp_path / "s"


def mended(bundle):
    recover(bundle)
    assert verify(bundle) == []
    assert recover(bundle) == []
    return missing(bundle)


def test_of_a_whole_one_nothing_is_missing(bundle):
    assert missing(bundle) == []


def test_somebody_s_sound(bundle):
    shutil.rmtree(bundle / "audio")
    assert mended(bundle) == ["3 segments (20 s) of mic-0 gone", "nothing of mic-0 there"]


def test_one_segment_that_was_changed(bundle):
    (bundle / "audio" / "mic-0-0002.flac").write_bytes(b"fLaC")
    assert mended(bundle) == ["1 segment (8 s) of mic-0 gone"]
    assert (bundle / "audio" / "mic-0-0002.flac.damaged").exists()


def test_all_that_said_what_there_was(bundle):
    (bundle / "timing.jsonl").unlink()
    assert mended(bundle) == [
        "3 segments (0 s) of camera-0 gone",
        "3 segments (0 s) of mic-0 gone",
        "all of timing.jsonl gone",
        "nothing of mic-0 there",
        "nothing of camera-0 there",
    ]


def test_lines_of_a_log(bundle):
    log = bundle / "events.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"EmotionEvent"', b'"EmotionEvnt"'))
    assert mended(bundle) == ["2 lines of events.jsonl gone"]


def test_a_second_loss_is_added_to_the_first(bundle):
    (bundle / "audio" / "mic-0-0001.flac").unlink()
    mended(bundle)
    (bundle / "video" / "camera-0-0003.mkv").unlink()
    assert mended(bundle) == ["1 segment (3 s) of camera-0 gone", "1 segment (8 s) of mic-0 gone"]


def test_a_torn_line_was_never_there(bundle):
    with (bundle / "events.jsonl").open("ab") as file:
        file.write(b"{")
    assert mended(bundle) == []


def test_a_source_that_never_came(tmp_path):
    record(tmp_path / "s", [m for m in conversation(1) if m.source == "mic-0"])
    assert verify(tmp_path / "s") == []
    assert missing(tmp_path / "s") == ["nothing of camera-0 there"]


def test_what_people_had_taken_out(tmp_path):
    gap = Gap(source="mic-0", t_start_ns=8 * SECOND, t_end_ns=9 * SECOND, lost=0, cause="forgotten")
    record(tmp_path / "s", [*conversation(1), gap])
    assert missing(tmp_path / "s") == ["1 stretch of mic-0 removed at somebody's wish"]


@pytest.mark.parametrize("step", range(12))
def test_whenever_recovery_is_killed_what_is_gone_is_known(bundle, monkeypatch, step):
    (bundle / "audio" / "mic-0-0002.flac").write_bytes(b"fLaC")
    (bundle / "video" / "camera-0-0001.mkv").unlink()
    log = bundle / "faults.jsonl"
    log.write_bytes(b"{}\n" + log.read_bytes())
    left, fsync = [step], os.fsync

    def until(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", until)
        with suppress(KeyboardInterrupt):
            recover(bundle)
    lines = mended(bundle)
    assert {"1 segment (7 s) of camera-0 gone", "1 segment (8 s) of mic-0 gone"} <= {*lines}
    assert any(re.fullmatch(r"\d lines? of faults.jsonl gone", line) for line in lines)
