"""The log in a folder: what was appended is there, whatever is cut off behind it; what cannot be written is said."""

import errno
import os
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.streams.errors import SessionError
from erc_live.streams.segmented_log import FileLog

RECORDS = st.lists(st.binary(max_size=60).filter(lambda data: b"\n" not in data), max_size=12)


@settings(max_examples=20)
@given(records=RECORDS, data=st.data())
def test_a_crash_leaves_a_beginning_of_what_was_written(tmp_path_factory, records, data):
    folder = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        with closing(FileLog(folder, segment=100)) as log:
            offsets = [log.append(record)[0] for record in records]
            assert [log.read(offset, len(r)) for offset, r in zip(offsets, records, strict=True)] == records
        last = max(folder.glob("*.log"))
        os.truncate(last, data.draw(st.integers(0, last.stat().st_size)))
        with closing(FileLog(folder, segment=100)) as log:
            left = list(log.records())
            assert [one.data for one in left] == records[: len(left)]
            assert [one.offset for one in left] == offsets[: len(left)]
            (offset,) = log.append(b"more")
            assert list(log.records())[-1] == (offset, b"more")


def test_several_records_are_one_write(tmp_path, monkeypatch):
    synced = []
    with closing(FileLog(tmp_path)) as log:
        monkeypatch.setattr(os, "fsync", synced.append)
        first, second = log.append(b"one", b"two")
        assert (log.read(first, 3), log.read(second, 3)) == (b"one", b"two")
    assert len(synced) == 1


def test_a_full_disk_is_said_and_nothing_is_there(tmp_path, monkeypatch):
    with closing(FileLog(tmp_path)) as log:
        log.append(b"one")

        def full(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SessionError, match="make room, and start again with the same folder"):
            log.append(b"two")
        monkeypatch.undo()
        assert [record.data for record in log.records()] == [b"one"]


def test_one_process_has_it(tmp_path):
    with closing(FileLog(tmp_path)), pytest.raises(SessionError, match="another command"):
        FileLog(tmp_path)
