"""Where logs lie: who has a place, what is beside a log, and what belongs to it, in a folder as on a NATS server."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from nats_server import NatsServer, nats_server

from erc_live.live.serving.log_place import LogPlace, log_place
from erc_live.streams.errors import SessionError

fresh = (f"served-{number}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as one:
        yield one


@pytest.fixture(params=["folder", "stream"])
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], LogPlace]:
    if request.param == "folder":
        return lambda: log_place(str(tmp_path / "served"))
    url = request.getfixturevalue("server").url(next(fresh))
    return lambda: log_place(url)


def test_one_server_has_it_at_a_time(somewhere):
    with closing(somewhere()) as other:
        with closing(somewhere()) as place:
            assert not place.taken()
            with closing(place.open()) as log:
                log.append(b"one")
                assert other.taken()
                with pytest.raises(SessionError, match="another"):
                    other.open()
        assert not other.taken()
        with closing(other.open()) as log:
            assert [record.data for record in log.records()] == [b"one"]


def test_a_label_stays_as_it_was_when_the_log_was_new(somewhere):
    with closing(somewhere()) as place, closing(place.open()):
        assert place.labelled("first", new=True) == "first"
    with closing(somewhere()) as place, closing(place.open()):
        assert place.labelled("second", new=False) == "first"


def test_beside_the_log_are_others_and_nothing_of_a_scratch(somewhere):
    with closing(somewhere()) as place, closing(place.open()) as log, closing(place.open("dead-letters")) as letters:
        with place.scratch() as scratch:
            scratch.append(b"to see how fast it is")
        letters.append(b"why")
        assert (log.end, [record.data for record in letters.records()]) == (0, [b"why"])
        with place.scratch() as scratch:
            assert scratch.end == 0
