"""Who talks when: against counting it second by second."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.report.turn_taking import MIN_OVERLAP_NS, TalkSpan, turn_taking

S = 1_000_000_000


def spans(*parts: tuple[str, float, float]) -> list[TalkSpan]:
    return [TalkSpan(speaker, round(t0 * S), round(t1 * S)) for speaker, t0, t1 in parts]


seconds = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 30), st.integers(1, 8)).map(lambda s: (s[0], s[1], s[1] + s[2])),
    max_size=12,
)


@given(seconds)
def test_talk_and_overlap_are_what_a_count_of_seconds_gives(parts):
    talk, overlap = Counter(), Counter()
    for second in range(40):
        talking = {speaker for speaker, t0, t1 in parts if t0 <= second < t1}
        talk.update(talking)
        overlap.update(talking if len(talking) > 1 else ())
    turns = turn_taking(spans(*parts))
    assert {k: v // S for k, v in turns.talk_ns.items() if v} == dict(talk)
    assert {k: v // S for k, v in turns.overlap_ns.items() if v} == dict(overlap)


@given(seconds, st.randoms())
def test_the_order_of_spans_does_not_matter_and_each_interruption_has_two_sides(parts, chance):
    turns = turn_taking(spans(*parts))
    chance.shuffle(parts)
    assert turn_taking(spans(*parts)) == turns
    assert turns.interruptions.total() == turns.interrupted.total()


def test_who_goes_on_after_the_other_has_stopped_interrupted():
    turns = turn_taking(spans(("A", 0, 5), ("B", 4, 8)))
    assert (turns.interruptions, turns.interrupted) == (Counter(B=1), Counter(A=1))


def test_who_begins_and_ends_while_another_goes_on_interrupts_nobody():
    assert not turn_taking(spans(("A", 0, 5), ("B", 2, 3))).interruptions


def test_an_overlap_that_nobody_perceives_is_none():
    short = MIN_OVERLAP_NS / S
    assert not turn_taking(spans(("A", 0, 5), ("B", 5 - short + 0.001, 8))).interruptions
    assert turn_taking(spans(("A", 0, 5), ("B", 5 - short, 8))).interruptions == Counter(B=1)


def test_utterances_of_one_speaker_that_touch_are_one():
    turns = turn_taking(spans(("A", 0, 2), ("A", 2, 4), ("A", 1, 3), ("B", 3, 6)))
    assert turns.talk_ns["A"] == 4 * S
    assert turns.interruptions == Counter(B=1)
