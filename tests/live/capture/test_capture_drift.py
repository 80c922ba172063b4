"""Clocks that differ: whatever the crystal and the jitter, the times of the samples stay with the session's clock."""

from collections.abc import Callable

import numpy as np
import pytest

from erc_live.live.capture.drift import FIRST, KNOWN, Drift
from erc_live.live.capture.sample_clock import Block, Chunker, SampleClock
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk

MS = 1_000_000
BLOCK_S = 0.032
MINUTE = round(60 / BLOCK_S)  # blocks
SETTLED = 2 * MINUTE
Jitter = Callable[[np.random.Generator, int], np.ndarray]  # (n,) ns


def even(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-10 * MS, 10 * MS, n)


def late(rng: np.random.Generator, n: int) -> np.ndarray:
    """As on a machine with much to do: a few ms nearly always, and stretches of up to 13 s in which all is late."""
    jitter = rng.exponential(2 * MS, n)
    for start in rng.integers(0, n, n // 4000):
        jitter[start : start + rng.integers(30, 400)] += rng.uniform(5 * MS, 30 * MS)
    return jitter


def slips_ms(ppm: float, jitter: Jitter, minutes: int) -> tuple[np.ndarray, SampleClock]:
    """How far the time of each block is from the true one, in ms. Shapes: (blocks,)."""
    block, n = round(48_000 * BLOCK_S), minutes * MINUTE
    true_ns = np.arange(n) * (block / 48_000 / (1 + ppm / 1e6)) * 1e9
    stamps = (true_ns + jitter(np.random.default_rng(5), n)).astype(np.int64)
    clock, found = SampleClock(48_000), np.empty(n)
    for i, stamp in enumerate(stamps.tolist()):
        found[i], counted = clock.feed(block, stamp, broken=False)
        assert counted, "a drift is no loss"
        clock.bend()
    return (found - true_ns) / MS, clock


@pytest.mark.parametrize("jitter", [even, late])
@pytest.mark.parametrize("ppm", [0, 50, -50, 200, -200, 300, -300])
def test_the_times_stay_with_the_clock(ppm: float, jitter: Jitter) -> None:
    slips, clock = slips_ms(ppm, jitter, minutes=12)
    assert np.abs(slips).max() < 20
    assert np.abs(slips[SETTLED:]).max() < 8
    assert clock.ppm == pytest.approx(ppm, abs=5)


@pytest.mark.parametrize("ppm", [300, -300])
def test_over_an_hour_nothing_is_left_of_the_drift(ppm: float) -> None:
    slips, _ = slips_ms(ppm, late, minutes=60)
    minutes = np.median(slips.reshape(-1, MINUTE), axis=1)
    assert np.abs(slips).max() < 20
    assert abs(minutes[-5:].mean() - minutes[5:10].mean()) < 2, "ms in an hour; the aim is 10"


def test_a_first_stamp_that_was_wrong_is_made_up_for() -> None:
    def first_wrong(rng: np.random.Generator, n: int) -> np.ndarray:
        return np.where(np.arange(n) < 10, 30.0 * MS, 0.0)

    slips, _ = slips_ms(100, first_wrong, minutes=3)
    assert np.abs(slips[SETTLED:]).max() < 2


@pytest.mark.parametrize(("ppm", "rate_hz", "channels"), [(300, 16_000, 1), (-300, 16_000, 1), (300, 44_100, 2)])
def test_chunks_follow_each_other_exactly_and_the_sound_stays_what_it_was(
    ppm: float, rate_hz: int, channels: int
) -> None:
    """A tone of a device that is off: the same tone, in time, with nothing to be heard of the mending."""
    block, blocks, hz = round(rate_hz * BLOCK_S), 3 * MINUTE, 200.0
    chunker = Chunker("mic-0", rate_hz, channels, start_ns=0)
    chunks = []
    for i in range(blocks):
        t_s = (i * block + np.arange(block)) / (rate_hz * (1 + ppm / 1e6))
        tone = np.repeat((0.5 * np.sin(2 * np.pi * hz * t_s)).astype(np.float32)[:, None], channels, axis=1)
        chunks += chunker.feed(Block(tone, round(t_s[0] * 1e9)))
    assert all(isinstance(chunk, AudioChunk) for chunk in chunks)
    assert [chunk.t_ns for chunk in chunks] == [chunk_ns * 32 * MS for chunk_ns in range(len(chunks))]
    assert {len(chunk.pcm) for chunk in chunks} == {CHUNK_SAMPLES}
    heard = np.concatenate([chunk.pcm for chunk in chunks])[-10 * SAMPLE_RATE_HZ :] / 32768
    t_s = chunks[-1].t_end_ns / 1e9 - np.arange(len(heard), 0, -1) / SAMPLE_RATE_HZ
    expected = 0.5 * np.sin(2 * np.pi * hz * t_s)
    assert np.abs(heard - expected).max() < 2 * np.pi * hz * 0.5 * 1.2e-3, "never off by more than 1.2 ms"
    assert np.abs(np.diff(heard)).max() < 1.1 * 2 * np.pi * hz * 0.5 / SAMPLE_RATE_HZ, "no click"


def test_a_loss_is_a_gap_and_the_crystal_is_still_known_after_it() -> None:
    chunker, t_ns, step_ns = Chunker("mic-0", 16_000, 1, 0), 0, round(BLOCK_S * 1e9 * (1 + 250e-6))
    messages = []
    for i in range(6 * MINUTE):
        t_ns += step_ns + (500 * MS if i == 4 * MINUTE else 0)
        messages += chunker.feed(Block(np.zeros((CHUNK_SAMPLES, 1), np.float32), t_ns))
    first, (loss,) = messages[0], [message for message in messages[1:] if not isinstance(message, AudioChunk)]
    assert first.t_end_ns == step_ns, "before the first block"
    assert loss.t_end_ns - loss.t_start_ns == pytest.approx(500 * MS, abs=2 * MS)
    assert chunker.ppm == pytest.approx(-250, abs=2)
    assert messages[-1].t_end_ns - t_ns - step_ns == pytest.approx(0, abs=BLOCK_S * 1e9 + 2 * MS)


def test_nothing_is_believed_too_early() -> None:
    drift = Drift()
    for second in range(KNOWN):
        assert drift.ppm is None
        assert second >= FIRST or drift.error_ns(10**9) == 0
        drift.add(second * 10**9, second * 200_000)
    assert drift.ppm == pytest.approx(-200, abs=0.1)
    assert drift.error_ns(KNOWN * 10**9) == pytest.approx(KNOWN * 200_000)
    drift.restart()
    assert drift.error_ns(10**9) == pytest.approx(200_000), "another anchor, the same crystal"
