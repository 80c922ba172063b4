"""What every log of records promises, wherever it lies; and who owns one on a server that several reach."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats_server import NatsServer, nats_server

from erc_live.streams.errors import AddressError, SessionError
from erc_live.streams.nats_connection import NatsConnection, NatsPlace
from erc_live.streams.nats_log import PART, NatsLog
from erc_live.streams.segmented_log import FileLog, RecordLog

OpenLog = Callable[[str], RecordLog]  # the log of that name; who had it before has it no more
SEGMENT = 100  # bytes
RECORDS = st.lists(st.binary(max_size=60).filter(lambda data: b"\n" not in data), min_size=1, max_size=4)

fresh = (f"log-{number}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as one:
        yield one


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenLog]:
    folder: Path = tmp_path_factory.mktemp("logs")
    logs: dict[str, FileLog] = {}

    def open_log(name: str) -> FileLog:
        if name in logs:
            logs[name].close()
        logs[name] = FileLog(folder / name, SEGMENT)
        return logs[name]

    yield open_log
    for log in logs.values():
        log.close()


@pytest.fixture(scope="module")
def streams(server: NatsServer) -> Iterator[OpenLog]:
    with ExitStack() as stack:

        def open_log(name: str) -> NatsLog:
            connection = NatsConnection(NatsPlace.of(server.url(name)))
            stack.callback(connection.close)
            return NatsLog(connection, name, SEGMENT)

        yield open_log


@pytest.fixture(scope="module", params=["files", "streams"])
def open_log(request: pytest.FixtureRequest) -> OpenLog:
    opened: OpenLog = request.getfixturevalue(request.param)
    return opened


@settings(max_examples=10)
@given(appended=st.lists(RECORDS, max_size=5), data=st.data())
def test_what_was_appended_is_there_for_who_opens_it_next(open_log, appended, data):
    name = next(fresh)
    log = open_log(name)
    assert log.begin == log.end == 0
    written = {}
    for records in appended:
        before = log.end
        offsets = log.append(*records)
        assert before <= offsets[0]
        assert offsets[-1] + len(records[-1]) < log.end
        written |= dict(zip(offsets, records, strict=True))
    assert list(written) == sorted(written)
    for one in (log, open_log(name)):
        assert dict(one.records()) == written
        assert one.end == log.end
        assert one.read_all([(offset, len(record)) for offset, record in written.items()]) == list(written.values())
        for offset, record in written.items():
            start = data.draw(st.integers(0, len(record)))
            assert one.read(offset + start, len(record) - start) == record[start:]


def test_a_long_record_is_one(open_log):
    name = next(fresh)
    log = open_log(name)
    long = bytes(range(11, 256)) * 9000  # 2.2 MB
    offsets = log.append(b"before", long, b"behind")
    for one in (log, open_log(name)):
        assert [record.data for record in one.records()] == [b"before", long, b"behind"]
        assert one.read(offsets[1] + PART - 5, 10) == long[PART - 5 : PART + 5]
        assert one.read(offsets[2], 6) == b"behind"


def test_what_is_forgotten_is_gone_and_offsets_stay(open_log):
    name = next(fresh)
    log = open_log(name)
    offsets = [log.append(b"%40d" % number)[0] for number in range(6)]
    log.forget(offsets[3])
    assert offsets[0] < log.begin <= offsets[3]
    with pytest.raises(SessionError):
        log.read(offsets[0], 20)
    log.forget(log.end)
    log.append(b"more")
    again = open_log(name)
    assert again.end == log.end
    assert again.begin == log.begin
    assert next(again.records()).offset >= log.begin
    assert again.read(offsets[5], 40) == b"%40d" % 5


def test_on_a_server_who_opened_it_last_has_it(streams):
    name = next(fresh)
    old = streams(name)
    old.append(b"one")
    new = streams(name)
    for records in ([b"late"], [b"late", b"later"]):
        with pytest.raises(SessionError, match=f"another server has taken the log {name}"):
            old.append(*records)
    new.append(b"two")
    assert [record.data for record in new.records()] == [b"one", b"two"]
    assert [record.data for record in streams(name).records()] == [b"one", b"two"]


def test_a_server_that_is_gone_is_said_and_what_was_acknowledged_stays(tmp_path):
    with nats_server(tmp_path) as server:
        connection = NatsConnection(NatsPlace.of(server.url("served")))
        log = NatsLog(connection, "served")
        log.append(b"one")
        log.check()
        server.stop()
        with pytest.raises(SessionError, match="see to the NATS server, and start again"):
            log.append(b"two")
        with pytest.raises(SessionError, match="the connection to the NATS server is lost"):
            log.check()
        connection.close()
        with pytest.raises(SessionError, match="see to the NATS server"):
            NatsConnection(NatsPlace.of(server.url("served")))
        server.start()
        connection = NatsConnection(NatsPlace.of(server.url("served")))
        assert [record.data for record in NatsLog(connection, "served").records()] == [b"one"]
        connection.close()


def test_of_what_a_full_stream_does_not_take_nothing_is_there(server):
    connection = NatsConnection(NatsPlace.of(server.url("full")))
    log = NatsLog(connection, "full")
    config = connection.call(connection.streams.stream_info("full")).config
    connection.call(connection.streams.update_stream(replace(config, max_bytes=5000)))
    with pytest.raises(SessionError, match="maximum bytes exceeded: see to the NATS server"):
        log.append(*[b"a" * 3000] * 3)
    log.append(b"small")
    assert [record.data for record in log.records()] == [b"small"]
    connection.close()


def test_without_the_client_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "nats.errors", None)
    with pytest.raises(SessionError, match=r"pip install 'erc-live\[nats\]'"):
        NatsConnection(NatsPlace.of("nats://127.0.0.1:4222/served"))


def test_a_stream_that_forgets_by_itself_is_refused(server):
    connection = NatsConnection(NatsPlace.of(server.url("other")))
    connection.call(connection.streams.add_stream(name="other", subjects=["other"]))
    with pytest.raises(SessionError, match="the stream other must have allow_atomic"):
        NatsLog(connection, "other")
    connection.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nats://127.0.0.1:4222", "is not the place of a log"),
        ("nats://127.0.0.1:4222/a.b", "is not the place of a log"),
        ("http://127.0.0.1:4222/served", "is not the place of a log"),
        ("nats://me:secret@192.0.2.7:4222/served", "nats://192.0.2.7:4222/served: what people say would be sent"),
    ],
)
def test_a_place_that_cannot_be_is_refused(url, why):
    with pytest.raises(AddressError, match=why):
        NatsPlace.of(url)


def test_a_password_is_shown_to_nobody():
    assert str(NatsPlace.of("tls://me:secret@192.0.2.7:4222/served")) == "tls://192.0.2.7:4222/served"
