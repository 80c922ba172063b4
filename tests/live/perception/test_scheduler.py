"""One thing at a time, the right one first, nothing that was closed lost or done twice, and errors that are raised."""

from concurrent.futures import Executor, Future
from dataclasses import replace

import pytest
from fakes import answer, chunks, speech
from hypothesis import given
from hypothesis import strategies as st
from listening import TALK, asked, endpointer

from erc_live.live.perception.load_shedding import FULL, LATE_S, Budget
from erc_live.live.perception.scheduler import Scheduler
from erc_live.live.requests import RequestKind


def requests(pcm=TALK, source="mic-0"):
    return asked(endpointer(source), chunks(source, pcm))


SPECULATIVE, FINAL = (
    next(r for r in requests() if r.kind == kind) for kind in (RequestKind.SPECULATIVE, RequestKind.FINAL)
)
PARTIAL, LONGER = [r for r in requests(speech((True, 60), (False, 20))) if r.kind == RequestKind.PARTIAL][:2]
LATER = [r for r in requests() if r.kind == RequestKind.FINAL][1]


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

    @property
    def taken(self):
        """The requests that were begun, in order."""
        return [args[0] for _, args, _ in self.given]


def scheduler(executor, analyse=lambda request, budget: answer(request), budget=lambda: FULL):
    return Scheduler(executor, analyse, budget)


def work_off(executor, core):
    """Everything that is answered until nothing is left to do."""
    answered = []
    while core.busy:
        executor.work()
        answered += core.answers()
    return answered


def test_closed_utterances_come_before_speculative_ones_and_these_before_partial_ones():
    executor, other = Slow(), requests(source="mic-1")
    core = scheduler(executor)
    core.take([FINAL])  # is being worked on while the others come
    core.take([replace(PARTIAL, source="mic-2"), *[r for r in other if r.kind != RequestKind.PARTIAL]])
    work_off(executor, core)
    finals = [r for r in other if r.kind == RequestKind.FINAL]
    assert executor.taken == [FINAL, *finals, replace(PARTIAL, source="mic-2")]


def test_one_thing_at_a_time_and_a_guess_that_is_being_worked_on_becomes_the_answer():
    executor = Slow()
    core = scheduler(executor)
    core.take([SPECULATIVE])
    core.take([FINAL])
    assert core.busy
    assert core.answers() == []
    executor.work()
    assert [a.request for a in core.answers()] == [FINAL]
    assert not core.busy
    assert executor.taken == [SPECULATIVE]


def test_a_guess_that_was_right_answers_at_once():
    executor = Slow()
    core = scheduler(executor, lambda request, budget: answer(request, "hello"))
    core.take([SPECULATIVE])
    executor.work()
    assert core.answers() == []
    core.take([FINAL])
    (reply,) = core.answers()
    assert (reply.request, reply.parts[0].transcript.text) == (FINAL, "hello")
    assert executor.taken == [SPECULATIVE]


def test_a_guess_that_was_wrong_is_dropped():
    executor = Slow()
    core = scheduler(executor)
    core.take([SPECULATIVE])
    executor.work()
    core.answers()
    core.take([LATER])
    assert executor.taken == [SPECULATIVE, LATER]


def test_of_partial_requests_only_the_newest_is_worked_on_and_none_once_the_utterance_has_ended():
    executor = Slow()
    core = scheduler(executor)
    core.take([PARTIAL, LONGER])
    core.take([PARTIAL])
    core.take([FINAL])
    assert [a.request for a in work_off(executor, core)] == [LONGER, FINAL]


def test_the_budget_is_that_of_the_moment_and_thins_out_partial_requests():
    executor, budget = Slow(), Budget(partial_every=2)
    core = scheduler(executor, budget=lambda: budget)
    core.take([LONGER])
    assert not core.busy
    core.take([PARTIAL])
    assert executor.given[0][1] == (PARTIAL, budget)


def test_words_are_left_out_only_of_what_has_waited_too_long():
    executor, speechless = Slow(), Budget(words=False)
    core = scheduler(executor, budget=lambda: speechless)
    first, second, third = (replace(FINAL, utterance=name, source=name) for name in "abc")
    core.take([first, second], 0)
    late_ns = int(LATE_S * 1e9)
    core.take([third], 1)
    for _ in range(2):
        executor.work()
        core.answers(late_ns)
    assert [args[1].words for _, args, _ in executor.given] == [True, False, True]


def test_an_error_of_an_engine_is_raised_where_the_answer_is_asked_for():
    executor = Slow()
    core = scheduler(executor, lambda request, budget: 1 / 0)
    core.take([FINAL])
    executor.work()
    with pytest.raises(ZeroDivisionError):
        core.answers()


@given(st.lists(st.booleans(), min_size=200, max_size=200))
def test_whoever_is_slow_every_closed_utterance_is_answered_once(work):
    executor, answered = Slow(), []
    core = scheduler(executor)
    every = sorted(requests() + requests(source="mic-1"), key=lambda r: (r.t_closed_ns, r.source))
    for request, done in zip(every, work, strict=False):
        core.take([request])
        if core.busy and done:
            executor.work()
        answered += core.answers()
    answered += work_off(executor, core)
    finals = [r.utterance for r in every if r.kind == RequestKind.FINAL]
    assert sorted(a.request.utterance for a in answered if a.request.kind == RequestKind.FINAL) == sorted(finals)
