"""The three contours of Praat, in plain torch: intensity, pitch and harmonicity of speech, for many waves at once.

What: the frame-by-frame measurements from which the prosody features (`audio.py`) are taken.
Why: Praat's own binding is under the GPL and measures one file at a time; here it is only the oracle of the tests. This
is written from the papers and agrees with Praat as far as `tests/models/test_audio_encoder.py` says, so corpora that
were measured with Praat stay usable.
Rule: frames of all waves are packed one after the other, never padded, until the path search. A frame sees its own wave
only, so the waves that one is measured with do not change its result. No state, no I/O, any device.

Sources: P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound", Proc. Inst. Phonetic Sciences 17 (1993), 97-110, cited as [B93];
J. F. Kaiser and R. W. Schafer, "On the use of the I0-sinh window for spectrum analysis", IEEE TASSP 28 (1980), 105-107.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

HEARING_THRESHOLD_PA2 = (2e-5) ** 2  # 0 dB; a sample of 1.0 is taken as 1 Pa
SILENCE_PA2 = 1e-14  # mean square; one step of 16 bit in a thousand samples is 1e-12, so only digital silence is below
KAISER_BETA = 20.24  # side lobes below -190 dB
FRAMES_AT_ONCE = 64  # 0.2 MB of samples: a block of frames and its spectra stay in the cache of a core
FAINTEST = 1e-4  # a correlation, -40 dB as harmonicity: well above what rounding makes of no correlation
REFINEMENT = 8  # grid points per lag when a peak of the correlation is interpolated
REACH = 24  # lags on either side that the interpolation uses


@dataclass(frozen=True)
class PitchSettings:
    """The parameters of [B93] with the values that the paper and Praat call the standard ones."""

    floor_hz: float = 75.0
    ceiling_hz: float = 600.0
    step_s: float = 0.01
    candidates: int = 15  # one of them is "unvoiced"
    silence_threshold: float = 0.03
    voicing_threshold: float = 0.45
    octave_cost: float = 0.01
    octave_jump_cost: float = 0.35
    voiced_unvoiced_cost: float = 0.14


@dataclass(frozen=True)
class Waves:
    """Waves end to end, each relative to its own mean.

    Shapes: samples (N,) float32; lengths and peaks (largest magnitude, never 0) per wave.
    """

    samples: Tensor
    lengths: tuple[int, ...]
    peaks: Tensor
    rate_hz: int


@dataclass(frozen=True)
class Grid:
    """Where the frames lie: evenly spaced and centred in their wave, as many as fit whole.

    Shapes: centres (F,) index into `Waves.samples` of the sample right of the middle of each frame; owner (F,) the wave
    it belongs to; counts, first_s: frames per wave and the time of the first one within its wave.
    """

    centres: Tensor
    owner: Tensor
    counts: tuple[int, ...]
    first_s: tuple[float, ...]
    step_s: float

    def unpack(self, packed: Tensor, filling: float) -> Tensor:
        """(F, ...) -> (B, T, ...), T = longest but at least 1; shorter waves end in `filling`."""
        counts = torch.tensor(self.counts, device=packed.device)
        present = torch.arange(max(1, *self.counts), device=packed.device) < counts[:, None]
        out = packed.new_full((*present.shape, *packed.shape[1:]), filling)
        out[present] = packed
        return out


def pack(waves: Sequence[Tensor], rate_hz: int) -> Waves:
    """Join float32 waves (n,), n >= 0, on the device of the first."""
    # In double precision the mean of a constant is that constant, and what is left of it is true silence.
    centred = [(wave.double() - wave.double().mean()).float() if wave.numel() else wave.float() for wave in waves]
    peaks = torch.stack([wave.abs().max() if wave.numel() else wave.new_zeros(()) for wave in centred])
    return Waves(torch.cat(centred), tuple(len(wave) for wave in centred), peaks.clamp(min=SILENCE_PA2), rate_hz)


def grid(waves: Waves, window_s: float, step_s: float) -> Grid:
    """Frames of `window_s` every `step_s`; a wave shorter than the window has none."""
    step = step_s * waves.rate_hz
    centres, counts, first_s, offset = [], [], [], 0
    for length in waves.lengths:
        # In seconds, like Praat: where the quotient is a whole number, rounding decides, and is to decide the same way.
        count = max(0, math.floor((length * (1.0 / waves.rate_hz) - window_s) / step_s) + 1)
        first = 0.5 * (length - (count - 1) * step)
        centres.append(torch.floor(first + 0.5 + step * torch.arange(count, dtype=torch.float64)).long() + offset)
        counts.append(count)
        first_s.append(first / waves.rate_hz)
        offset += length
    device = waves.samples.device
    owner = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Grid(torch.cat(centres).to(device), owner.to(device), tuple(counts), tuple(first_s), step_s)


def _blocks(waves: Waves, frames: Grid, before: int, after: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples (f, before + after) around the centres, block by block, and the owners (f,) of the frames."""
    around = pad(waves.samples, (before, after)).unfold(0, before + after, 1)
    for first in range(0, len(frames.centres), FRAMES_AT_ONCE):
        block = slice(first, first + FRAMES_AT_ONCE)
        yield around[frames.centres[block]], frames.owner[block]


