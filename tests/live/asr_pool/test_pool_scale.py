"""How many recognisers there are, by how long work waits."""

from fake_recognisers import FakePool

from erc_live.live.asr_pool.pool_scale import BUSY_S, LONG_S, QUIET_S


def test_another_one_is_started_where_work_waits_and_one_ends_after_a_quiet_time():
    pool = FakePool(1, 2)
    pool.ask(1)
    pool.advance()
    pool.ask(2)
    pool.advance(LONG_S + 0.1)
    pool.advance(BUSY_S - 0.1)
    assert len(pool.recognisers) == 1, "not for a moment"
    pool.advance(0.2)
    assert len(pool.recognisers) == 2
    pool.load()
    for recogniser in (0, 1):
        pool.answered(recogniser)
    pool.advance(QUIET_S - 1)
    assert not any(recogniser.ended for recogniser in pool.recognisers)
    pool.advance(1.1)
    assert [recogniser.ended for recogniser in pool.recognisers] == [True, False]
    pool.advance(10 * QUIET_S)
    assert pool.core.load(pool.now_s).idle == 1, "the least stay"


def test_no_more_than_the_most_and_one_at_a_time():
    pool = FakePool(1, 3)
    for sender in range(50):
        pool.ask(1, str(sender).encode())
    for _ in range(100):
        pool.advance(0.5)
    assert len(pool.recognisers) == 2, "one that loads may be enough"
    pool.load()
    for _ in range(100):
        pool.advance(0.5)
        pool.load()
    assert len(pool.recognisers) == 3


def test_a_load_that_comes_and_goes_changes_nothing():
    pool = FakePool(1, 4)
    for number in range(200):
        pool.ask(number)
        pool.advance()
        pool.advance(0.8)  # somebody else's would wait for as long, and nobody's does
        pool.answered(0)
        pool.advance(0.2)
    assert len(pool.recognisers) == 1
