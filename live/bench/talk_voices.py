"""Where the voices of made conversations come from.

| source | one turn is | what is known of the voice |
|---|---|---|
| a folder of clips of one person | one or several clips | the acted emotion, if the names are those of RAVDESS |
| a recording of one person alone, such as one side of a call | a stretch with its own pauses | nothing |
| flite, a synthesiser | one or several sentences | how it was asked to speak |

Where somebody sounds is judged by loudness, in the source alone (`recordings.sounding`), before any room or noise.
Real: the voices of recordings, and the pauses in them. Not real: actors repeat two sentences; a short answer of an
actor is the first word of one; a synthesiser's emotion is pitch and pace, and its breath is missing.
The rule of this file: the same files, and the same flite, give the same voices.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from erc_live.live.bench.recordings import SOUNDS, SpeakerSegment, joined, read, sounding
from erc_live.live.bench.talk import Span, SpokenClip, VoiceInventory
from erc_live.live.demo import flite
from erc_live.live.demo.script import ANGER, JOY, NEUTRAL, SADNESS
from erc_live.live.errors import ConfigError
from erc_live.models.corpora.ravdess import EMOTIONS, FILE
from erc_live.streams.media import probe
from erc_live.streams.messages import SAMPLE_RATE_HZ

TURN_GAP_S = 1.0  # a longer pause in a recording of one person is between two turns
LONGEST_S = 12.0  # of a turn; longer ones are cut at their longest pauses
BACKCHANNEL_S = (0.3, 0.6)
WORDS = 6  # so many first words of clips serve as short answers
MARGIN = SAMPLE_RATE_HZ // 10  # around a clip: the weak beginnings and ends of words
STEP = SAMPLE_RATE_HZ // 100  # loudness is measured every 10 ms

# Voices of flite that a reader of voices tells apart, with their mean pitch in Hz.
VOICES = {"slt": 167.0, "rms": 100.0, "awb": 117.0, "kal16": 105.0}
MANNERS = {"neutral": NEUTRAL, "joy": JOY, "sadness": SADNESS, "anger": ANGER}
SENTENCES = (
    "Well, I think we should leave a little before nine.",
    "No, wait, that is not what she wrote in the letter.",
    "My brother came home last night, and he brought the dog.",
    "It was raining, so we stayed inside and played cards.",
    "Honestly, I have no idea where the keys are.",
    "If you ask me, the second one was much better than the first.",
    "They called again this morning about the broken window.",
    "Can you give me a hand with this box, please?",
)
ANSWERS = ("yeah", "right", "okay", "uh huh")


def read_voices(
    folders: Sequence[Path], files: Sequence[Path], synthetic: Sequence[str], advance: Callable[[str], None]
) -> list[VoiceInventory]:
    """All voices: of folders of clips, of recordings, and voices of flite by their names.

    `advance` is called with the name of each before it is read. Raises ConfigError, EngineError, MediaError.
    """
    found = []
    for read_voice, paths in ((from_clips, folders), (from_recording, files)):
        for path in paths:
            advance(path.name)
            found.append(read_voice(path))
    for name in synthetic:
        advance(name)
        found.append(from_flite(name))
    return found


def from_clips(folder: Path) -> VoiceInventory:
    """One person, who spoke each clip of a folder; named after it. Raises ConfigError, MediaError."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUNDS) if folder.is_dir() else []
    if not paths:
        raise ConfigError(f"--clips {folder}: no sound file in it; name a folder with clips of one person")
    clips = [clip for path in paths if (clip := _clip(path.name, _style(path), read(path))) is not None]
    if not clips:
        raise ConfigError(f"--clips {folder}: nobody is to be heard in its {len(paths)} sound files")
    return VoiceInventory(_name(folder), tuple(clips), _first_words(clips), _is_narrow(paths[0]))


def from_recording(path: Path) -> VoiceInventory:
    """One person, who is alone in a recording and pauses while others speak. Raises ConfigError, MediaError."""
    if not path.is_file():
        raise ConfigError(f"--call {path}: no such file; name a recording of one person alone")
    pcm, name = read(path), _name(path.with_suffix(""))
    parts = [(s.start_s, s.end_s) for s in sounding(pcm, [SpeakerSegment(0.0, len(pcm) / SAMPLE_RATE_HZ, name)])]
    turns = [turn for whole in _grouped(parts) for turn in _short_enough(whole)]
    clips = [_cut(f"{path.name} {turn[0][0]:.2f} s", pcm, [_span(part) for part in turn]) for turn in turns]
    short = [clip for clip in clips if clip.sounding_to - clip.sounding_from <= BACKCHANNEL_S[1] * SAMPLE_RATE_HZ]
    long = [clip for clip in clips if clip not in short]
    if not long:
        raise ConfigError(f"--call {path}: nobody speaks for longer than {BACKCHANNEL_S[1]} s in it")
    return VoiceInventory(name, tuple(long), tuple(short) or _first_words(long), _is_narrow(path))


