"""Synthetic voices that read a corpus aloud, and what their sound goes through on its way to a microphone.

Why: a corpus is often at hand as text alone, while a session has nothing but what a recogniser makes of sound. Voices
that differ, and lines that spoil them, give its errors some of their variety; a recogniser errs otherwise on people.
The rule of this file: who reads how is a hash of the seed, the dialogue and the speaker, so a speaker has one voice in
a dialogue, a dialogue one place, and the same programs read the same lines alike whatever was read before.
"""

import random
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from erc_live.live.bench.talk_voices import VOICES as FLITE_PITCH_HZ
from erc_live.live.demo import espeak_ng, flite
from erc_live.models.training.sounds import degrade
from erc_live.streams.messages import SAMPLE_RATE_HZ

Speak = Callable[[str, float, float], np.ndarray]  # text, pitch and pace relative to the voice's own -> int16 (n,)

PITCH, PACE = (0.85, 1.2), (0.85, 1.15)
SOUNDS: Mapping[str, float] = {"clean": 0.4, "telephone": 0.2, "room": 0.2, "noise": 0.2}  # share of the dialogues
MARGIN = SAMPLE_RATE_HZ // 5  # of silence on both sides, as the segmenter leaves it
_ESPEAK_NG = ("en-us", "en-us+f2", "en-us+m3", "en-gb-x-rp+f4", "en-gb-scotland")
_MARKS = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": ", ", "—": ", ", "…": "..."})


def _flite(voice: str, text: str, pitch: float, pace: float) -> np.ndarray:
    return flite.synthesise(text, voice, FLITE_PITCH_HZ[voice] * pitch, pace)


def _espeak_ng(voice: str, text: str, pitch: float, pace: float) -> np.ndarray:
    return espeak_ng.synthesise(text, voice, round(espeak_ng.PITCH * pitch), pace)


VOICES: Mapping[str, Speak] = {
    **{f"flite {voice}": partial(_flite, voice) for voice in FLITE_PITCH_HZ},
    **{f"espeak-ng {voice}": partial(_espeak_ng, voice) for voice in _ESPEAK_NG},
}


@dataclass(frozen=True)
class ReadingVoice:
    """How the lines of one speaker sound. `voice`: of `VOICES`; `pitch` and `pace` (durations) relative to its own;
    `sound`: of `SOUNDS`.
    """

    voice: str
    pitch: float
    pace: float
    sound: str

    def read(self, text: str) -> np.ndarray:
        """A line as a microphone gets it: int16 (n,) at `SAMPLE_RATE_HZ`; n = 0 where there is nothing to be said.

        Raises EngineError: the program of this voice is missing, or cannot say this.
        """
        if not any(letter.isalnum() for letter in text):
            return np.zeros(0, np.int16)
        pcm = np.pad(VOICES[self.voice](_plain(text), self.pitch, self.pace), MARGIN)
        return pcm if self.sound == "clean" else degrade(pcm, [self.sound])


def cast(seed: int, dialogue: str, speaker: str) -> ReadingVoice:
    """Who reads the lines of a speaker in a dialogue."""
    person = random.Random(f"{seed} {dialogue} {speaker}")
    voice = tuple(VOICES)[int(person.random() * len(VOICES))]
    pitch, pace = (low + (high - low) * person.random() for low, high in (PITCH, PACE))
    (sound,) = random.Random(f"{seed} {dialogue}").choices(tuple(SOUNDS), tuple(SOUNDS.values()))
    return ReadingVoice(voice, pitch, pace, sound)


def check_voices() -> None:
    """Raises EngineError where a program or a voice is missing: now, and not hours into a run."""
    for speak in VOICES.values():
        speak("Hello.", 1.0, 1.0)


def _plain(text: str) -> str:
    """The text in ASCII, which is all that flite reads: simple quotes and dashes, letters without their accents."""
    return unicodedata.normalize("NFKD", text.translate(_MARKS)).encode("ascii", "ignore").decode()
