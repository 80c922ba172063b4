"""The fifteen scenarios of faults: where each is tested, and here what is tested nowhere else. In virtual time.

| scenario | tests |
|---|---|
| 1 microphone unplugged and back | `test_capture_microphone`; its process started again: here |
| 2 overflows of the driver | `test_capture_sample_clock`, `test_capture_microphone` |
| 3 camera that blocks or shows the same picture | `test_capture_camera`, `test_capture_pictures` |
| 4 clocks that drift for hours | `test_capture_drift`, `test_capture_sample_clock` |
| 5 clock set, machine asleep | here: asleep; the clock on the wall is read once, for the greeting |
| 6 silence, noise | `test_vad`, `test_segmenter`; ten minutes of silence: here |
| 7 a monologue | here |
| 8 people at once, and in turn without a pause | here; `test_crosstalk`, `test_shared_microphone` |
| 9 a recogniser that is too slow | `test_keeping_up`, `test_load_shedding` |
| 10 each process killed | `test_random_faults`; real ones: `test_deaths` |
| 11 subscribers | `test_subscribe`, `test_floods`, `test_heartbeat`; a slow screen: here |
| 12 GPU | not run: no test has one. No number (NaN): `test_tracker` |
| 13 disk full | `test_session`, `test_deaths`; a recorder that cannot close: here |
| 14 offline and hostile surroundings | `test_offline`, `test_cli`, `test_sessions`, `test_dashboard` |
| 15 eight hours | `live/bench/endurance.py` |
"""

import itertools

import numpy as np
import pytest
from fakes import speech
from simulated_session import SimulatedSession, talk
from virtual_processes import S

from erc_live.live.config import AlertRule
from erc_live.live.session import supervisor
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import CHUNK_SAMPLES, EmotionEvent, SessionCommand, SessionEnd
from erc_live.streams.recovery import verify

PER_S = 16_000 // CHUNK_SAMPLES + 1  # windows
WORKERS = ("mic-0", "perception", "tracker", "recorder", "screen")


def lone(*stretches: tuple[bool, float]) -> dict[str, np.ndarray]:
    """What one microphone hears, in (loud?, seconds)."""
    return {"mic-0": speech(*((loud, round(seconds * PER_S)) for loud, seconds in stretches))}


def held_up(seconds: float, names: tuple[str, ...]):
    """Plan that processes do something else for so long."""

    def happen(session: SimulatedSession) -> None:
        for name in names:
            session.machine.at(2.0, lambda name=name: session.occupy(name, seconds))

    return happen


def test_a_microphone_that_is_started_again_loses_what_passed_since_and_not_since_the_session_began() -> None:
    session = SimulatedSession(talk(1, 60), live=True, until_s=30.0)
    session.run(lambda running: running.machine.at(20.0, lambda: running.kill("mic-0")))
    (gap,) = session.gaps
    assert gap.source == "mic-0"
    assert gap.cause == "worker"
    assert gap.t_start_ns >= session.published[0].t_ns + 18 * S
    assert gap.t_end_ns - gap.t_start_ns < S


def test_a_machine_that_sleeps_for_minutes_kills_nobody_and_loses_nothing_of_a_recording() -> None:
    talks = talk(5, 20)
    calm = SimulatedSession(talks).run()
    session = SimulatedSession(talks).run(lambda running: running.machine.at(3.0, lambda: running.sleep(300.0)))
    assert session.deaths == []
    assert session.said == calm.said


def test_of_ten_minutes_of_silence_there_is_nothing_to_tell() -> None:
    session = SimulatedSession(lone((False, 600)), speed=100.0).run()
    assert (session.finals, session.gaps, session.failure) == ([], [], None)
    assert session.end.note.startswith("no utterance")


def test_a_monologue_is_split_softly_and_told_while_it_is_said() -> None:
    session = SimulatedSession(lone((True, 120), (False, 2)), speed=4.0).run()
    assert len(session.finals) >= 8
    for before, after in itertools.pairwise(session.finals):
        assert after.t_start_ns - before.t_end_ns < S // 2
        assert before.t_end_ns - before.t_start_ns <= 15 * S
    assert sum(not getattr(message, "final", True) for message in session.published) >= 80


