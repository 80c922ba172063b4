"""Who is started again, and when."""

from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.session.restarts import FIRST_S, LATELY_S, LONGEST_S, MOST, Restarts


def test_the_same_exception_twice_within_a_minute_is_the_end():
    assert Restarts().died(0.0, "ValueError: no") == 0.0
    restarts = Restarts()
    restarts.died(0.0, "ValueError: no")
    assert restarts.died(LATELY_S - 1, "ValueError: no") is None
    restarts = Restarts()
    restarts.died(0.0, "ValueError: no")
    assert restarts.died(1.0, "KeyError: other") is not None
    assert restarts.died(LATELY_S + 2, "ValueError: no") is not None  # long ago: another accident


@given(st.lists(st.floats(0.0, 200.0), max_size=40))
def test_being_killed_is_answered_with_patience_that_what_was_long_ago_does_not_cost(waits):
    restarts, now_s, deaths = Restarts(), 0.0, []
    for wait_s in waits:
        now_s += wait_s
        lately = sum(now_s - died_s < LATELY_S for died_s in deaths[-(MOST - 1) :])
        again_s = restarts.died(now_s, "")
        deaths.append(now_s)
        if lately + 1 >= MOST:
            assert again_s is None
        elif not lately:
            assert again_s == 0.0
        else:
            assert again_s is not None
            assert FIRST_S <= again_s <= LONGEST_S
