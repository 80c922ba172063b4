"""How a line, a room and other sounds spoil a voice: random changes for training, fixed ones for measuring.

Why: the clips to learn from were made in one studio; live voices come by telephone, from across a room, through noise,
and from people whom nobody recorded. All drawing is from the generator that is given, so a run can be repeated.
Waves are float32 (n,), mono at 16 kHz; levels are mean squares of the speech in them.
"""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from erc_live.models.encoders.voice import RATE_HZ, samples

FRAME = 160  # samples, 10 ms
AUDIBLE = 1e-3  # of the power of the loudest frame: what is more than 30 dB below it is no speech

# Training: share of the clips, and the range that is drawn from.
SHARE_SPEED, SPEED = 0.8, 0.17  # natural log of the ratio, either way: another pitch, another length of the throat
SHARE_ROOM, DECAY_S, DIRECT_DB = 0.35, (0.1, 0.9), (-1.0, 12.0)
SHARE_LINE = 0.6  # half of these also lose what is below and above a band
LOW_HZ, HIGH_HZ, SLOPE_DB = (50.0, 400.0), (2_800.0, 7_500.0), (12.0, 60.0)  # dB per octave outside the band
TONE_DB, TONES = 4.0, 6  # standard deviation at points over the seven octaves from 60 Hz
SHARE_NOISE, NOISE_DB = 0.55, (3.0, 25.0)  # the voice above the noise
SHARE_BABBLE, TALKERS = 0.35, (3, 6)  # of the noises
COLOUR = (0.0, 2.0)  # power falls with frequency to this: white 0, pink 1, brown 2

# Measuring: the telephone band, a noise that words are still understood in, a living room and no near microphone.
TELEPHONE_HZ, TELEPHONE_SLOPE_DB = (300.0, 3_400.0), 48.0
MEASURED_NOISE_DB = 10.0
MEASURED_DECAY_S, MEASURED_DIRECT_DB = (0.3, 0.8), 3.0