def intensity(waves: Waves, floor_hz: float) -> tuple[Tensor, Grid]:
    """Mean square pressure (F,) in Pa^2, without what is periodic above `floor_hz`; 0 where there is digital silence.

    Squares of the samples relative to the mean of their frame, weighted by a Kaiser window of 6.4 periods of the floor
    (half as long in effect), every eighth of it.
    """
    frames = grid(waves, 6.4 / floor_hz, 0.8 / floor_hz)
    half = round(3.2 / floor_hz * waves.rate_hz)
    weights = torch.kaiser_window(2 * half + 1, periodic=False, beta=KAISER_BETA, device=waves.samples.device)
    weights = weights / weights.sum()
    blocks = _blocks(waves, frames, half, half + 1)
    parts = [(x - x.mean(1, keepdim=True)).square() @ weights for x, _ in blocks]
    power = torch.cat(parts) if parts else waves.samples.new_zeros(0)
    return torch.where(power > SILENCE_PA2, power, 0.0), frames


def decibel(power: Tensor) -> Tensor:
    """Pa^2 -> dB relative to the threshold of hearing; -inf for 0."""
    return 10.0 * torch.log10(power / HEARING_THRESHOLD_PA2)


def pitch(waves: Waves, settings: PitchSettings) -> tuple[Tensor, Grid]:
    """Fundamental frequency (B, T) in Hz by autocorrelation and the cheapest path [B93].

    NaN where a frame is unvoiced or past the end of its wave.
    """
    frames = grid(waves, 3.0 / settings.floor_hz, settings.step_s)
    if not frames.centres.numel():
        return waves.samples.new_full((len(waves.lengths), 1), math.nan), frames
    parts = []
    for correlation, loudness in _autocorrelations(waves, frames, settings.floor_hz):
        lags, heights = _peaks(
            correlation,
            longest=math.floor(waves.rate_hz / settings.floor_hz) + 1,
            count=settings.candidates - 1,
            floor=0.5 * settings.voicing_threshold,
            octave_cost=settings.octave_cost,
        )
        parts.append(_scores(waves.rate_hz / lags, heights, loudness, settings))
    hertz, score = (frames.unpack(torch.cat(part), 0.0) for part in zip(*parts, strict=True))
    path = _cheapest_path(hertz, score, frames, settings)
    chosen = hertz.gather(2, path.unsqueeze(2)).squeeze(2)
    return torch.where(chosen > 0.0, chosen, math.nan), frames


