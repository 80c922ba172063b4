"""The faster-whisper recogniser, made safe for an unattended session.

Two rules. It never opens the network: a model is a folder that is complete on this disk (`whisper_models.py`), or an
error that says what to fetch. It decodes at temperature 0 and without its own past, so the same samples give the same
words.

An utterance is encoded with 8 s of silence after it, in 15 s at least, instead of 30 s: two fifths of the cost. Where
no gate believes what came out, it is encoded again in 30 s. The silence is the one that Whisper was trained on;
faster-whisper pads with zeros, which in log-mels are a hiss. `live/bench/README.md` has the figures.
"""

import itertools
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from erc_live.live import config
from erc_live.live.asr.hallucination_filter import CredibleLimits, SegmentScores
from erc_live.live.asr.whisper_models import ENGLISH, Model, complete, threads
from erc_live.live.errors import EngineError
from erc_live.streams.messages import SAMPLE_RATE_HZ

_FULL_SCALE = 32768.0  # int16 -> [-1, 1)
_TOKENS_PER_S = 20  # more than any language is spoken at; bounds the time that a decoder stuck in a loop can take
_ENGLISH_PER_S = 9  # of English, which is spoken at 3 to 6
_SPARE_TOKENS = 6  # a short answer is spoken faster
_MAX_TOKENS = 224  # half of Whisper's text context, its own limit for one window
_BEAMS = 2  # makes good what a short window costs; five do no better and take a third longer
_HOP = SAMPLE_RATE_HZ // 100  # samples of a frame: 10 ms
_WINDOW_S = 30
_WINDOW = _WINDOW_S * 100  # frames
_SILENCE = 800  # frames of silence that a short window holds after the sound: with less the decoder says things twice
_SHORTEST = 1500  # frames of the shortest window; with 800 it goes round in circles
_STEP = 100  # frames that windows differ by: each length of window keeps memory of its own in ctranslate2
_DYNAMIC = 2.0  # silence lies this far under the loudest value of log-mels: 8 decades, of 4 to the unit
DEFAULT = CredibleLimits()


class WhisperWord(Protocol):
    """What faster-whisper says about a word; times in s from the start of the sound."""

    word: str
    start: float
    end: float
    probability: float


class WhisperSegment(SegmentScores, Protocol):
    """A stretch of text with its words, None where they were not asked for."""

    words: list[WhisperWord] | None


