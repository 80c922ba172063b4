"""A thousand faults at random instants, in virtual time: what a session says must not depend on them.

A recording can wait and be read again: so whatever dies, freezes, or is slow, its final events are those of a session
in which nothing happened, to the last one, and so is the bundle. A device cannot: there each utterance was classified,
or a `Gap` says that something of it is missing; and none is told twice.
"""

import random
from pathlib import Path

import pytest
from simulated_session import SimulatedSession, talk
from virtual_processes import S

from erc_live.streams.messages import AudioChunk, EmotionEvent
from erc_live.streams.recovery import verify
from erc_live.streams.replay import bundle_messages
from erc_live.streams.session import open_session

TALK_S = 40.0
FAULTS = 50  # of a session
SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 100))]
BEGIN_S = 2.0  # then everybody works
SLACK_NS = 300_000_000
RECORDED = ("mic-0", "mic-1", "perception", "tracker", "recorder", "screen")


def disturb(session: SimulatedSession, names: tuple[str, ...], lasting_s: float) -> None:
    """Plan the faults of a session."""
    chance, machine = random.Random(session.seed), session.machine
    for _ in range(FAULTS):
        name = chance.choice(names)
        kinds = ("kill", "freeze", "occupy", "slow", "sleep")
        may_freeze = name not in ("recorder", "screen")  # which nobody waits for, so that the end would come first
        kind = chance.choices(kinds, (10, may_freeze, 2, 2, 1))[0]
        if kind == "kill":
            act = lambda name=name, steps=chance.randint(0, 30): session.kill(name, steps)  # noqa: E731
        elif kind == "freeze":
            act = lambda name=name: session.freeze(name)  # noqa: E731
        elif kind == "sleep":
            act = lambda seconds=chance.uniform(0.1, 20): session.sleep(seconds)  # noqa: E731
        else:
            act = lambda do=getattr(session, kind), name=name, s=chance.uniform(0.2, 3): do(name, s)  # noqa: E731
        machine.at(BEGIN_S + chance.uniform(0, lasting_s), act)


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
    session.run(lambda running: disturb(running, RECORDED, TALK_S / session.speed))
    assert session.failure is None
    assert session.said == calm.said
    assert session.gaps == []
    check_order(session)
    assert verify(tmp_path / "disturbed") == []
    assert recorded(tmp_path / "disturbed") == recorded(tmp_path / "calm")
    assert media(tmp_path / "disturbed") == media(tmp_path / "calm")
