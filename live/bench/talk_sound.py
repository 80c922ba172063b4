"""What one microphone hears of a made conversation: rooms, distances, noise, the telephone, a microphone that is moved.

Like real rooms: reverberation that falls by 60 dB in 0.1 to 0.7 s, and that is the stronger against the direct sound
the farther somebody sits (critical distance, Kuttruff, Room Acoustics: 0.057 sqrt(Q V / RT60) m, Q = 2 for a voice);
levels that differ by up to 12 dB between people; noise and music at 10 to 30 dB below the speech; a telephone of 300 to
3400 Hz, 8 kHz, in the mu-law of ITU-T G.711.
Not like them: an echo is noise with a decay (Polack 1988), without single reflections and equal at all frequencies;
nobody turns the head, walks, coughs or touches anything; nobody speaks up in noise; shouting and whispering differ less
in loudness than they do (`LOUDNESS`); the sources were recorded in other rooms, whose traces stay; the music is chords.

The rule of this file: what is random comes from the generator that is given. Waves are float64, full scale is 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from erc_live.live.bench.talk import SpokenClip, TalkScript, VoiceInventory
from erc_live.streams.messages import SAMPLE_RATE_HZ

DISTANCE_M = (0.5, 2.0)  # 12 dB between the nearest and the farthest
DECAY_S = (0.1, 0.7)
NEAR_DECAY_S = (0.1, 0.3)  # by telephone: the mouth is near
DIRECTIVITY = 2.0  # Q of a voice
VOLUME_M3 = (30.0, 200.0)
REFLECTIONS_S = 0.004  # after the direct sound
SHARE_TELEPHONE, TELEPHONE_HZ, TELEPHONE_RATE = 0.25, (300.0, 3_400.0), 2  # 16 kHz are 2 samples for 1
MU = 255.0
SNR_DB, QUIET_SNR_DB = (10.0, 30.0), 40.0
SHARE_QUIET = 0.3
SHARE_MOVED, MOVED_AT, MOVES_S = 0.25, (0.4, 0.6), 0.3
FARTHER = (1.5, 2.5)  # times the distance, after the microphone was moved
DULLED_HZ, DULL_DB = 1_000.0, 4.0  # per octave above, since it no longer points at anybody
LOUDNESS, LOUDER_DB = 0.5, 6.0  # this part of what a clip is louder (dB) than the person's others, and at most so much
LEVEL_DB = (-32.0, -22.0)  # of the speech, relative to full scale
PEAK = 0.99
FADE = SAMPLE_RATE_HZ // 100  # at both ends of a clip
HUM_HZ, HUM_TONES = 100.0, 5
CHORDS_HZ = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7), (164.8, 207.7, 246.9))
CHORD_S = 0.9


@dataclass(frozen=True)
class TalkScene:
    """Where a conversation takes place. `noise`: a name of `NOISES`; `moved_s`: when the microphone is, None: never."""

    decay_s: float
    volume_m3: float
    distances_m: tuple[float, ...]
    farther: float
    telephone: bool
    noise: str
    snr_db: float
    moved_s: float | None
    level_db: float


def draw_scene(script: TalkScript, generator: Generator) -> TalkScene:
    """A place for a conversation. It is by telephone if a voice was recorded so: its band would give it away."""
    narrow = any(voice.narrow for voice in script.voices)
    quiet = generator.random() < SHARE_QUIET
    names = sorted(NOISES)
    moved = generator.random() < SHARE_MOVED
    telephone = bool(generator.random() < SHARE_TELEPHONE) or narrow
    moved_s = script.length / SAMPLE_RATE_HZ * generator.uniform(*MOVED_AT)
    return TalkScene(
        decay_s=round(generator.uniform(*(NEAR_DECAY_S if telephone else DECAY_S)), 3),
        volume_m3=round(generator.uniform(*VOLUME_M3), 1),
        distances_m=tuple(round(generator.uniform(*DISTANCE_M), 2) for _ in script.voices),
        farther=round(generator.uniform(*FARTHER), 2),
        telephone=telephone,
        noise="hiss" if quiet else names[int(generator.integers(len(names)))],
        snr_db=QUIET_SNR_DB if quiet else round(generator.uniform(*SNR_DB), 1),
        moved_s=round(moved_s, 2) if moved else None,
        level_db=round(generator.uniform(*LEVEL_DB), 1),
    )


def render_talk(script: TalkScript, scene: TalkScene, generator: Generator) -> np.ndarray:
    """What the microphone hears. Shapes: int16 (n,) at `SAMPLE_RATE_HZ`, n = `script.length`."""
    near, far = np.zeros(script.length), np.zeros(script.length)
    for voice, metres in zip(script.voices, scene.distances_m, strict=True):
        dry = _alone(script, voice)
        near += _in_room(dry, metres, scene, generator)
        if scene.moved_s is not None:
            far += _dulled(_in_room(dry, metres * scene.farther, scene, generator))
    if scene.moved_s is not None:
        near = _moved(near, far, scene.moved_s)
    power = float(np.median([np.square(near[a:b]).mean() for turn in script.turns for a, b in turn.sounding]))
    noise = NOISES[scene.noise](script.length, generator)
    wave = near + noise * np.sqrt(power / np.square(noise).mean() * 10 ** (-scene.snr_db / 10))
    wave *= 10 ** (scene.level_db / 20) / np.sqrt(power)
    wave *= min(1.0, PEAK / np.abs(wave).max())
    if scene.telephone:
        wave = _telephone(wave)
    pcm: np.ndarray = np.round(np.clip(wave, -1, 1) * 32_767).astype(np.int16)
    return pcm


def _alone(script: TalkScript, voice: VoiceInventory) -> np.ndarray:
    """One person 1 m from the microphone in a room without echo. Shapes: (n,)."""
    dry = np.zeros(script.length)
    usual_db = float(np.median([_level_db(clip) for clip in voice.clips]))
    for turn in script.turns:
        if turn.person != voice.person:
            continue
        for placed in turn.clips:
            level_db = _level_db(placed.clip)
            louder_db = np.clip(LOUDNESS * (level_db - usual_db), -LOUDER_DB, LOUDER_DB)
            wave = placed.clip.pcm[: placed.length] * 10 ** ((louder_db - level_db) / 20)
            ramp = np.minimum(np.arange(len(wave)) + 1, FADE) / FADE
            dry[placed.start : placed.start + len(wave)] += wave * ramp * ramp[::-1]
    return dry


def _level_db(clip: SpokenClip) -> float:
    """Power of the speech in a clip, dB over that of one step of the converter."""
    speech = np.concatenate([clip.pcm[a:b] for a, b in clip.sounding]).astype(np.float64)
    return float(10 * np.log10(np.square(speech).mean()))


def _in_room(dry: np.ndarray, metres: float, scene: TalkScene, generator: Generator) -> np.ndarray:
    """The voice from so far away: direct sound without its delay, then the echo. Shapes: (n,) -> (n,)."""
    length = round(scene.decay_s * SAMPLE_RATE_HZ)
    first = round(REFLECTIONS_S * SAMPLE_RATE_HZ)
    tail = generator.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[:first] = 0
    # Where direct sound and echo are equally strong.
    critical_m = 0.057 * (DIRECTIVITY * scene.volume_m3 / scene.decay_s) ** 0.5
    tail *= 1 / critical_m / np.sqrt(np.square(tail).sum())
    tail[0] = 1 / metres
    points = _points(len(dry) + length)
    return np.fft.irfft(np.fft.rfft(dry, points) * np.fft.rfft(tail, points), points)[: len(dry)]


def _moved(before: np.ndarray, after: np.ndarray, at_s: float) -> np.ndarray:
    share = np.clip((np.arange(len(before)) / SAMPLE_RATE_HZ - at_s) / MOVES_S, 0, 1)
    return before * (1 - share) + after * share


def _dulled(wave: np.ndarray) -> np.ndarray:
    return _filtered(wave, lambda hertz: 10 ** (-DULL_DB / 20 * np.log2(np.maximum(hertz / DULLED_HZ, 1))))


def _telephone(wave: np.ndarray) -> np.ndarray:
    """Band, every second sample, eight bits of mu-law, and back to the rate before."""
    low, high = TELEPHONE_HZ

    def band(hertz: np.ndarray) -> np.ndarray:
        octaves = np.log2(low / np.maximum(hertz, 1)).clip(0) + np.log2(np.maximum(hertz, 1) / high).clip(0)
        return np.where(hertz < SAMPLE_RATE_HZ / 2 / TELEPHONE_RATE, 10 ** (-48 / 20 * octaves), 0)  # 48 dB per octave

    narrow = np.clip(_filtered(wave, band)[::TELEPHONE_RATE], -1, 1)
    pressed = np.sign(narrow) * np.log1p(MU * np.abs(narrow)) / np.log1p(MU)
    pressed = np.round(pressed * 127) / 127
    wide = np.zeros(len(narrow) * TELEPHONE_RATE)
    wide[::TELEPHONE_RATE] = TELEPHONE_RATE * np.sign(pressed) * np.expm1(np.abs(pressed) * np.log1p(MU)) / MU
    return _filtered(wide[: len(wave)], lambda hertz: (hertz < SAMPLE_RATE_HZ / 2 / TELEPHONE_RATE).astype(float))


def _filtered(wave: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Without any delay. `gain` of frequencies in Hz. Shapes: (n,) -> (n,)."""
    points = _points(len(wave))
    hertz = np.fft.rfftfreq(points, 1 / SAMPLE_RATE_HZ)
    return np.fft.irfft(np.fft.rfft(wave, points) * gain(hertz), points)[: len(wave)]


