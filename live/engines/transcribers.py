"""Speech to text: one protocol, four engines behind it, and the choice between them.

An engine is given one utterance at a time and keeps nothing of it, so the same samples give the same words whatever
came before. Only the transcript of a recording remembers which of its cues were already spoken.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from erc_live.live import config
from erc_live.live.engines.transcripts import Cue, CueSheet, overlap_s, read_cues
from erc_live.live.engines.whisper import Whisper, find_model
from erc_live.live.errors import EngineError
from erc_live.models.errors import WeightsError
from erc_live.models.weights import weight


@dataclass(frozen=True)
class Speech:
    """One utterance. Times count from the start of the media of its source, in s.

    `speaker_name` is the person that the source belongs to, None if nobody or several.
    Shapes: pcm (n,) int16 at 16 kHz.
    """

    pcm: np.ndarray
    source: str
    start_s: float
    end_s: float
    speaker_name: str | None = None


@dataclass(frozen=True)
class Transcript:
    """What was said, "" if nothing credible. `speaker`: whom the words name; `confidence`: 0..1; None if not known."""

    text: str
    speaker: str | None = None
    confidence: float | None = None


class Transcriber(Protocol):
    """Speech to text. `name` tells engine, model and device, and travels with every event."""

    name: str

    def transcribe(self, utterance: Speech) -> Transcript: ...


class FasterWhisper:
    """The default: accurate, on CPU or GPU (`whisper.py`)."""

    def __init__(self, whisper: Whisper) -> None:
        self.name = whisper.name
        self._whisper = whisper

    def transcribe(self, utterance: Speech) -> Transcript:
        text, confidence = self._whisper.recognise(utterance.pcm)
        return Transcript(text, confidence=confidence)


class TranscriptFile:
    """Words from a file, for a recording that was transcribed before (`transcripts.py`)."""

    def __init__(self, path: Path) -> None:
        self.name = f"transcript {path.name}"
        self._sheet = CueSheet(read_cues(path))

    def transcribe(self, utterance: Speech) -> Transcript:
        span = (utterance.start_s, utterance.end_s)
        cues = self._sheet.take(*span, utterance.source, utterance.speaker_name)
        if not cues:
            return Transcript("")

        def shared_s(cue: Cue) -> float:
            return overlap_s(cue, *span)

        return Transcript(" ".join(cue.text for cue in cues), speaker=max(cues, key=shared_s).speaker)


class PocketSphinx:
    """English without any download: the model is inside the package. Clearly less accurate than Whisper."""

    name = "pocketsphinx en-us"

    def __init__(self, language: str) -> None:
        if language != "en":
            raise EngineError(f"pocketsphinx knows only English, and `transcriber.language` is {language!r}")
        try:
            import pocketsphinx
        except ImportError as error:
            raise EngineError("pocketsphinx is not installed: pip install 'erc-live[offline]'") from error
        self._decoder = pocketsphinx.Decoder(loglevel="FATAL")

    def transcribe(self, utterance: Speech) -> Transcript:
        if not len(utterance.pcm):
            return Transcript("")
        self._decoder.reinit_feat()  # else the mean spectrum of one utterance changes the words of the next
        self._decoder.start_utt()
        self._decoder.process_raw(utterance.pcm.tobytes(), no_search=False, full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return Transcript(hypothesis.hypstr if hypothesis else "")


class NoWords:
    """For people who want no words at all: emotion from voice and face alone."""

    name = "none"

    def transcribe(self, utterance: Speech) -> Transcript:
        return Transcript("")


def open_transcriber(choice: config.Transcriber, models_folder: Path, transcript: Path | None = None) -> Transcriber:
    """The engine that the configuration asks for, loaded and past its slow first call.

    `auto` takes the transcript if one was given, else faster-whisper if its weights are on this disk, else pocketsphinx
    if it is installed. Raises EngineError when the engine cannot run here.
    """
    if transcript is not None:
        if choice.engine not in ("auto", "transcript"):
            raise EngineError(f"{transcript} was given, but `transcriber.engine` is {choice.engine}: set it to auto")
        return TranscriptFile(transcript)
    if choice.engine == "transcript":
        raise EngineError("`transcriber.engine` is transcript, but no transcript was given: add --transcript FILE")
    if choice.engine == "none":
        return NoWords()
    if choice.engine == "pocketsphinx":
        return PocketSphinx(choice.language)
    return _open_recogniser(choice, models_folder)


def _open_recogniser(choice: config.Transcriber, models_folder: Path) -> Transcriber:
    model = find_model(choice.model, models_folder)
    if model is not None:
        whisper = Whisper(choice, model)
        whisper.warm_up()
        return FasterWhisper(whisper)
    absent = f"the speech recogniser {choice.model!r} is not on this disk: {_remedy(choice.model)}"
    if choice.engine == "faster-whisper":
        raise EngineError(absent)
    if importlib.util.find_spec("pocketsphinx") is None:
        raise EngineError(f"{absent}, or pip install 'erc-live[offline]'")
    return PocketSphinx(choice.language)


def _remedy(model: str) -> str:
    try:
        weight(model)
    except WeightsError as error:
        return f"set `transcriber.model` to a folder or another name ({error})"
    return f"erc-live models fetch {model}"
