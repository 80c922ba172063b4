"""The ladder of overload: in order, one step at a time, each told; up while it is too much, down again in the end."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.perception.load_shedding import (
    CALM_S,
    EACH_S,
    EASY_S,
    FIRST_S,
    FULL,
    LATE_S,
    LONGEST_CALM_S,
    Budget,
    LoadShedder,
    levels,
)
from erc_live.streams.messages import Overload

LAST_S = FIRST_S + 10 * EACH_S  # above every bound
TICK_NS = 250_000_000
ladders = st.booleans().map(lambda spare: LoadShedder(levels(spare=spare)))
waits = st.lists(st.floats(0, LAST_S), max_size=300)


def climb(ladder: LoadShedder, waits: Sequence[float], start_ns: int = 0) -> Iterator[Overload | None]:
    for tick, waiting_s in enumerate(waits):
        yield ladder.observe(waiting_s, start_ns + tick * TICK_NS)


def cost(budget: Budget) -> tuple[float, ...]:
    frames = float("inf") if budget.max_frames is None else budget.max_frames
    return (budget.partial_words, frames, -budget.partial_every, -budget.small, budget.words)


@given(st.booleans())
def test_each_step_gives_up_one_thing_more_and_words_go_last(spare: bool) -> None:
    efforts = [FULL, *(step.budget for step in levels(spare=spare))]
    for before, after in itertools.pairwise(efforts):
        changed = [b > a for b, a in zip(cost(before), cost(after), strict=True)]
        assert any(changed)
        assert all(b >= a for b, a in zip(cost(before), cost(after), strict=True))
    assert [budget.words for budget in efforts] == [True] * (len(efforts) - 1) + [False]
    assert any(step.lost == "the larger recogniser" for step in levels(spare=spare)) is spare


@given(ladders, waits)
def test_every_change_is_told_and_is_one_step(ladder: LoadShedder, waits: list[float]) -> None:
    level, budget = 0, ladder.budget
    for told in climb(ladder, waits):
        if told is None:
            assert ladder.budget == budget
        else:
            assert abs(told.level - level) == 1
            assert told.step.startswith("without " if told.level > level else "again with ")
            level, budget = told.level, ladder.budget


@given(ladders, waits)
def test_it_goes_up_only_when_waiting_is_long_and_down_only_when_it_was_short(
    ladder: LoadShedder, waits: list[float]
) -> None:
    level, short_since = 0, 0
    for tick, (waiting_s, told) in enumerate(zip(waits, climb(ladder, waits), strict=True)):
        if waiting_s >= EASY_S:
            short_since = tick + 1
        if told is not None and told.level > level:
            assert waiting_s >= (FIRST_S + level * EACH_S if ladder.budget.words else LATE_S)
        if told is not None and told.level < level:
            assert (tick - short_since) * TICK_NS >= CALM_S * 1e9
        level = level if told is None else told.level


@given(ladders, waits)
def test_from_anywhere_calm_leads_back_to_the_ground(ladder: LoadShedder, waits: list[float]) -> None:
    list(climb(ladder, waits))
    calm = [0.0] * int(6 * (LONGEST_CALM_S + 1) * 1e9 / TICK_NS)
    list(climb(ladder, calm, start_ns=len(waits) * TICK_NS))
    assert ladder.budget == FULL


@given(ladders, waits, st.floats(FIRST_S, LAST_S))
def test_it_never_takes_back_a_step_while_waiting_grows(ladder: LoadShedder, waits: list[float], more_s: float) -> None:
    reached = [told.level for told in climb(ladder, sorted([*waits, more_s])) if told]
    assert reached == sorted(reached)


def test_the_bounds_are_those_that_are_documented() -> None:
    ladder = LoadShedder(levels(spare=True))
    assert not any(climb(ladder, [2.9] * 1000))
    reached = [told.level for told in climb(ladder, [3.0, 3.0, 4.5, 6.0, 7.5, 9.0, 9.9, 10.0]) if told]
    assert reached == [1, 2, 3, 4, 5]
    assert not ladder.budget.words


@given(st.integers(1, 40))
def test_a_load_that_comes_and_goes_does_not_make_it_flap(period: int) -> None:
    """Bursts of overload with a calm that is just long enough: calm has to last longer each time."""
    ladder = LoadShedder(levels(spare=False))
    burst = [FIRST_S] + [0.0] * int((CALM_S + period) * 1e9 / TICK_NS)
    told = [step for step in climb(ladder, burst * 12) if step]
    seconds = 12 * len(burst) * TICK_NS / 1e9
    assert len(told) <= 2 * (1 + seconds / CALM_S)
    if period < CALM_S:
        assert len(told) <= 4


def test_a_recogniser_five_times_too_slow_for_two_minutes() -> None:
    """Speech of 3 s closes every 4 s. Its words cost 5 s each for two minutes, then 0.4 s; features cost 0.1 s."""
    ladder = LoadShedder(levels(spare=False))
    waiting: deque[float] = deque()
    done, worst_s, reached, free_at_s = [], 0.0, [0], 0.0
    for tick in range(4 * 400):
        now_s = tick / 4
        if tick % 16 == 0:
            waiting.append(now_s)
        if waiting and now_s >= free_at_s:
            words_s = 5 * 3.0 if now_s < 120 else 0.4
            free_at_s = now_s + 0.1 + words_s * ladder.budget.words
            done.append(waiting.popleft())
        if told := ladder.observe(now_s - waiting[0] if waiting else 0.0, int(now_s * 1e9)):
            reached.append(told.level)
        worst_s = max(worst_s, now_s - waiting[0] if waiting else 0.0)
    assert done == [4.0 * i for i in range(100)]  # all of it, in order
    assert worst_s < FIRST_S + 3 * EACH_S + 2 * 15.1  # the last bound and what was begun before it
    assert max(reached) == len(levels(spare=False))
    assert reached[-1] == 0