def _points(length: int) -> int:
    """Of a transform that holds so many samples and is fast."""
    return -(-length // 8_192) * 8_192


def _hiss(length: int, generator: Generator) -> np.ndarray:
    return _coloured(length, 0.0, generator)


def _fan(length: int, generator: Generator) -> np.ndarray:
    """Air, and the hum of a motor."""
    t = np.arange(length) / SAMPLE_RATE_HZ
    hum = sum(np.sin(2 * np.pi * HUM_HZ * k * t + generator.uniform(0, 6.28)) / k for k in range(1, HUM_TONES + 1))
    return _coloured(length, 1.6, generator) + 0.7 * hum


def _street(length: int, generator: Generator) -> np.ndarray:
    """A rumble that comes and goes over some seconds."""
    seconds = np.arange(-(-length // SAMPLE_RATE_HZ) + 1)
    loudness = np.interp(np.arange(length) / SAMPLE_RATE_HZ, seconds, generator.uniform(0.3, 1.7, len(seconds)))
    return _coloured(length, 1.2, generator) * loudness


def _music(length: int, generator: Generator) -> np.ndarray:
    """Chords, plucked in an even beat, with a few overtones."""
    step = round(CHORD_S * SAMPLE_RATE_HZ)
    t = np.arange(step) / SAMPLE_RATE_HZ
    bars = []
    for chord in CHORDS_HZ:
        tones = [np.sin(2 * np.pi * hertz * k * t) / k**1.5 for hertz in chord for k in (1, 2, 3, 4)]
        bars.append(np.sum(tones, axis=0) * np.exp(-t / 0.5) * np.minimum(t / 0.01, 1))
    order = generator.integers(len(bars), size=-(-length // step))
    music: np.ndarray = np.concatenate([bars[i] for i in order])[:length]
    return music


def _coloured(length: int, colour: float, generator: Generator) -> np.ndarray:
    """Noise of mean square 1 whose power falls with frequency to this: white 0, pink 1, brown 2; from 40 Hz on."""
    noise = _filtered(generator.standard_normal(length), lambda hertz: np.maximum(hertz, 40.0) ** (-colour / 2))
    even: np.ndarray = noise / np.sqrt(np.square(noise).mean())
    return even


NOISES: Mapping[str, Callable[[int, Generator], np.ndarray]] = {
    "fan": _fan,
    "hiss": _hiss,
    "music": _music,
    "street": _street,
}
