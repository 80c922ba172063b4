"""Alerts: they do not flap, look at nothing that comes later, and are the same at any speed."""

import itertools

import pytest
from examples import LABELS, event, hello
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from erc_live.live.alerts.alert_rules import AlertRules
from erc_live.live.config import AlertRule
from erc_live.streams.annotations import Alert
from erc_live.streams.messages import Gap, Overload, SourceEnd

S = 1_000_000_000
MICS = ("mic-0", "mic-1")
ANGER = AlertRule(name="anger", kind="emotion", label="anger", above=0.6, until=0.4, for_s=4.0)
ENTROPY = AlertRule(name="entropy", kind="entropy", above=1.0, speaker=2)
SHIFT = AlertRule(name="shift", kind="shift", label="joy")
SILENCE = AlertRule(name="silence", kind="silence", for_s=10.0)
BEN_SILENT = AlertRule(name="Ben", kind="silence", for_s=20.0, speaker="ben")
OVERLOAD = AlertRule(name="slow", kind="overload", above=2, until=0, for_s=5.0)
ALL = (ANGER, ENTROPY, SHIFT, SILENCE, BEN_SILENT, OVERLOAD)


def said(n: int, t_s: float, anger: float = 0.0, speaker: int = 0, length_s: float = 2.0, **fields: object):
    own = {
        "index": n, "speaker": speaker, "speaker_name": ("Ann", "Ben", "Cid")[speaker], "source": f"mic-{speaker % 2}",
        "t_start_ns": int(t_s * S), "t_end_ns": int((t_s + length_s) * S),
        "probs": dict.fromkeys(LABELS, 0.0) | {"anger": anger, "neutral": 1.0 - anger},
    }  # fmt: skip
    return event(n, **(own | fields))


def raised(rules, messages) -> list[Alert]:
    core = AlertRules(rules, "s1", MICS)
    return [alert for message in messages for alert in core.take(message)]


def short(alerts: list[Alert]) -> list[tuple[str, bool, float]]:
    return [(alert.rule, alert.on, alert.t_ns / S) for alert in alerts]


def test_an_emotion_is_raised_after_so_much_talk_and_ends_only_well_below() -> None:
    talk = [(0, 0.7), (10, 0.5), (20, 0.9), (30, 0.45), (40, 0.39), (50, 0.5), (60, 0.7)]
    alerts = raised([ANGER], [said(n, t_s, anger) for n, (t_s, anger) in enumerate(talk)])
    assert short(alerts) == [("anger", True, 12.0), ("anger", False, 42.0)]
    assert alerts[0].text == "anger: anger of Ann above 60% for 4 s, now 50%"
    assert (alerts[0].value, alerts[0].speaker, alerts[0].speaker_name) == (0.5, 0, "Ann")


def test_a_level_that_is_met_is_not_exceeded_and_ends_what_has_begun() -> None:
    rule = replace(ANGER, above=0.5, until=0.25, for_s=0.0)
    talk = [said(n, 5 * n, anger) for n, anger in enumerate((0.5, 0.75, 0.25, 0.5))]
    assert short(raised([rule], talk)) == [("anger", True, 7.0), ("anger", False, 12.0)]


def test_each_speaker_is_judged_alone_and_a_rule_may_name_one() -> None:
    talk = [said(0, 0, 0.9, speaker=0), said(1, 3, 0.1, speaker=1), said(2, 6, 0.9, speaker=0)]
    assert [alert.speaker for alert in raised([ANGER], talk)] == [0]
    for speaker, expected in (("ANN", 1), (1, 1), ("Ben", 0), (2, 0), ("any", 1)):
        assert len(raised([replace(ANGER, speaker=speaker)], talk)) == expected


def test_what_is_provisional_or_said_again_changes_nothing() -> None:
    first = said(0, 0, 0.9, length_s=5.0)
    again = [replace(first, revision=1, probs=first.probs | {"anger": 0.0}), replace(first, index=1, final=False)]
    assert short(raised([ANGER], [first, *again])) == [("anger", True, 5.0)]


def test_a_shift_is_news_each_time() -> None:
    talk = [
        said(0, 0, shift=True, label="joy"),
        said(1, 5, shift=False, label="joy"),
        said(2, 9, shift=True, label="anger"),
    ]
    talk += [said(3, 12, shift=True, label="joy"), said(4, 15, shift=True, label="joy")]
    assert short(raised([SHIFT], talk)) == [
        ("shift", True, 2.0), ("shift", False, 5.0), ("shift", True, 14.0),
        ("shift", False, 15.0), ("shift", True, 17.0),
    ]  # fmt: skip


def at(t_s: float) -> dict[str, int]:
    return dict.fromkeys(MICS, int(t_s * S))


def test_silence_is_of_media_time_and_ends_when_somebody_speaks() -> None:
    core = AlertRules([SILENCE, BEN_SILENT], "s1", MICS)
    assert core.take(hello(t_ns=0)) == []
    assert core.advance({"mic-0": 9 * S, "mic-1": 30 * S}) == [], "one microphone is not worked off"
    assert short(core.advance({"mic-0": 11 * S, "mic-1": 30 * S, "camera-0": 0})) == [("silence", True, 10.0)]
    assert core.advance(at(12)) == []
    core.take(said(0, 15))
    assert short(core.advance(at(17))) == [("silence", False, 15.0)]
    core.take(said(1, 21, speaker=1))
    assert short(core.advance(at(23))) == [("Ben", True, 20.0), ("Ben", False, 21.0)]


