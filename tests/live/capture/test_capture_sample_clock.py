"""Blocks to chunks: whatever the driver's stamps do, samples keep their order and their time."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.capture.sample_clock import CHUNK_NS, MAX_SLIP_NS, WINDOW, Block, Chunker, block_time_ns
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk, Gap, samples_to_ns

BLOCK = 400
ORIGIN_NS = 1_000_000_000_000
MS = 1_000_000


class Device:
    """A microphone at 16 kHz whose samples are their own numbers, so that each chunk tells which samples it holds."""

    def __init__(self, ppm: float = 0.0) -> None:
        self.sample = 0
        self.sample_ns = 1e9 / (SAMPLE_RATE_HZ * (1 + ppm / 1e6))

    def time_ns(self, sample: int) -> int:
        return ORIGIN_NS + round(sample * self.sample_ns)

    def block(self, late_ns: int = 0, lose: int = 0, broken: bool = False) -> Block:
        self.sample += lose
        numbers = (self.sample + np.arange(BLOCK)) % 32768
        block = Block((numbers[:, None] / 32768).astype(np.float32), self.time_ns(self.sample) + late_ns, broken)
        self.sample += BLOCK
        return block

    def first_sample(self, chunk: AudioChunk) -> int:
        """The number of the chunk's first sample, of those equal modulo 32768 the one nearest to the chunk's time."""
        expected = (chunk.t_ns - ORIGIN_NS) / self.sample_ns
        return int(chunk.pcm[0]) + 32768 * round((expected - int(chunk.pcm[0])) / 32768)


def chunker(start_ns: int = ORIGIN_NS) -> Chunker:
    return Chunker("mic-0", SAMPLE_RATE_HZ, 1, start_ns)


def run(device: Device, make: Callable[[int], Block], blocks: int) -> list[AudioChunk | Gap]:
    under_test = chunker()
    out = [message for i in range(blocks) for message in under_test.feed(make(i))]
    check_order(out)
    return [*out, *under_test.flush()]


def check_order(messages: list[AudioChunk | Gap]) -> None:
    """Every moment from the first sample is in exactly one message: nothing overlaps, and no hole is silent."""
    t_ns = messages[0].t_ns if isinstance(messages[0], AudioChunk) else messages[0].t_start_ns
    assert 0 <= t_ns - ORIGIN_NS < CHUNK_NS
    for message in messages:
        begin = message.t_ns if isinstance(message, AudioChunk) else message.t_start_ns
        assert abs(begin - t_ns) <= samples_to_ns(1)
        t_ns = message.t_end_ns


def chunks_of(messages: list[AudioChunk | Gap]) -> list[AudioChunk]:
    return [message for message in messages if isinstance(message, AudioChunk)]


def gaps_of(messages: list[AudioChunk | Gap]) -> list[Gap]:
    return [message for message in messages if isinstance(message, Gap)]


def test_an_honest_device_gives_every_sample_once_and_no_gap() -> None:
    device = Device()
    out = run(device, lambda i: device.block(), 100)
    assert not gaps_of(out)
    assert [len(chunk.pcm) for chunk in chunks_of(out)[:-1]] == [CHUNK_SAMPLES] * (100 * BLOCK // CHUNK_SAMPLES)
    pcm = np.concatenate([chunk.pcm for chunk in chunks_of(out)])
    np.testing.assert_array_equal(pcm, np.arange(100 * BLOCK) % 32768)


@settings(max_examples=15, deadline=None)
@given(
    ppm=st.floats(-3000, 3000),
    jitter_ns=st.integers(0, 10 * MS),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_crystal_that_drifts_never_runs_away(ppm: float, jitter_ns: int, seed: int) -> None:
    """Fifteen times worse than any crystal for twenty seconds, as one of 200 ppm in five minutes."""
    device, rng = Device(ppm), np.random.default_rng(seed)
    out = run(device, lambda i: device.block(late_ns=int(rng.integers(-jitter_ns, jitter_ns + 1))), 800)
    window_ns = WINDOW * BLOCK * 1e9 / SAMPLE_RATE_HZ
    bound_ns = MAX_SLIP_NS + 2 * jitter_ns + abs(ppm) / 1e6 * 2 * window_ns + samples_to_ns(1)
    for chunk in chunks_of(out):
        assert abs(chunk.t_ns - device.time_ns(device.first_sample(chunk))) <= bound_ns
    drift_ns = abs(ppm) / 1e6 * 800 * BLOCK * 1e9 / SAMPLE_RATE_HZ
    assert len(gaps_of(out)) <= drift_ns / (MAX_SLIP_NS - 2 * jitter_ns) + 1


@settings(max_examples=25, deadline=None)
@given(late_ms=st.integers(1, 2000), late_blocks=st.integers(0, WINDOW // 2), offset=st.integers(0, WINDOW))
def test_bursts_of_late_stamps_are_not_believed(late_ms: int, late_blocks: int, offset: int) -> None:
    device = Device()

    def block(i: int) -> Block:
        late = i > 0 and (i + offset) % WINDOW < late_blocks
        return device.block(late_ns=late_ms * MS if late else 0)

    out = run(device, block, 200)
    assert not gaps_of(out)
    assert all(device.time_ns(device.first_sample(chunk)) == chunk.t_ns for chunk in chunks_of(out))


@settings(max_examples=25, deadline=None)
@given(losses=st.dictionaries(st.integers(1, 99), st.integers(1, 5000), max_size=20))
def test_reported_losses_are_gaps_of_their_length_in_their_place(losses: dict[int, int]) -> None:
    device = Device()
    out = run(device, lambda i: device.block(lose=losses.get(i, 0), broken=i in losses), 100)
    lost_ns = [samples_to_ns(losses[i]) for i in sorted(losses)]
    assert [gap.t_end_ns - gap.t_start_ns for gap in gaps_of(out)] == lost_ns
    assert all(device.time_ns(device.first_sample(chunk)) == chunk.t_ns for chunk in chunks_of(out))
    assert sum(len(chunk.pcm) for chunk in chunks_of(out)) == 100 * BLOCK


def test_a_silent_loss_is_found_within_a_window() -> None:
    device = Device()
    out = run(device, lambda i: device.block(lose=SAMPLE_RATE_HZ // 10 if i == 50 else 0), 100)
    (gap,) = gaps_of(out)
    assert gap.t_end_ns - gap.t_start_ns == 100 * MS
    assert gap.t_start_ns <= device.time_ns((50 + WINDOW) * BLOCK)
    assert device.time_ns(device.first_sample(chunks_of(out)[-1])) == chunks_of(out)[-1].t_ns


def test_a_device_that_is_too_fast_loses_the_samples_that_have_no_time() -> None:
    device = Device()
    ahead_ns = 60 * MS
    out = run(device, lambda i: device.block(late_ns=-ahead_ns if i >= 50 else 0), 100)
    (gap,) = gaps_of(out)
    assert gap.t_end_ns - gap.t_start_ns <= samples_to_ns(1)
    assert gap.lost >= 1
    assert sum(len(chunk.pcm) for chunk in chunks_of(out)) == 100 * BLOCK - math.ceil(ahead_ns * SAMPLE_RATE_HZ / 1e9)


@given(start_ms=st.integers(-20, 500))
def test_sound_begins_at_the_start_of_the_session(start_ms: int) -> None:
    device = Device()
    start_ns = ORIGIN_NS + start_ms * MS + 12_345
    under_test = chunker(start_ns)
    out = [message for _ in range(50) for message in under_test.feed(device.block())]
    assert not gaps_of(out)
    assert 0 <= out[0].t_ns - start_ns <= (CHUNK_NS if start_ms < 0 else samples_to_ns(1))  # type: ignore[union-attr]


def test_a_device_that_comes_late_is_a_gap_from_the_start() -> None:
    device = Device()
    first, *_ = chunker(ORIGIN_NS - 300 * MS).feed(device.block())
    assert isinstance(first, Gap)
    assert (first.t_start_ns, first.t_end_ns) == (ORIGIN_NS - 300 * MS, ORIGIN_NS)


def test_two_channels_that_cancel_are_heard_and_it_is_known() -> None:
    under_test = Chunker("mic-0", SAMPLE_RATE_HZ, 2, ORIGIN_NS)
    assert not under_test.turned_over
    left = np.random.default_rng(0).normal(0, 0.1, (40, 512)).astype(np.float32)
    out: list[AudioChunk | Gap] = []
    for i, block in enumerate(left):
        out += under_test.feed(Block(np.stack([block, -block], axis=1), ORIGIN_NS + i * 32 * MS))
    assert under_test.turned_over
    assert np.abs(chunks_of(out)[-1].pcm).max() > 1_000


def test_losing_the_device_and_another_stream_with_another_rate() -> None:
    device = Device()
    under_test = chunker()
    out = [message for _ in range(3) for message in under_test.feed(device.block())]
    dead_ns = device.time_ns(device.sample) + 1000 * MS
    out += under_test.lose(dead_ns)
    assert isinstance(out[-1], Gap)
    assert out[-1].t_end_ns == dead_ns
    assert out[-1].lost == under_test.dropped == 31
    under_test.restart(48_000, 2)
    back_ns = dead_ns + 2000 * MS
    for i in range(10):
        out += under_test.feed(Block(np.full((1536, 2), 0.5, np.float32), back_ns + i * 32 * MS))
    check_order(out)
    assert [(gap.t_start_ns, gap.t_end_ns) for gap in gaps_of(out)][1] == (dead_ns, back_ns)
    assert len(chunks_of(out)[-1].pcm) == CHUNK_SAMPLES
    assert abs(int(chunks_of(out)[-1].pcm[256]) - 16384) <= 1
    assert all(after.t_ns >= before.t_end_ns for before, after in pairwise(chunks_of(out)))


@pytest.mark.parametrize("age_s", [0.0, -0.1, 0.2, 1e9, math.nan, math.inf])
def test_impossible_claims_of_the_driver_are_replaced_by_the_length_of_the_block(age_s: float) -> None:
    assert block_time_ns(10_000 * MS, age_s, block_s=0.032, latency_s=0.1) == 9_968 * MS


@pytest.mark.parametrize("age_ms", [1, 32, 50, 132])
def test_possible_claims_of_the_driver_are_believed(age_ms: int) -> None:
    assert block_time_ns(10_000 * MS, age_ms / 1e3, block_s=0.032, latency_s=0.1001) == (10_000 - age_ms) * MS
