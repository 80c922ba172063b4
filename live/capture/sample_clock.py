"""Blocks of a microphone to stamped chunks: time counts samples, and the driver's clock keeps the count honest.

The stamps that a driver gives to its blocks jitter by milliseconds; samples do not. So the first stamp anchors the time
line and samples are counted from there. But crystals differ (a few to 300 parts per million): where the stamps slowly
move away from the count (`drift.py`), the sound is bent after them, one sample of 16 kHz left out or put in at a time,
where two neighbours are most alike. The chunks follow each other exactly all the same, on the clock of the session, so
a recording needs no correction when it is replayed. And drivers lose samples without saying so: when the stamps
disagree with the count at once and for good, the sound is cut, a `Gap` says where, and the count begins anew. The rule
of this file: it hears no device and asks no clock, and the times of the chunks of a source never run backwards.
"""

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

import numpy as np

from erc_live.live.capture.drift import Drift
from erc_live.streams.media import Resampler
from erc_live.streams.messages import CHUNK_S, CHUNK_SAMPLES, AudioChunk, Gap, samples_to_ns

MAX_SLIP_NS = 40_000_000  # not yet noticed between sound and pictures (ITU-R BT.1359: 45 ms and more is)
SLACK_NS = 1_000_000  # the count may be off by this much: what is known of the stamps is no better
WINDOW = 31  # blocks whose stamps are compared with the count; about one second of blocks as long as a chunk
CHUNK_NS = round(CHUNK_S * 1e9)


@dataclass(frozen=True)
class Block:
    """What the driver hands over at once. `broken`: samples were lost just before it.

    Shapes: samples (n, channels) float32 in [-1, 1].
    """

    samples: np.ndarray
    t_ns: int  # of the first sample, as the driver says
    broken: bool = False


def block_time_ns(now_ns: int, age_s: float, block_s: float, latency_s: float) -> int:
    """Session time of the first sample of a block that is handed over at `now_ns`.

    `age_s` is the driver's claim of how long ago that was. A claim that cannot be (no claim at all, the future, or
    longer ago than the stream can hold back, its latency and a block) is replaced by the length of the block. Sound
    servers make such claims in the first second of a stream.
    """
    if not 0 < age_s <= latency_s + block_s:  # false for NaN too
        age_s = block_s
    return now_ns - round(age_s * 1e9)


