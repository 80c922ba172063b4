"""Appends beside their owner: in order, several at once, and nothing counts before its sync."""

import errno
from contextlib import closing

import pytest
from held_disk import held_disk

from erc_live.streams.errors import SessionError
from erc_live.streams.log_writer import LogWriter
from erc_live.streams.segmented_log import FileLog


@pytest.fixture
def folder(tmp_path):
    with closing(FileLog(tmp_path)) as log:
        log.append(b"before")
    return tmp_path


def stored(folder):
    with closing(FileLog(folder)) as log:
        return [record.data for record in log.records()]


def test_nothing_counts_before_its_sync_and_what_was_put_meanwhile_is_one_append(folder):
    with closing(FileLog(folder)) as log, held_disk() as disk, closing(LogWriter(log)) as writer:
        begin, woken = writer.end, []
        writer.on_stored = lambda: woken.append(log.end)
        (first,) = writer.put(b"one")
        behind = writer.end
        disk.wait()
        second, third = *writer.put(b"two"), *writer.put(b"three")
        assert writer.stored == begin == log.end
        assert first < behind < second < third < writer.end
        disk.let_go()
        writer.wait(behind)
        disk.wait()
        assert (writer.stored, woken) == (behind, [behind])
        disk.let_go()
        writer.wait()
        assert (writer.stored, disk.begun) == (writer.end, 2)
        assert [log.read(first, 3), log.read(second, 3), log.read(third, 5)] == [b"one", b"two", b"three"]
    assert stored(folder) == [b"before", b"one", b"two", b"three"]


def test_after_a_sync_that_fails_it_says_so_and_nothing_is_written(folder):
    with closing(FileLog(folder)) as log, held_disk() as disk, closing(LogWriter(log)) as writer:
        writer.put(b"one")
        disk.wait()
        writer.put(b"two")
        disk.let_go(OSError(errno.ENOSPC, "No space left on device"))
        for refused in (writer.wait, lambda: writer.stored, lambda: writer.put(b"three"), writer.wait):
            with pytest.raises(SessionError, match="make room, and start again with the same folder"):
                refused()
        assert disk.begun == 1
    assert stored(folder) == [b"before"]


def test_who_was_succeeded_within_a_sync_learns_it_and_counts_for_nothing(folder):
    with closing(FileLog(folder, seize=True)) as older, closing(LogWriter(older)) as writer:
        with held_disk() as disk:
            writer.put(b"late")
            disk.wait()
            (folder / "epoch-00000009").touch()  # another owner begins
            disk.let_go()
            with pytest.raises(SessionError, match="another process has taken it over"):
                writer.wait()
        assert writer.end > older.end


def test_at_its_end_the_append_that_is_on_its_way_is_the_last_one(folder):
    with closing(FileLog(folder)) as log, held_disk() as disk:
        writer = LogWriter(log)
        writer.put(b"one")
        disk.wait()
        writer.put(b"never")
        writer._closing = True  # as `close` says before it waits
        disk.let_go()
        writer.close()
    assert stored(folder) == [b"before", b"one"]
