"""One request at a time, the effort of the moment, and errors that are heard."""

from concurrent.futures import Executor, Future
from dataclasses import replace

import pytest
from fakes import answer
from test_agenda import DRAFT, EARLY, FINAL, LONGER

from erc_live.live.perception.load_shedding import FULL, LATE_S, Effort
from erc_live.live.perception.scheduler import Desk


class Slow(Executor):
    """Does what it was given when it is told to."""

    def __init__(self):
        self.given = []

    def submit(self, call, *args):
        self.given.append((call, args, Future()))
        return self.given[-1][2]

    def work(self):
        call, args, future = self.given[-1]
        try:
            future.set_result(call(*args))
        except Exception as error:
            future.set_exception(error)


def test_one_thing_at_a_time_and_a_guess_that_was_right_is_not_asked_again():
    executor = Slow()
    desk = Desk(executor, lambda request, effort: answer(request), lambda: FULL)
    desk.take([EARLY])
    desk.take([FINAL])
    assert desk.busy
    assert desk.answers() == []
    executor.work()
    assert [a.request for a in desk.answers()] == [FINAL]
    assert not desk.busy
    assert len(executor.given) == 1


def test_a_guess_that_is_ready_answers_at_once():
    executor = Slow()
    desk = Desk(executor, lambda request, effort: answer(request), lambda: FULL)
    desk.take([EARLY])
    executor.work()
    assert desk.answers() == []
    desk.take([FINAL])
    assert [a.request for a in desk.answers()] == [FINAL]


def test_the_effort_is_that_of_the_moment_and_thins_out_drafts():
    executor, effort = Slow(), Effort(draft_every=2)
    desk = Desk(executor, lambda request, given: answer(request), lambda: effort)
    desk.take([LONGER])
    assert not desk.busy
    desk.take([DRAFT])
    assert executor.given[0][1] == (DRAFT, effort)


def test_words_are_left_out_only_of_what_has_waited_too_long():
    executor, speechless = Slow(), Effort(words=False)
    desk = Desk(executor, lambda request, effort: answer(request), lambda: speechless)
    first, second, third = (replace(FINAL, utterance=name, source=name) for name in "abc")
    desk.take([first, second], 0)
    late_ns = int(LATE_S * 1e9)
    desk.take([third], 1)
    for _ in range(2):
        executor.work()
        desk.answers(late_ns)
    assert [args[1].words for _, args, _ in executor.given] == [True, False, True]


def test_an_error_of_an_engine_is_raised_where_the_answer_is_asked_for():
    executor = Slow()
    desk = Desk(executor, lambda request, effort: 1 / 0, lambda: FULL)
    desk.take([FINAL])
    executor.work()
    with pytest.raises(ZeroDivisionError):
        desk.answers()