def _autocorrelations(waves: Waves, frames: Grid, floor_hz: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised autocorrelation (f, lags) of Hann-windowed frames [B93], and their loudness (f,).

    The loudness is the largest magnitude within the middle period relative to the largest of the whole wave.
    """
    period = round(waves.rate_hz / floor_hz)
    half = round(1.5 * waves.rate_hz / floor_hz)
    lags = period + 3 + REACH
    size = _fast_length(2 * half + lags)  # with room for the longest lag, so that nothing wraps around
    window = torch.hann_window(2 * half, periodic=False, device=waves.samples.device)
    of_window = _autocorrelate(window, size)[:lags]
    for x, owner in _blocks(waves, frames, half, half):
        x = x - x[:, half - period : half + period].mean(1, keepdim=True)
        windowed = x * window
        middle = windowed[:, half - period // 2 : half + period // 2].abs().amax(1)
        own = _autocorrelate(windowed, size)[:, :lags]
        silent = own[:, :1] <= SILENCE_PA2
        yield torch.where(silent, 0.0, own / own[:, :1] / (of_window / of_window[0])), middle / waves.peaks[owner]


def _autocorrelate(x: Tensor, size: int) -> Tensor:
    """Sum over i of x[i] x[i + lag], lag = 0 ... size - 1 (circular: the size has room for zeros)."""
    spectrum = torch.fft.rfft(x, size)
    correlation: Tensor = torch.fft.irfft(spectrum.real.square() + spectrum.imag.square(), size)
    return correlation


def _fast_length(samples: int) -> int:
    """The next length with at least 1/16 of it a power of two, which has only small factors."""
    unit = 1 << max(samples.bit_length() - 5, 0)
    return -(-samples // unit) * unit


def _peaks(r: Tensor, *, longest: int, count: int, floor: float, octave_cost: float) -> tuple[Tensor, Tensor]:
    """The `count` best local maxima above `floor` of correlations r (f, >= longest + REACH) at lags 2 ... longest - 1.

    Returns their lags in samples and their heights, both (f, count), height -inf where a frame has fewer. Short lags
    are preferred by `octave_cost` per octave. All are interpolated before they are ranked: a peak that falls between
    two samples of a correlation with a fast ripple looks far lower than it is.
    """
    before, here, after = r[:, 1 : longest - 1], r[:, 2:longest], r[:, 3 : longest + 1]
    maximum = (here > floor) & (here > before) & (here >= after)
    frame, place = torch.nonzero(maximum, as_tuple=True)
    lag, height = _refine(r, frame, place + 2)
    lags, heights, rank = torch.ones_like(here), torch.full_like(here, -math.inf), torch.full_like(here, -math.inf)
    lags[frame, place], heights[frame, place], rank[frame, place] = lag, height, height - octave_cost * lag.log2()
    best = rank.topk(count).indices
    return lags.gather(1, best), heights.gather(1, best)


def _refine(r: Tensor, frame: Tensor, lag: Tensor) -> tuple[Tensor, Tensor]:
    """Lags and heights (p,) of the maxima of r next to whole lags, by interpolation with a Hann-windowed sinc."""
    taps = torch.arange(-REACH, REACH + 1, device=r.device)
    offsets = torch.arange(-REFINEMENT, REFINEMENT + 1, device=r.device) / REFINEMENT
    distance = offsets - taps[:, None]
    kernel = torch.sinc(distance) * torch.cos(0.5 * math.pi * (distance / (REACH + 1)).clamp(-1, 1)).square()
    fine = r[frame[:, None], (lag[:, None] + taps).abs()] @ kernel  # a correlation is even in the lag
    best = fine.argmax(1, keepdim=True).clamp(1, 2 * REFINEMENT - 1)
    before, here, after = (fine.gather(1, best + k).squeeze(1) for k in (-1, 0, 1))
    shift = (0.5 * (after - before) / (2 * here - before - after).clamp(min=1e-12)).clamp(-1, 1)
    height = here + 0.25 * (after - before) * shift
    # Interpolation can lead past a perfect correlation; such a peak is as much too good as its inverse is too bad.
    height = torch.where(height > 1.0, 1.0 / height, height)
    return lag + (best.squeeze(1) - REFINEMENT + shift) / REFINEMENT, height


def _unvoiced(loudness: Tensor, voicing_threshold: float, silence_threshold: float) -> Tensor:
    """Strength of the hypothesis that a frame is unvoiced [B93]: high where it is quiet."""
    return voicing_threshold + (2.0 - loudness * (1.0 + voicing_threshold) / silence_threshold).clamp(min=0.0)


def _scores(hertz: Tensor, heights: Tensor, loudness: Tensor, settings: PitchSettings) -> tuple[Tensor, Tensor]:
    """Frequencies and local scores (f, candidates) [B93].

    The last candidate is "unvoiced", 0 Hz; one above the ceiling counts as unvoiced too.
    """
    unvoiced = _unvoiced(loudness, settings.voicing_threshold, settings.silence_threshold).unsqueeze(1)
    voiced = hertz <= settings.ceiling_hz
    strength = heights - settings.octave_cost * torch.log2(settings.ceiling_hz / hertz)
    score = torch.where(voiced, strength, torch.where(heights > -math.inf, unvoiced, -math.inf))
    zero = hertz.new_zeros(())
    return pad(torch.where(voiced, hertz, zero), (0, 1)), torch.cat((score, unvoiced), 1)


def _cheapest_path(hertz: Tensor, score: Tensor, frames: Grid, settings: PitchSettings) -> Tensor:
    """The candidate (B, T) of every frame on the path with the best sum of scores less transition costs [B93].

    Viterbi: the loop over frames does all candidates of all waves at once and nothing else. Past the end of a wave
    nothing costs anything, so the best end of the padded path is the best end of the wave.
    """
    voiced = hertz > 0.0
    octaves = torch.where(voiced, hertz, 1.0).log2()
    jump = settings.octave_jump_cost * (octaves[:, 1:, :, None] - octaves[:, :-1, None, :]).abs()
    both = voiced[:, 1:, :, None] & voiced[:, :-1, None, :]
    change = voiced[:, 1:, :, None] ^ voiced[:, :-1, None, :]
    cost = torch.where(both, jump, settings.voiced_unvoiced_cost * change) * (0.01 / settings.step_s)
    counts = torch.tensor(frames.counts, device=hertz.device)[:, None]
    cost *= (torch.arange(1, hertz.shape[1], device=hertz.device) < counts)[..., None, None]
    best = [score[:, 0]]
    for spent, gained in zip(cost.unbind(1), score.unbind(1)[1:], strict=True):
        best.append((best[-1][:, None] - spent).amax(2) + gained)
    origins = (torch.stack(best[:-1], 1)[:, :, None] - cost).argmax(3).tolist() if cost.numel() else [[]] * len(best[0])
    paths = [[last] for last in best[-1].argmax(1).tolist()]
    for path, origin in zip(paths, origins, strict=True):
        for of_candidate in reversed(origin):
            path.append(of_candidate[path[-1]])
    return torch.tensor(paths, device=hertz.device).flip(1)


def harmonicity(waves: Waves, floor_hz: float, step_s: float, silence_threshold: float) -> tuple[Tensor, Grid]:
    """Harmonics-to-noise ratio (B, T) in dB by forward cross-correlation [B93]; NaN: silent, or past the end.

    One period of the floor is compared with the samples `lag` later, each normalised by its own energy; the best lag r
    gives 10 log10(r / (1 - r)).
    """
    frames = grid(waves, 2.0 / floor_hz, step_s)
    period = math.floor(waves.rate_hz / floor_hz)
    window = 2 * (period // 2 - 1)
    lags = period + 3 + REACH
    size = _fast_length(window + 2 * lags)
    parts = []
    for x, owner in _blocks(waves, frames, period + 1, period + 1 + REACH):
        x = x - x[:, : 2 * period].mean(1, keepdim=True)
        middle = x[:, period + 1 - period // 2 : period + 1 + period // 2].abs().amax(1)
        energy = pad(x.square().double().cumsum(1), (1, 0))
        of_lag = (energy[:, window : window + lags] - energy[:, :lags]).float()
        r = torch.fft.irfft(
            torch.fft.rfft(x[:, :window], size).conj() * torch.fft.rfft(x[:, : window + lags], size), size
        )
        r = r[:, :lags] / (of_lag * of_lag[:, :1]).sqrt()
        r = torch.where(of_lag.amin(1, keepdim=True) > SILENCE_PA2, r, 0.0)
        height = _peaks(r, longest=window + 2, count=1, floor=FAINTEST, octave_cost=0.0)[1].squeeze(1)
        voiced = height > _unvoiced(middle / waves.peaks[owner], 0.0, silence_threshold)
        height = height.clamp(max=1.0 - 1e-7)  # 70 dB: single precision can tell no more
        parts.append(torch.where(voiced, 10.0 * torch.log10(height / (1.0 - height)), math.nan))
    packed = torch.cat(parts) if parts else waves.samples.new_zeros(0)
    return frames.unpack(packed, math.nan), frames
