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


def test_who_was_succeeded_appends_nothing(tmp_path):
    with closing(FileLog(tmp_path)) as older:
        older.append(b"one")
        with closing(FileLog(tmp_path, seize=True)) as newer:
            with pytest.raises(SessionError, match=r"another process has taken it over \(epoch 2, this one is of 1\)"):
                older.append(b"never")
            newer.append(b"two")
            assert [record.data for record in newer.records()] == [b"one", b"two"]
    with closing(FileLog(tmp_path)) as log:
        assert [record.data for record in log.records()] == [b"one", b"two"]


@settings(max_examples=30)
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["append", "hang", "succeed"])), max_size=20))
def test_whatever_owners_do_the_log_is_what_was_acknowledged_in_order(tmp_path_factory, steps):
    """Owners append, are succeeded by others, and those that were succeeded wake up within an append."""
    folder = tmp_path_factory.mktemp("log")
    owners, acknowledged = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        owners.append(FileLog(folder, segment=60, seize=True))
        for number, (who, what) in enumerate(steps):
            owner, data = owners[-1 - who % len(owners)], b"%20d" % number
            if what == "succeed":
                owners.append(FileLog(folder, segment=60, seize=True))
                continue
            check = owner._owner.check
            looks = iter([(lambda: None) if what == "hang" else check])  # it looked before the other one came
            patch.setattr(owner._owner, "check", lambda looks=looks, check=check: next(looks, check)())
            try:
                owner.append(data)
                acknowledged.append(data)
            except SessionError:
                assert owner is not owners[-1]
            patch.setattr(owner._owner, "check", check)
        owners.append(FileLog(folder, segment=60, seize=True))
        assert [record.data for record in owners[-1].records()] == acknowledged
        for owner in owners:
            owner.close()