def test_people_who_talk_at_once_are_each_classified() -> None:
    both = speech((False, 20), (True, 60), (False, 40))
    session = SimulatedSession({"mic-0": both, "mic-1": np.roll(both, CHUNK_SAMPLES * 10)}, speed=1.0).run()
    assert {event.source for event in session.finals} == {"mic-0", "mic-1"}


@pytest.mark.parametrize("name", WORKERS)
def test_who_is_busy_for_long_loses_nothing_of_a_recording(name: str, tmp_path) -> None:
    talks = talk(2, 20)
    calm = SimulatedSession(talks, speed=20.0).run()
    session = SimulatedSession(talks, speed=20.0, record=tmp_path / "kept").run(held_up(5.0, (name,)))
    assert (session.deaths, session.gaps, session.failure) == ([], [], None)
    assert session.said == calm.said
    assert isinstance(session.read[-1], SessionEnd)
    assert verify(tmp_path / "kept") == []


@pytest.mark.parametrize("name", WORKERS)
def test_each_process_killed_in_turn_leaves_a_recording_as_it_would_have_been(name: str, tmp_path) -> None:
    talks = talk(3, 20)
    calm = SimulatedSession(talks).run()
    session = SimulatedSession(talks, record=tmp_path / "kept")
    session.run(lambda running: [running.machine.at(1.5 + n, lambda: running.kill(name)) for n in range(3)])
    assert session.deaths == [name] * 3
    assert session.failure is None
    assert session.said == calm.said
    assert verify(tmp_path / "kept") == []


def test_perception_that_dies_after_one_of_the_recordings_has_ended_waits_for_the_others_alone() -> None:
    talks = {"mic-0": talk(7, 8)["mic-0"], "mic-1": talk(8, 40)["mic-1"]}
    calm = SimulatedSession(talks).run()
    session = SimulatedSession(talks).run(lambda running: running.machine.at(7.0, lambda: running.kill("perception")))
    assert session.deaths == ["perception"]
    assert session.failure is None
    assert session.said == calm.said


def test_a_recording_whose_capture_dies_after_its_end_is_read_again_for_who_is_behind() -> None:
    def happen(session: SimulatedSession) -> None:
        session.machine.at(1.5, lambda: session.occupy("perception", 6.0))
        session.machine.at(3.5, lambda: session.kill("mic-0"))

    talks = talk(9, 40)
    calm = SimulatedSession(talks, speed=40.0).run()
    session = SimulatedSession(talks, speed=40.0).run(happen)
    assert session.deaths == ["mic-0"]
    assert session.failure is None
    assert session.said == calm.said


def test_what_is_lost_when_a_device_and_its_reader_die_at_once_is_told() -> None:
    def happen(session: SimulatedSession) -> None:
        for name in ("perception", "mic-0"):
            session.machine.at(10.0, lambda name=name: session.kill(name))

    session = SimulatedSession(lone((True, 2), (False, 1)), live=True, until_s=20.0).run(happen)
    assert sorted(session.deaths) == ["mic-0", "perception"]
    (gap,) = session.gaps
    start_ns = session.machine.now_ns - 21 * S
    assert gap.t_start_ns > start_ns
    assert not [event for event in session.finals if gap.t_start_ns < event.t_end_ns < gap.t_end_ns]


def test_a_recording_that_was_not_closed_is_a_failure(tmp_path) -> None:
    session = SimulatedSession(talk(1, 8), record=tmp_path / "kept")
    session.run(lambda running: running.machine.at(2.0, lambda: running.freeze("recorder")))
    assert session.failure is not None
    assert "recorder" in str(session.failure)


def test_who_loads_for_ever_is_replaced(monkeypatch) -> None:
    from erc_live.live.session import worker_process

    def happen(session: SimulatedSession) -> None:
        session.machine.at(2.0, lambda: session.kill("tracker"))
        session.machine.at(2.1, lambda: session.hold("tracker"))

    monkeypatch.setattr(worker_process, "READY_S", 5.0)
    talks = talk(3, 12)
    calm = SimulatedSession(talks).run()
    session = SimulatedSession(talks).run(happen)
    assert session.deaths == ["tracker", "tracker"]
    assert session.said == calm.said


def test_a_session_in_which_nothing_moves_after_the_end_of_its_sources_ends_by_itself(monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "IDLE_S", 3.0)
    session = SimulatedSession(talk(1, 8), cost_s=lambda request: 1e6).run()
    assert "nothing has moved for 3 s" in str(session.failure)
    assert session.gaps


