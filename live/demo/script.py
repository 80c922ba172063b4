"""The conversation of the demo: who says what, and how it sounds and looks. The words are the project's own.

Why made by a program: a recording of people could not be shipped with the code; this one can, and be made again.
The rule of this file: data only; `make.py` speaks it, `face_film.py` draws it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Manner:
    """How an emotion is acted.

    `pace`: durations relative to the voice's own; `pitch`: relative to its mean pitch; `gain_db`. The face, each
    -1 ... 1 with 0 at rest: `smile` (corners of the mouth), `brows` (raised or lowered), `frown` (inner ends down, or
    up as in worry and sorrow), `eyes` (wide or narrow).
    """

    pace: float = 1.0
    pitch: float = 1.0
    gain_db: float = 0.0
    smile: float = 0.0
    brows: float = 0.0
    frown: float = 0.0
    eyes: float = 0.0


@dataclass(frozen=True)
class ScriptSpeaker:
    """`voice` and `pitch_hz` (its mean) belong to flite; colours are blue, green, red."""

    name: str
    voice: str
    pitch_hz: float
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    shirt: tuple[int, int, int]
    long_hair: bool


@dataclass(frozen=True)
class ScriptLine:
    """One utterance."""

    speaker: ScriptSpeaker
    manner: Manner
    text: str


NEUTRAL = Manner()
JOY = Manner(pace=0.95, pitch=1.18, gain_db=2.0, smile=1.0, brows=0.3, eyes=-0.2)
SURPRISE = Manner(pace=0.95, pitch=1.25, gain_db=3.0, smile=0.1, brows=1.0, eyes=1.0)
FEAR = Manner(pace=0.97, pitch=1.15, gain_db=-2.0, smile=-0.5, brows=0.7, frown=-0.9, eyes=0.8)
SADNESS = Manner(pace=1.15, pitch=0.9, gain_db=-5.0, smile=-0.9, brows=0.1, frown=-0.9, eyes=-0.5)
ANGER = Manner(pace=0.97, pitch=1.1, gain_db=4.0, smile=-0.6, brows=-0.7, frown=1.0, eyes=0.3)
DISGUST = Manner(pace=1.02, pitch=0.95, gain_db=1.0, smile=-0.8, brows=-0.4, frown=0.6, eyes=-0.7)

ADA = ScriptSpeaker("Ada", "slt", 167.0, (150, 182, 226), (30, 48, 84), (120, 90, 40), long_hair=True)
BEN = ScriptSpeaker("Ben", "awb", 117.0, (128, 160, 206), (24, 28, 34), (60, 100, 60), long_hair=False)

CONVERSATION = (
    ScriptLine(BEN, NEUTRAL, "Good morning Ada, did you get a letter from the school?"),
    ScriptLine(ADA, JOY, "Yes, and it is wonderful news! They gave me the job!"),
    ScriptLine(BEN, SURPRISE, "What? Already? I did not expect that so soon!"),
    ScriptLine(ADA, FEAR, "But now I am scared. What if I am not good enough?"),
    ScriptLine(BEN, NEUTRAL, "You worked for this for years. You will be fine."),
    ScriptLine(ADA, SADNESS, "I wish my father could see this day. I miss him so much."),
    ScriptLine(BEN, SADNESS, "I am sorry. I miss him too."),
    ScriptLine(ADA, ANGER, "And my old boss still will not pay me! I am so angry with that man!"),
    ScriptLine(BEN, DISGUST, "That is disgusting. How can anybody do a thing like that?"),
    ScriptLine(ADA, SURPRISE, "Oh, wait! Look at this message! He paid me this morning!"),
    ScriptLine(BEN, JOY, "What a relief! So everything is fine now."),
    ScriptLine(ADA, JOY, "Thank you, Ben. You are a great friend."),
    ScriptLine(BEN, NEUTRAL, "Let us meet for lunch, and then you can tell me more."),
)