def spoil(wave: Tensor, others: Sequence[Tensor], generator: Generator) -> Tensor:
    """A voice as it might reach a microphone. `others`: waves of talkers in the background. Shapes: (n,) -> (m,)."""
    if _chance(SHARE_SPEED, generator):
        wave = _faster(wave, math.exp(_uniform((-SPEED, SPEED), generator)))
    points = _points(len(wave))
    gain = torch.ones(points // 2 + 1)
    if _chance(SHARE_LINE, generator):
        gain = _tone(points, generator)
        if _chance(0.5, generator):
            band = _uniform(LOW_HZ, generator), _uniform(HIGH_HZ, generator)
            gain = gain * _band(points, band, _uniform(SLOPE_DB, generator))
    if _chance(SHARE_ROOM, generator):
        gain = gain * _echo(points, _uniform(DECAY_S, generator), _uniform(DIRECT_DB, generator), generator)
    if not _chance(SHARE_NOISE, generator):
        return _through(wave, gain)
    noise = _background(len(wave), others, generator)
    ratio_db = _uniform(NOISE_DB, generator)
    if _chance(0.5, generator):  # noise in the room, or in the line
        return _through(_with(wave, noise, ratio_db), gain)
    return _with(_through(wave, gain), noise, ratio_db)


def _telephone(wave: Tensor, _: Generator) -> Tensor:
    return _through(wave, _band(_points(len(wave)), TELEPHONE_HZ, TELEPHONE_SLOPE_DB))


def _noise(wave: Tensor, generator: Generator) -> Tensor:
    colour = float(torch.randint(2, (), generator=generator))
    return _with(wave, _coloured(len(wave), colour, generator), MEASURED_NOISE_DB)


def _room(wave: Tensor, generator: Generator) -> Tensor:
    decay_s = _uniform(MEASURED_DECAY_S, generator)
    return _through(wave, _echo(_points(len(wave)), decay_s, MEASURED_DIRECT_DB, generator))


# 300 to 3400 Hz; white or pink noise 10 dB below the speech; echoes that fall by 60 dB in 0.3 to 0.8 s, 3 dB below it.
DEGRADATIONS: Mapping[str, Callable[[Tensor, Generator], Tensor]] = {
    "telephone": _telephone,
    "noise": _noise,
    "room": _room,
}


def degrade(pcm: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The same recording under fixed conditions, one after the other. What is drawn depends on the samples alone.

    Shapes: int16 (n,), n >= 0 -> int16 (n,). It is made quieter where it would be clipped.
    """
    if not names or not pcm.any():
        return pcm
    generator = Generator().manual_seed(zlib.crc32(pcm.tobytes()))
    wave = samples(pcm)
    for name in names:
        wave = DEGRADATIONS[name](wave, generator)
    wave = wave / torch.clamp(wave.abs().max(), min=1.0)
    spoilt: np.ndarray = (wave * 32_767).round().to(torch.int16).numpy()
    return spoilt


def trimmed(wave: Tensor, margin_s: float = 0.2) -> Tensor:
    """Without most of the silence around the speech, which it would be dear to spoil. Shapes: (n,) -> (m,)."""
    loud = torch.nonzero(_frames(wave) > 0.1 * AUDIBLE * _frames(wave).amax())[:, 0] * FRAME
    margin = round(margin_s * RATE_HZ)
    return wave[max(int(loud[0]) - margin, 0) : int(loud[-1]) + margin] if len(loud) else wave


def level(wave: Tensor) -> float:
    """Mean square of the frames that may be speech; 0 in silence. Shapes: (n,)"""
    power = _frames(wave)
    return float(power[power >= AUDIBLE * power.amax()].mean()) if len(power) else 0.0


def _frames(wave: Tensor) -> Tensor:
    return wave[: len(wave) // FRAME * FRAME].view(-1, FRAME).square().mean(1)


def _uniform(span: tuple[float, float], generator: Generator) -> float:
    low, high = span
    return low + (high - low) * float(torch.rand((), generator=generator))


def _chance(share: float, generator: Generator) -> bool:
    return bool(torch.rand((), generator=generator) < share)


def _faster(wave: Tensor, ratio: float) -> Tensor:
    """Played faster, pitch and throat with it. Straight lines between samples dull the highest octave, as lines do."""
    return F.interpolate(wave[None, None], size=round(len(wave) / ratio), mode="linear")[0, 0]


def _ratio(decibels: Tensor) -> Tensor:
    return torch.exp(decibels * (math.log(10) / 20))


def _points(samples_in: int) -> int:
    """Of a transform that holds so many samples and a second of echo, and is fast: a multiple of 4096."""
    return -(-(samples_in + RATE_HZ) // 4_096) * 4_096


def _hertz(points: int) -> Tensor:
    return torch.linspace(0, RATE_HZ / 2, points // 2 + 1)


def _through(wave: Tensor, gain: Tensor) -> Tensor:
    """Filtered. Shapes: wave (n,), gain (points / 2 + 1,) real or complex -> (n,)."""
    points = 2 * (len(gain) - 1)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(wave, points) * gain, points)
    return filtered[: len(wave)]


def _band(points: int, band_hz: tuple[float, float], slope_db: float) -> Tensor:
    hertz = _hertz(points).clamp(min=1.0)
    octaves = torch.log2(band_hz[0] / hertz).clamp(min=0) + torch.log2(hertz / band_hz[1]).clamp(min=0)
    return _ratio(-(slope_db * octaves).clamp(max=80.0))


def _tone(points: int, generator: Generator) -> Tensor:
    """The colour of a microphone: straight lines, over the logarithm of the frequency, between random points."""
    heights = TONE_DB * torch.randn(TONES, generator=generator)
    place = torch.log2(_hertz(points).clamp(min=60.0) / 60.0) / 7 * (TONES - 1)
    first = place.long().clamp(max=TONES - 2)
    return _ratio(torch.lerp(heights[first], heights[first + 1], place - first))


def _echo(points: int, decay_s: float, direct_db: float, generator: Generator) -> Tensor:
    """Transform of a room: the direct sound, then, `direct_db` below it, noise that falls by 60 dB in `decay_s`
    (Polack 1988).
    """
    length = round(decay_s * RATE_HZ)
    tail = torch.randn(length, generator=generator) * _ratio(-60 * torch.arange(length) / length)
    tail[: round(_uniform((0.002, 0.012), generator) * RATE_HZ)] = 0
    tail = tail / tail.square().sum().sqrt() * 10 ** (-direct_db / 20)
    tail[0] = 1
    transform: Tensor = torch.fft.rfft(tail, points)
    return transform


def _coloured(length: int, colour: float, generator: Generator) -> Tensor:
    """Noise of mean square 1 from 40 Hz on."""
    spectrum = torch.fft.rfft(torch.randn(length, generator=generator))
    hertz = torch.linspace(0, RATE_HZ / 2, len(spectrum)).clamp(min=40.0)
    noise: Tensor = torch.fft.irfft(spectrum * hertz.pow(-colour / 2), length)
    return noise / noise.square().mean().sqrt()


def _background(length: int, others: Sequence[Tensor], generator: Generator) -> Tensor:
    """Noise of some colour, or several talkers at once."""
    if not others or not _chance(SHARE_BABBLE, generator):
        return _coloured(length, _uniform(COLOUR, generator), generator)
    babble = torch.zeros(length)
    for _ in range(int(torch.randint(TALKERS[0], TALKERS[1] + 1, (), generator=generator))):
        other = others[int(torch.randint(len(others), (), generator=generator))]
        start = int(torch.randint(len(other), (), generator=generator))
        babble += other.roll(-start).repeat(-(-length // len(other)))[:length] / math.sqrt(level(other) + 1e-12)
    return babble


def _with(wave: Tensor, noise: Tensor, ratio_db: float) -> Tensor:
    """The wave with noise so far below its speech."""
    return wave + noise * math.sqrt(level(wave) / (level(noise) + 1e-12) * 10 ** (-ratio_db / 10))