def test_a_start_has_no_limit_of_a_minute_and_tells_what_is_awaited(monkeypatch, capsys) -> None:
    from simulated_session import LOADING_S

    monkeypatch.setitem(LOADING_S, "perception", 100.0)
    session = SimulatedSession(talk(1, 4)).run()
    assert session.failure is None
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Still loading")]
    assert len(told) >= 9
    assert all(line.endswith("perception.") for line in told)


def test_a_name_that_somebody_gave_outlives_the_tracker_and_the_screen_that_asked() -> None:
    named = Annotation(session="", t_ns=0, wall_ns=0, author="screen", kind="name", speaker=0, text="Zoe")

    def happen(running: SimulatedSession) -> None:
        def name() -> None:
            assert running.running is not None
            assert running.running._broker.annotate(named) == ""

        running.machine.at(8.0, name)
        for at_s, worker in ((9.0, "tracker"), (10.0, "screen")):
            running.machine.at(at_s, lambda worker=worker: running.kill(worker))

    talks = talk(3, 60)
    calm, session = SimulatedSession(talks).run(), SimulatedSession(talks).run(happen)
    assert {"tracker", "screen"} <= {*session.deaths}
    assert [said._replace(speaker=0) for said in session.said] == [said._replace(speaker=0) for said in calm.said]
    (given,) = (place for place, message in enumerate(session.published) if isinstance(message, Annotation))
    after = [m for m in session.published[given:] if isinstance(m, EmotionEvent) and m.speaker == 0]
    assert after
    assert {event.speaker_name for event in after} == {"Zoe"}
    assert any(isinstance(message, Annotation) for message in session.read)


def test_perception_that_raises_at_every_utterance_ends_in_a_failure_that_names_it() -> None:
    def broken(request: object) -> float:
        raise ValueError("a bug of ours")

    session = SimulatedSession(talk(1, 60), cost_s=broken)
    with pytest.raises(ValueError, match="a bug of ours"):  # bugs are loud here
        session.run()
    assert "ValueError: a bug of ours" in str(session.failure)
    assert session.deaths == ["perception"] * 2
    assert not session.finals
    assert "ValueError: a bug of ours" in session.end.reason
    assert (session.end.utterances, session.end.deaths) == (0, 2)


def test_who_asks_at_the_screen_for_the_end_gets_it_in_order_and_the_second_time_at_once() -> None:
    def asked(*times_s: float):
        def happen(running: SimulatedSession) -> None:
            for at_s in times_s:
                running.machine.at(at_s, lambda: running.running._take(SessionCommand(command="stop")))

        return SimulatedSession(talk(4, 120), live=True).run(happen)

    once, twice = asked(20.0), asked(20.0, 20.2)
    assert once.failure is None
    assert once.end.lost == 0
    assert once.finals
    assert twice.machine.now_ns < once.machine.now_ns


def test_alerts_are_the_same_at_any_speed_whoever_dies() -> None:
    rules = (
        AlertRule(name="joy", kind="emotion", label="joy", above=0.35, until=0.3, for_s=2.0),
        AlertRule(name="unsure", kind="entropy", above=1.05, speaker="mic-1"),
        AlertRule(name="turn", kind="shift"),
        AlertRule(name="quiet", kind="silence", for_s=1.0),
    )

    def alerts(speed: float, *deaths: str) -> dict[str, list[tuple[object, ...]]]:
        def happen(running: SimulatedSession) -> None:
            for number, worker in enumerate(deaths):
                running.machine.at(4.0 + number, lambda worker=worker: running.kill(worker))

        session = SimulatedSession(talk(7, 40), speed=speed, alerts=rules).run(happen)
        start_ns = session.published[0].t_ns
        raised: dict[str, list[tuple[object, ...]]] = {rule.name: [] for rule in rules}
        for alert in session.published:
            if isinstance(alert, Alert):
                raised[alert.rule].append((alert.t_ns - start_ns, alert.on, alert.speaker, alert.text))
        assert set(deaths) <= {*session.deaths}
        return raised

    calm = alerts(4.0)
    assert sum(map(len, calm.values())) > 8
    assert calm["quiet"]
    assert alerts(40.0) == calm
    assert alerts(4.0, "tracker", "perception") == calm