class SampleClock:
    """Time of the samples of a device, counted at its nominal rate, and bent after its stamps."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._anchor_ns: int | None = None
        self._count = 0  # samples since the anchor
        self._bent_ns = 0  # what was put in since the anchor, less what was left out
        self._blocks = 0
        self._errors: deque[int] = deque(maxlen=WINDOW)  # of the count alone
        self._drift = Drift()

    @property
    def ppm(self) -> float | None:
        """How much too fast the device is, in parts per million; None in the first minutes."""
        return self._drift.ppm

    def feed(self, samples: int, t_ns: int, broken: bool) -> tuple[int, bool]:
        """Time of the first of `samples` samples stamped `t_ns`, and whether the count went on without a jump.

        Late stamps come in bursts on a busy machine, hence the median of a full window; after a loss that the driver
        itself reports there is nothing to wait for.
        """
        if self._anchor_ns is None or broken:
            counted = self._anchor_ns is None
            self._anchor(t_ns)
        else:
            self._errors.append(t_ns - self._anchor_ns - self._elapsed_ns(self._count))
            counted = self._agrees(samples)
        first_ns = self._time_ns()
        self._count += samples
        return first_ns, counted

    def bend(self) -> int:
        """How many samples of 16 kHz to put in now: 1, 0, or -1 to leave one out. It is counted as done."""
        apart_ns = self._drift.error_ns(self._elapsed_ns(self._count)) - self._bent_ns
        by = 0 if abs(apart_ns) <= SLACK_NS else int(math.copysign(1, apart_ns))
        self._bent_ns += samples_to_ns(by)
        return by

    def _agrees(self, samples: int) -> bool:
        """Whether the stamps agree with the count; if not, it is anchored anew. Keeps book of small errors."""
        if len(self._errors) < WINDOW:
            return True
        error_ns = round(median(self._errors))
        if abs(error_ns - self._bent_ns) > MAX_SLIP_NS:
            assert self._anchor_ns is not None
            self._anchor(self._anchor_ns + self._elapsed_ns(self._count) + error_ns)
            return False
        self._blocks += 1
        if self._blocks % WINDOW == 0:
            self._drift.add(self._elapsed_ns(self._count - samples * WINDOW // 2), error_ns)
        return True

    def _time_ns(self) -> int:
        assert self._anchor_ns is not None
        return self._anchor_ns + self._elapsed_ns(self._count) + self._bent_ns

    def _elapsed_ns(self, samples: int) -> int:
        return samples * 1_000_000_000 // self.rate_hz

    def _anchor(self, t_ns: int) -> None:
        self._anchor_ns, self._count, self._bent_ns = t_ns, 0, 0
        self._errors.clear()
        self._drift.restart()


class Chunker:
    """Sans-I/O: feed blocks, get chunks of `CHUNK_SAMPLES`, and a `Gap` wherever there is none.

    Nothing is sent of before `start_ns`. `dropped` counts what was lost, in lengths of a chunk.
    """

    def __init__(self, source: str, rate_hz: int, channels: int, start_ns: int) -> None:
        self.source = source
        self.dropped = 0
        self._t_ns = start_ns  # everything before was sent, or said to be lost
        self._cut_reported = True
        self.restart(rate_hz, channels)

    @property
    def ppm(self) -> float | None:
        """As of `SampleClock`."""
        return self._clock.ppm

    @property
    def turned_over(self) -> bool:
        """Whether one of two channels is, because they cancel each other."""
        return self._resampler.turned_over

    def restart(self, rate_hz: int, channels: int) -> None:
        """The next block comes from another stream of the device; what was not yet sent of the old one is forgotten."""
        self._clock = SampleClock(rate_hz)
        self._resampler = Resampler(rate_hz, channels)
        self._pending = np.empty(0, np.int16)
        self._flowing = False

    def feed(self, block: Block) -> list[AudioChunk | Gap]:
        """Takes one block; returns what is complete."""
        out: list[AudioChunk | Gap] = []
        t_ns, counted = self._clock.feed(len(block.samples), block.t_ns, block.broken)
        samples = block.samples
        if not counted:
            out += self.flush()
            self._cut_reported = False
        if not self._flowing:
            samples, gap = self._resume(samples, t_ns)
            out += gap
        heard = self._resampler.feed(samples)
        if len(heard) > 2:
            heard = _bent(heard, self._clock.bend())
        self._pending = np.concatenate((self._pending, heard))
        while len(self._pending) >= CHUNK_SAMPLES:
            out.append(self._chunk())
        return out

    def flush(self) -> list[AudioChunk | Gap]:
        """The sound ends here: the rest of it, in a last chunk that may be shorter."""
        out: list[AudioChunk | Gap] = []
        self._pending = np.concatenate((self._pending, self._resampler.flush()))
        while len(self._pending):
            out.append(self._chunk())
        self._flowing = False
        return out

    def lose(self, until_ns: int) -> list[AudioChunk | Gap]:
        """The sound ended, and nothing came until `until_ns`."""
        out = self.flush()
        self._cut_reported = False
        return [*out, self._gap(max(self._t_ns, until_ns))]

    def _resume(self, samples: np.ndarray, t_ns: int) -> tuple[np.ndarray, list[Gap]]:
        """The samples from the end of what was sent on; with the first of them, what is missing in between."""
        rate_hz = self._clock.rate_hz
        skipped = math.ceil(max(0, self._t_ns - t_ns) * rate_hz / 1e9)
        if skipped >= len(samples):
            return samples[:0], []
        first_ns = max(self._t_ns, t_ns + skipped * 1_000_000_000 // rate_hz)
        gap = [] if self._cut_reported and first_ns - self._t_ns <= CHUNK_NS else [self._gap(first_ns)]
        self._t_ns, self._flowing, self._cut_reported = first_ns, True, True
        return samples[skipped:], gap

    def _chunk(self) -> AudioChunk:
        pcm, self._pending = self._pending[:CHUNK_SAMPLES], self._pending[CHUNK_SAMPLES:]
        chunk = AudioChunk(source=self.source, t_ns=self._t_ns, pcm=pcm)
        self._t_ns = chunk.t_end_ns
        return chunk

    def _gap(self, until_ns: int) -> Gap:
        lost = max(1, round((until_ns - self._t_ns) / CHUNK_NS))
        gap = Gap(source=self.source, t_start_ns=self._t_ns, t_end_ns=until_ns, lost=lost, cause="device")
        self._t_ns = until_ns
        self.dropped += lost
        return gap


def _bent(pcm: np.ndarray, by: int) -> np.ndarray:
    """One sample more (`by` 1) or less (-1), where it is heard least. Shapes: pcm (n,) int16, n > 2."""
    if by == 0:
        return pcm
    wide = pcm.astype(np.int32)
    if by > 0:
        before = int(np.argmin(np.abs(np.diff(wide))))
        return np.insert(pcm, before + 1, (wide[before] + wide[before + 1]) // 2)
    return np.delete(pcm, int(np.argmin(np.abs(wide[2:] - wide[:-2]))) + 1)
