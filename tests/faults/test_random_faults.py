"""Faults at random instants, in virtual time: what a session says must not depend on them. Four hundred in each run of
the tests, and nine thousand behind `-m slow`.

A recording can wait and be read again: so whatever dies, freezes, or is slow, its final events are those of a session
in which nothing happened, to the last one, and so is the bundle. A device cannot: there each utterance was classified,
or a `Gap` says that something of it is missing; and none is told twice.
"""

import itertools
import random
from pathlib import Path

import pytest
from simulated_session import SimulatedSession, talk

from erc_live.streams.messages import AudioChunk, EmotionEvent
from erc_live.streams.recovery import verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import open_session

TALK_S = 30.0
FAULTS = 80  # of a session
SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 100))]
LIVE_FAULTS = 50
LIVE_SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))]
BEGIN_S = 1.5  # then everybody works
END_S = 8.0  # and after the last fault again
NAMES = ("mic-0", "mic-1", "perception", "tracker", "recorder", "screen")
KINDS = {"kill": 10, "freeze": 1, "occupy": 2, "slow": 2, "sleep": 1}
SLACK_NS = 300_000_000
CUT_NS = 3_000_000_000  # before the end, which a machine that sleeps puts off


def strike(session: SimulatedSession, chance: random.Random, freezable: tuple[str, ...]) -> None:
    """Do something to one of those who run just now."""
    name = chance.choice([name for name in NAMES if session.machine.named(name)] or NAMES)
    kinds = {kind: weight for kind, weight in KINDS.items() if kind != "freeze" or name in freezable}
    match chance.choices([*kinds], [*kinds.values()])[0]:
        case "kill":
            session.kill(name, chance.randint(0, 30))
        case "freeze":
            session.freeze(name)
        case "occupy":
            session.occupy(name, chance.uniform(0.2, 3))
        case "slow":
            session.slow(name, chance.uniform(0.2, 3))
        case "sleep":
            session.sleep(chance.uniform(0.1, 5) / session.speed**2)  # a recording goes on meanwhile
    session.struck += 1


def disturb(session: SimulatedSession, faults: int, lasting_s: float, freezable: tuple[str, ...]) -> None:
    """Plan the faults of a session."""
    chance = random.Random(session.seed)
    for _ in range(faults):
        session.machine.at(BEGIN_S + chance.uniform(0, lasting_s), lambda: strike(session, chance, freezable))


def check_order(session: SimulatedSession) -> None:
    """What is true of every session."""
    events = [message for message in session.published if isinstance(message, EmotionEvent)]
    assert [event.seq for event in events] == list(range(len(events)))
    assert [event.index for event in session.finals] == list(range(len(session.finals)))
    assert session.end.utterances == len(session.finals)
    assert session.end.lost == 0


def media(folder: Path) -> list[tuple[str, int, bytes]]:
    """The sound of a bundle, by microphone."""
    return sorted((m.source, m.t_ns, m.pcm.tobytes()) for m in bundle_messages(folder, 0) if isinstance(m, AudioChunk))


def recorded(folder: Path) -> list[str]:
    """The words of the final events of a bundle."""
    return [e.text for e in open_session(folder).events if isinstance(e, EmotionEvent) and e.final]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_recording_is_classified_and_recorded_as_if_nothing_had_happened(seed: int, tmp_path: Path) -> None:
    talks = talk(seed, TALK_S)
    calm = SimulatedSession(talks, seed=seed, record=tmp_path / "calm").run()
    session = SimulatedSession(talks, seed=seed, record=tmp_path / "disturbed")
    frozen = ("mic-0", "mic-1", "perception", "tracker")  # nobody waits for a screen at the end
    session.run(lambda running: disturb(running, FAULTS, 0.8 * TALK_S / session.speed, frozen))
    assert session.struck == FAULTS
    assert session.failure is None
    assert session.said == calm.said
    assert session.gaps == []
    check_order(session)
    assert verify(tmp_path / "disturbed") == []
    assert recorded(tmp_path / "disturbed") == recorded(tmp_path / "calm")
    assert media(tmp_path / "disturbed") == media(tmp_path / "calm")


@pytest.mark.parametrize("seed", LIVE_SEEDS)
def test_what_a_device_hears_is_classified_or_in_a_gap_and_nothing_is_told_twice(seed: int, tmp_path: Path) -> None:
    talks, until_s = talk(seed, 100.0), BEGIN_S + TALK_S + END_S
    calm = SimulatedSession(talks, live=True, seed=seed, until_s=until_s).run()
    session = SimulatedSession(talks, live=True, seed=seed, until_s=until_s, record=tmp_path / "disturbed")
    session.run(lambda running: disturb(running, LIVE_FAULTS, TALK_S, ("perception", "tracker")))
    assert session.struck == LIVE_FAULTS
    assert session.failure is None
    check_order(session)
    for source in talks:
        ends = [(0, 0), *((event.t_start_ns, event.t_end_ns) for event in session.finals if event.source == source)]
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))
    for event in (event for event in calm.finals if event.t_end_ns < calm.end.t_ns - CUT_NS):
        assert is_told(event, session), event
    assert verify(tmp_path / "disturbed") == []


def is_told(event: EmotionEvent, session: SimulatedSession) -> bool:
    """Whether an utterance was classified, or a gap says that some of it was not listened to."""
    told = (e for e in session.finals if e.source == event.source)
    missing = (gap for gap in session.gaps if gap.source == event.source)
    return any(abs(other.t_end_ns - event.t_end_ns) <= SLACK_NS for other in told) or any(
        gap.t_start_ns < event.t_end_ns + SLACK_NS and gap.t_end_ns > event.t_start_ns - SLACK_NS for gap in missing
    )
