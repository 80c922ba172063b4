"""What the cores of perception ask of the engines, and what these answer.

A core that knows these types needs no engine: the types stand below both. The rule of this file: frozen data, no
arithmetic, and no import but numpy and the messages of `streams`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from erc_live.streams.messages import ClosedBy, Modality, Recogniser, VideoFrame


class RequestKind(StrEnum):
    """Why a stretch of speech is to be analysed.

    `FINAL`: the utterance is closed. `SPECULATIVE`: a short silence was detected; if the speaker stays silent, the
    answer is that of the final request, and the wait for the words hides in the wait for the silence. `PARTIAL`: the
    utterance goes on. Only final requests must be answered; the others change nothing that is final.
    """

    SPECULATIVE = "speculative"
    PARTIAL = "partial"
    FINAL = "final"


@dataclass(frozen=True)
class Speech:
    """One stretch of speech. Times count from the start of the media of its source, in s.

    `speaker_name` is the person that the source belongs to, None if nobody or several. `partial`: it goes on.
    Shapes: pcm (n,) int16 at 16 kHz.
    """

    pcm: np.ndarray
    source: str
    start_s: float
    end_s: float
    speaker_name: str | None = None
    partial: bool = False


@dataclass(frozen=True)
class TimedWord:
    """A word and when it was spoken, in s. `confidence`: 0..1, None if not known.

    The clock is that of what holds the word: the samples of a `Transcript`, the recording of a cue.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None


@dataclass(frozen=True)
class Transcript:
    """What was recognised, "" if nothing credible. `speaker`: whom the words name, None if not known.

    `confidence`: how probable it is that what was misheard leaves the label as it is (`asr/confidence.py`); None:
    somebody wrote the words. `words` is empty where the engine knows no times. `language` is a code like `en`, None if
    not known. `engine`: what recognised this if it was another one; None: the transcriber itself. `skipped`: when it
    was recorded, the machine did not keep up, and nothing was recognised.
    """

    text: str
    speaker: str | None = None
    confidence: float | None = None
    words: tuple[TimedWord, ...] = ()
    language: str | None = None
    engine: Recogniser | None = None
    skipped: bool = False


@dataclass(frozen=True)
class Cue:
    """Words that a transcript has between two times of a recording. `source`: the only source it belongs to, None for
    any.

    `words` is empty where they have no times of their own. `engine` recognised them, None if that is not told.
    `confidence` and `skipped` as in `UtteranceFeatures`.
    """

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    source: str | None = None
    words: tuple[TimedWord, ...] = ()
    engine: Recogniser | None = None
    confidence: float | None = None
    skipped: bool = False


@dataclass(frozen=True)
class Appearance:
    """One face through the pictures of one camera.

    `centre` (x, y) and `width` are the medians, in widths of the picture. `motion`: by how much the mouth changes from
    picture to picture while it is loud, 0..1, None with too few pictures. `synchrony`: how much better mouth and sound
    agree over the utterance than mouth and the same sound moved to wrong times, in standard deviations of chance: 0
    for a mouth that knows nothing of the sound, None where the utterance is too short to tell. `coverage`: the share of
    the camera's pictures that show it. Shapes: vector (8,) float32, the logarithm of the mean probabilities, in the
    order of `FACE_LABELS`.
    """

    camera: str
    vector: np.ndarray
    centre: tuple[float, float]
    width: float
    motion: float | None
    synchrony: float | None
    coverage: float


@dataclass(frozen=True)
class Request:
    """A stretch of speech that waits for its words and features. `frames` are the pictures sampled from it.

    `revision`: how many partial requests of the utterance went before. A partial one ends, and is "closed", where it
    was made.
    """

    kind: RequestKind
    utterance: str
    revision: int
    source: str
    t_start_ns: int
    t_end_ns: int
    t_closed_ns: int
    closed_by: ClosedBy
    speech: Speech
    frames: tuple[VideoFrame, ...]


@dataclass(frozen=True)
class VoicePart:
    """What one voice said in a stretch of speech: all but the text vector, for that depends on what was said before.

    `face_coverage`: the share of the pictures that show any face, None without pictures. `embedding`: what tells voices
    apart, None where that was not asked for or could not be told. Shapes: audio_vec as the vectors of
    `UtteranceFeatures`.
    """

    t_start_ns: int
    t_end_ns: int
    transcript: Transcript
    audio_vec: np.ndarray | None
    appearances: tuple[Appearance, ...] = ()
    face_coverage: float | None = None
    embedding: np.ndarray | None = None


@dataclass(frozen=True)
class Analysis:
    """The answer to a request, one part for each voice, in the order of time; none where nothing was said after all.

    `skipped`: the words of a closed utterance were given up because the machine does not keep up. `encoders`: the
    fingerprints of what made, or will make, the vectors.
    """

    request: Request
    parts: tuple[VoicePart, ...]
    engine: Recogniser
    encoders: Mapping[Modality, str]
    t_text_ns: int
    t_features_ns: int
    skipped: bool = False