def from_flite(voice: str) -> VoiceInventory:
    """A voice of flite, which reads our sentences in several manners. Raises ConfigError, EngineError."""
    if voice not in VOICES:
        raise ConfigError(f"--flite {voice}: no voice that is told apart; there are {', '.join(VOICES)}")
    speak = partial(_spoken, voice)
    clips = tuple(speak(text, style) for style in MANNERS for text in SENTENCES)
    return VoiceInventory(voice, clips, tuple(speak(text, "neutral") for text in ANSWERS))


def _spoken(voice: str, text: str, style: str) -> SpokenClip:
    manner = MANNERS[style]
    pcm = flite.synthesise(text, voice, VOICES[voice] * manner.pitch, manner.pace)
    loud = pcm.astype(np.float64) * 10 ** (manner.gain_db / 20)
    silence = np.zeros(MARGIN)
    padded = np.concatenate([silence, np.clip(np.round(loud), -32_768, 32_767), silence]).astype(np.int16)
    clip = _clip(text, style, padded)
    if clip is None:
        raise ConfigError(f"flite voice {voice}: {text!r} is silence; choose other voices with --clips")
    return clip


def _clip(name: str, style: str, pcm: np.ndarray) -> SpokenClip | None:
    """A sound of one person without the silence around it; None if nothing is to be heard."""
    parts = sounding(pcm, [SpeakerSegment(0.0, len(pcm) / SAMPLE_RATE_HZ, name)])
    return _cut(name, pcm, [_span((part.start_s, part.end_s)) for part in parts], style) if parts else None


def _cut(name: str, pcm: np.ndarray, spans: Sequence[Span], style: str = "") -> SpokenClip:
    first, last = max(spans[0][0] - MARGIN, 0), min(spans[-1][1] + MARGIN, len(pcm))
    return SpokenClip(name, style, pcm[first:last], tuple((a - first, b - first) for a, b in spans))


def _first_words(clips: Sequence[SpokenClip]) -> tuple[SpokenClip, ...]:
    """Short answers where nobody gave any: each clip up to its quietest moment after some tenths of a second."""
    calm = [clip for clip in clips if clip.style in ("", "neutral", "calm")] or clips
    words = []
    for clip in calm[:WORDS]:
        first, last = clip.sounding[0]
        low, high = (first + round(s * SAMPLE_RATE_HZ) for s in BACKCHANNEL_S)
        end = min(last, low)
        if high < last:
            steps = clip.pcm[low : low + (high - low) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
            end = low + int(np.argmin(np.square(steps).mean(axis=1))) * STEP
        words.append(SpokenClip(f"{clip.name}, first word", clip.style, clip.pcm[:end], ((first, end),)))
    return tuple(words)


def _grouped(parts: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Stretches of sound (s), those of one turn together."""
    turns = joined(parts, TURN_GAP_S)
    return [[part for part in parts if start <= part[0] < end] for start, end in turns]


def _short_enough(turn: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    if len(turn) == 1 or turn[-1][1] - turn[0][0] <= LONGEST_S:
        return [turn]
    pauses = [after[0] - before[1] for before, after in pairwise(turn)]
    at = int(np.argmax(pauses)) + 1
    return [*_short_enough(turn[:at]), *_short_enough(turn[at:])]


def _span(part: tuple[float, float]) -> Span:
    return round(part[0] * SAMPLE_RATE_HZ), round(part[1] * SAMPLE_RATE_HZ)


def _style(path: Path) -> str:
    named = FILE.fullmatch(path.name)
    return EMOTIONS[int(named[1]) - 1] if named else ""


def _name(path: Path) -> str:
    """Of a person; RTTM parts its fields by spaces."""
    return "_".join(path.resolve().name.split())


def _is_narrow(path: Path) -> bool:
    """Whether a recording has no sound above a telephone's band, by its rate."""
    return probe(path).rate_hz < SAMPLE_RATE_HZ
