"""When a device is dead, and when it is tried again."""

import pytest

from erc_live.live.capture.watchdog import START_S, Watchdog

S = 1_000_000_000


def test_a_device_is_dead_after_silence_and_not_before() -> None:
    watchdog = Watchdog(silent_s=1.0)
    watchdog.alive(10 * S)
    assert not watchdog.dead(11 * S - 1)
    assert watchdog.dead(11 * S)


def test_a_new_stream_may_take_longer() -> None:
    watchdog = Watchdog(silent_s=1.0)
    watchdog.opened(0)
    assert not watchdog.dead(round(START_S * S) - 1)
    assert watchdog.dead(round(START_S * S))


def test_trying_again_takes_its_time_up_to_two_seconds_and_begins_anew_after_success() -> None:
    watchdog = Watchdog(silent_s=1.0)
    now_ns, waits = 0, []
    for _ in range(5):
        watchdog.lost(now_ns)
        assert not watchdog.dead(now_ns + 100 * S), "a closed device cannot die"
        wait = next(ms for ms in range(10_000) if watchdog.due(now_ns + ms * 1_000_000))
        waits.append(wait / 1000)
        now_ns += wait * 1_000_000
    assert waits == [0.5, 1.0, 2.0, 2.0, 2.0]
    watchdog.alive(now_ns)
    assert not watchdog.due(now_ns + 100 * S)
    watchdog.lost(now_ns)
    assert watchdog.due(now_ns + S // 2)


@pytest.mark.parametrize("silent_s", [0.2, 8.0])
def test_a_fresh_watchdog_is_quiet(silent_s: float) -> None:
    watchdog = Watchdog(silent_s)
    assert not watchdog.dead(S)
    assert not watchdog.due(S)