def test_who_began_first_and_is_known_last_was_not_silent() -> None:
    core = AlertRules([SILENCE], "s1", MICS)
    core.take(hello(t_ns=0))
    core.take(said(0, 20, speaker=0))
    assert core.advance({"mic-0": 22 * S, "mic-1": 5 * S}) == []
    core.take(said(1, 5, speaker=1, length_s=20.0))
    assert core.advance(at(25)) == []


def test_a_pause_and_a_gap_are_no_silence() -> None:
    core = AlertRules([SILENCE], "s1", MICS)
    core.take(hello(t_ns=0))
    core.take(Gap(source="camera-0", t_start_ns=5 * S, t_end_ns=90 * S, lost=0, cause="device"))
    core.take(Gap(source="mic-0", t_start_ns=5 * S, t_end_ns=60 * S, lost=0, cause="paused"))
    assert core.advance(at(69)) == []
    assert short(core.advance(at(71))) == [("silence", True, 70.0)]


def test_silence_at_the_end_of_all_media() -> None:
    core = AlertRules([SILENCE], "s1", MICS)
    core.take(hello(t_ns=0))
    core.take(SourceEnd(source="mic-0", t_ns=30 * S, reason="end of file"))
    assert core.finish() == []
    core.take(SourceEnd(source="mic-1", t_ns=20 * S, reason="end of file"))
    assert short(core.finish()) == [("silence", True, 10.0)]


def test_overload_by_its_level() -> None:
    steps = [(0, 1), (10, 2), (12, 1), (13, 3), (20, 1), (30, 0), (40, 2), (41, 0)]
    messages = [Overload(t_ns=t_s * S, level=level, step=f"step {level}", waiting_s=1.0) for t_s, level in steps]
    assert short(raised([OVERLOAD], messages)) == [("slow", True, 15.0), ("slow", False, 30.0)]


TALKS = st.lists(
    st.tuples(st.floats(0.1, 25.0), st.floats(0.0, 1.0), st.integers(0, 2), st.booleans(), st.floats(0.0, 2.0)),
    max_size=20,
)


def as_messages(talk) -> list:
    t_s, out = 0.0, [hello(t_ns=0)]
    for n, (after_s, anger, speaker, shift, entropy) in enumerate(talk):
        t_s += after_s
        label = "joy" if shift else "neutral"
        out.append(said(n, t_s, anger, speaker, shift=shift, entropy=entropy, label=label))
        t_s += 2.0
    return [*out, *(SourceEnd(source=mic, t_ns=int((t_s + 40) * S), reason="end of file") for mic in MICS)]


def all_of(rules, talk) -> list[Alert]:
    core = AlertRules(rules, "s1", MICS)
    return [alert for message in as_messages(talk) for alert in core.take(message)] + core.finish()


@given(TALKS)
def test_on_and_off_take_turns(talk) -> None:
    holds: dict[tuple, bool] = {}
    for alert in all_of(ALL, talk):
        key = (alert.rule, alert.speaker)
        assert alert.on != holds.get(key, False)
        holds[key] = alert.on


@given(TALKS, st.integers(0, 20))
def test_nothing_that_comes_later_counts(talk, cut: int) -> None:
    messages = as_messages(talk)
    whole, part = raised(ALL, messages), raised(ALL, messages[:cut])
    assert whole[: len(part)] == part


@given(TALKS, st.lists(st.floats(0.0, 1.0), max_size=40))
def test_whenever_time_is_looked_at_each_rule_raises_the_same(talk, looks: list[float]) -> None:
    """A session in real time looks often, a replay at full speed never before the end."""
    messages = as_messages(talk)
    core, often, shares = AlertRules(ALL, "s1", MICS), [], iter(looks)
    for before, message in itertools.pairwise([*messages, messages[-1]]):
        often += core.take(before)
        begin_ns = getattr(before, "t_end_ns", 0)
        until_ns = getattr(message, "t_start_ns", begin_ns)
        often += core.advance(dict.fromkeys(MICS, begin_ns + int(next(shares, 0.0) * max(0, until_ns - begin_ns))))
    often += core.finish()
    for rule in ALL:
        assert [alert for alert in often if alert.rule == rule.name] == all_of([rule], talk)


@given(TALKS)
def test_a_level_between_the_two_changes_nothing(talk) -> None:
    """The probability moves between `until` and `above` after it was raised: hysteresis."""
    high = [said(0, 0, 0.9, length_s=5.0)]
    between = [said(n, 10 * n, 0.41 + 0.58 * anger, length_s=1.0) for n, (_, anger, *_) in enumerate(talk, 1)]
    assert short(raised([ANGER], high + between)) == [("anger", True, 5.0)]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.kind)
def test_a_rule_without_a_session_raises_nothing(rule: AlertRule) -> None:
    core = AlertRules([rule], "s1", MICS)
    assert core.advance({}) == core.finish() == core.advance({"mic-0": 100 * S}) == []
