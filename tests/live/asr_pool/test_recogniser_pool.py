"""Who is given what, and what becomes of it, in virtual time and without a process."""

from itertools import pairwise

import pytest
from fake_recognisers import FakePool

from erc_live.live.asr_pool.recogniser_pool import HUNG_S, LOSSES
from erc_live.live.asr_pool.request_queue import MOST, OWN, PARTIAL_S
from erc_live.live.errors import EngineError, WorkerError
from erc_live.streams.recognition_channel import AskedRecognition


def test_the_oldest_is_next_and_final_utterances_go_before_provisional_ones():
    pool = FakePool()
    for number, partial in ((1, False), (2, True), (3, False), (4, False)):
        assert pool.ask(number, partial=partial) is None
    order = []
    pool.advance()
    while pool.core.pending:
        order += pool.answered(0)
    assert order == [(1, "done"), (3, "done"), (4, "done"), (2, "done")]


def test_words_go_to_who_asked_with_the_name_of_the_recogniser():
    pool = FakePool(2, 2)
    pool.ask(1, b"one")
    pool.ask(1, b"other")
    pool.advance()
    pool.recognisers[1].answer()
    (answer,) = pool.core.advance(pool.now_s)
    assert (answer.sender, answer.words, answer.reply.name) == (b"other", b"words of 1", "whisper")


def test_what_waits_is_known_and_asked_for_twice_it_is_done_once():
    pool = FakePool()
    assert pool.ask(1, ask="still").reply.verdict == "unknown"
    assert pool.ask(1) is None
    assert pool.ask(1).reply.verdict == "waiting"
    pool.advance()
    assert pool.ask(1, ask="still").reply.verdict == "waiting"
    assert pool.answered(0) == [(1, "done")]
    assert pool.ask(1, ask="still").reply.verdict == "unknown"


def test_a_provisional_one_that_waits_too_long_is_dropped_and_so_is_what_nobody_waits_for():
    pool = FakePool()
    pool.ask(1)
    pool.advance()
    pool.ask(2, partial=True)
    pool.ask(3, within_s=5.0)
    pool.ask(4)
    assert pool.advance(PARTIAL_S) == [(2, "dropped")]
    assert pool.advance(5.0) == [(3, "dropped")]
    assert pool.answered(0) == [(1, "done")], "what has been begun is finished"
    assert pool.answered(0) == [(4, "done")]
    assert pool.core.counts == {"done": 2, "dropped": 2}


def test_a_full_queue_refuses_at_once_and_one_sender_does_not_fill_it():
    pool = FakePool()
    own = [pool.ask(number) for number in range(OWN + 1)]
    assert [answer.reply.verdict for answer in own if answer] == ["refused"]
    others = [pool.ask(0, str(sender).encode()) for sender in range(MOST - OWN + 1)]
    assert [answer.reply.why for answer in others if answer] == [f"{MOST} utterances wait already: try later"]
    assert pool.ask(0, b"provisional", partial=True) is None, "these have a limit of their own"


def test_what_is_no_request_is_refused_and_counted():
    pool = FakePool()
    answer = pool.core.take(AskedRecognition(b"a", None, refusal="is no request"), 0.0)
    assert (answer.reply.verdict, answer.reply.why) == ("unreadable", "is no request")
    assert pool.core.counts == {"unreadable": 1}


def test_who_asks_while_it_loads_is_told_to_wait():
    pool = FakePool(loaded=False)
    assert pool.ask(1, ask="who").reply.verdict == "waiting"
    pool.load()
    reply = pool.ask(1, ask="who").reply
    assert (reply.verdict, reply.name) == ("here", "whisper")


def test_what_a_recogniser_died_of_is_given_to_another_one_once():
    pool = FakePool(2, 2)
    pool.ask(1)
    pool.ask(2)
    pool.advance()
    pool.recognisers[0].die()
    assert pool.advance() == []
    assert pool.answered(1) == [(2, "done")]
    assert pool.recognisers[1].sound == b"1", "before what came later"
    assert len(pool.recognisers) == 3, "and another one is started"
    pool.load()
    pool.recognisers[1].die()
    ((_, verdict),) = pool.advance()
    assert verdict == "failed"
    assert pool.core.counts == {"done": 1, "failed": 1, "lost": 2}
    assert pool.recognisers[0].killed


def test_one_that_dies_idle_costs_nothing():
    pool = FakePool()
    for _ in range(3):
        pool.recognisers[-1].alive = False
        pool.advance()
        pool.load()
    pool.ask(1)
    pool.advance()
    assert pool.answered(-1) == [(1, "done")]
    assert pool.core.counts == {"done": 1, "lost": 3}


def test_one_that_hangs_is_killed_and_its_utterance_goes_to_another_one():
    pool = FakePool()
    pool.ask(1)
    pool.advance()
    pool.advance(HUNG_S + 1)
    assert pool.recognisers[0].killed
    pool.load()
    assert pool.answered(1) == [(1, "done")]


def test_what_keeps_the_first_from_loading_ends_the_pool():
    pool = FakePool(loaded=False)
    pool.recognisers[0].loaded.set_exception(EngineError("no weights"))
    with pytest.raises(EngineError, match="no weights"):
        pool.advance()


def test_where_all_die_while_they_load_the_pool_ends_and_does_not_hurry():
    pool = FakePool(loaded=False)
    deaths = []

    def go_on_dying():
        for _ in range(1000):
            newest = pool.recognisers[-1]
            if not newest.loaded.done():
                newest.die(newest.loaded)
                deaths.append(pool.now_s)
            pool.advance(0.5)

    with pytest.raises(WorkerError, match=f"{LOSSES + 1} recognisers in a row"):
        go_on_dying()
    waits = [after - before for before, after in pairwise(deaths)]
    assert waits == sorted(waits)
    assert waits[0] >= 2.0


def test_where_others_work_one_that_does_not_load_is_done_without():
    pool = FakePool(1, 2)
    queue = [pool.ask(number) for number in (1, 2)]
    for _ in range(6):
        pool.advance(0.5)
    assert queue == [None, None]
    assert len(pool.recognisers) == 2
    pool.recognisers[1].loaded.set_exception(EngineError("no memory"))
    pool.advance()
    assert pool.lines[-1] == "lost 1: while it loaded: no memory"
    assert pool.answered(0) == [(1, "done")]


def test_at_the_end_nothing_new_is_taken_and_what_waits_is_done():
    pool = FakePool()
    pool.ask(1)
    pool.core.ending = True
    assert pool.ask(2).reply.why == "the pool is ending"
    pool.advance()
    assert pool.answered(0) == [(1, "done")]
    assert not pool.core.pending
    pool.core.close()
    assert pool.recognisers[0].ended