class Whisper:
    """Samples of one utterance in, text out. Raises EngineError when the model cannot run here.

    On a processor it first hears the sound in a window that is little longer than it, which costs two fifths of the
    30 s that Whisper was trained on; what is not credible there is heard again in 30 s. Not for several threads.
    """

    def __init__(self, choice: config.TranscriberSection, model: Model, believed: CredibleLimits = DEFAULT) -> None:
        self._limits = believed
        compute_type = choice.compute_type
        if compute_type == "auto":
            compute_type = "int8" if model.device == "cpu" else "auto"
        self._model = _load(model.folder, model.device, compute_type, choice.threads or threads())
        self._language = _language(choice.language, self._model.supported_languages, model.name)
        self._short_windows = choice.short_windows and model.device == "cpu"
        self._encode, self._model.encode = self._model.encode, self._encode_window
        self._sound, self._window = 0, _WINDOW  # frames of what is heard now, and of the window it stands in
        self._detected = self._language or ENGLISH
        self.name = f"faster-whisper {Path(model.name).name} {self._model.model.compute_type} {model.device}"

    def recognise(self, pcm: np.ndarray, with_words: bool = True) -> tuple[list[WhisperSegment], str]:
        """The stretches of text that are believed, and the language that was heard. Above 30 s there are no words.

        Shapes: pcm (n,) int16 at 16 kHz.
        """
        window = _window(len(pcm)) if self._short_windows else _WINDOW
        segments = self._transcribe(pcm, with_words, window)
        if window < _WINDOW and not self._credible(segments, len(pcm)):
            segments = self._transcribe(pcm, with_words, _WINDOW)
        return [segment for segment in segments if self._limits.accept(segment)], self._detected

    def warm_up(self) -> None:
        """Make the first call, which allocates. On quiet noise: in pure silence a decoder may run to its limit."""
        noise = np.random.default_rng(0).normal(0.0, 10.0, SAMPLE_RATE_HZ)
        self.recognise(noise.astype(np.int16))

    def _transcribe(self, pcm: np.ndarray, with_words: bool, window: int) -> list[WhisperSegment]:
        """All stretches with text, believed or not."""
        self._sound, self._window = len(pcm) // _HOP, window
        with_words = with_words and self._sound <= _WINDOW
        segments, _ = self._model.transcribe(
            pcm.astype(np.float32) / _FULL_SCALE,
            language=self._language or ENGLISH,
            multilingual=self._language is None,  # then by the sound, with the encoder's one pass
            beam_size=_BEAMS,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            word_timestamps=with_words,
            no_speech_threshold=None,  # the limits decide, and see all three numbers
            log_prob_threshold=None,
            compression_ratio_threshold=None,
            max_new_tokens=self._most_tokens(len(pcm)),
        )
        if with_words:  # one window gives one stretch; asked for more, it would hear the rest after the last word again
            segments = itertools.islice(segments, 1)
        return [segment for segment in segments if segment.text.strip()]

    def _credible(self, segments: Sequence[WhisperSegment], samples: int) -> bool:
        """Whether a short window was long enough: text, all of it believed, that came to an end by itself."""
        finished = sum(len(segment.tokens) for segment in segments) < self._most_tokens(samples)
        return bool(segments) and finished and all(map(self._limits.accept, segments))

    def _most_tokens(self, samples: int) -> int:
        """Tokens that so much sound can hold."""
        per_s = _ENGLISH_PER_S if self._language == ENGLISH else _TOKENS_PER_S
        return min(_MAX_TOKENS, _SPARE_TOKENS + math.ceil(per_s * samples / SAMPLE_RATE_HZ))

    def _encode_window(self, features: np.ndarray) -> Any:
        """What the recogniser calls to encode a window. It pads sound to 30 s with zeros, which in log-mels are no
        silence but a loud hiss: here stands what Whisper was trained on, the log-mels of digital silence. Nor does it
        tell the language.

        Shapes: features (mels, 3000), zeros after the sound.
        """
        if self._sound < _WINDOW:
            features = features[:, : self._window].copy()
            features[:, self._sound :] = features[:, : self._sound].max(initial=0.0) - _DYNAMIC
        output = self._encode(features)
        if self._language is None:
            ((token, _), *_), *_ = self._model.model.detect_language(output)
            self._detected = token.strip("<|>")
        return output


def _window(samples: int) -> int:
    """Frames of the window for so many samples: the sound and enough silence, in whole steps."""
    frames = max(samples // _HOP + _SILENCE, _SHORTEST)
    return min(-(-frames // _STEP) * _STEP, _WINDOW)


def _language(wanted: str, known: Sequence[str], model: str) -> str | None:
    """The language of all speech; None: each utterance is to be asked for its own."""
    if wanted == "auto":
        return None if len(known) > 1 else known[0]
    if wanted not in known:
        remedy = "choose a multilingual `transcriber.model`, such as base" if known == ["en"] else "use a code like en"
        raise EngineError(f"{model} does not know the language {wanted!r}: {remedy}")
    return wanted


def try_cuda(model: str, compute_type: str) -> None:
    """The body of a process that dies, one way or another, where CUDA is broken."""
    try:
        whisper = _load(Path(model), "cuda", compute_type, threads=1)
    except EngineError as error:
        sys.exit(str(error))
    sound = np.zeros(SAMPLE_RATE_HZ, np.float32)
    list(whisper.transcribe(sound, language="en", beam_size=1, temperature=0.0, max_new_tokens=8)[0])


def _load(model: Path, device: str, compute_type: str, threads: int) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the second lock; the first is that the folder is complete
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(
            str(complete(model)),
            device=device,
            compute_type=compute_type,
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineError(f"faster-whisper cannot load {model} ({device}, {compute_type}): {error}") from error
