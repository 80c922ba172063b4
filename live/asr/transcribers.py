"""Speech to text: one protocol, five engines behind it, and the choice between them.

An engine is given one utterance at a time and keeps nothing of it, so the same samples give the same words whatever
came before. Only the transcript of a recording remembers which of its cues were already spoken, and where.
"""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from erc_live.live import config
from erc_live.live.asr.confidence import POCKETSPHINX, WHISPER
from erc_live.live.asr.hallucination_filter import audible, repeats
from erc_live.live.asr.pooled_words import PoolPatience, open_pooled
from erc_live.live.asr.sphinx import FRAMES_PER_S, Sphinx
from erc_live.live.asr.transcript_file import CueSheet, overlap_s, read_cues
from erc_live.live.asr.whisper import Whisper, WhisperSegment
from erc_live.live.asr.whisper_models import ENGLISH, Model, choose_model, recommended, smaller_model
from erc_live.live.errors import EngineError
from erc_live.live.requests import Cue, Speech, TimedWord, Transcript
from erc_live.models.errors import WeightsError
from erc_live.models.weights import weight
from erc_live.streams.address import recognition_endpoint
from erc_live.streams.messages import SAMPLE_RATE_HZ

_SPHINX_BELIEVED = 0.1  # mean probability of the words: 95 of 100 utterances of real speech are above it


class Transcriber(Protocol):
    """Speech to text. `name` tells engine, model and device, and travels with every event. `quick`: so cheap that a
    running utterance can be asked for every second.
    """

    name: str
    quick: bool

    def transcribe(self, utterance: Speech) -> Transcript: ...


class FasterWhisper:
    """The default: accurate, on CPU or GPU (`whisper.py`). Drafts are not asked for the times of their words."""

    def __init__(self, whisper: Whisper, model: Model) -> None:
        self.name = whisper.name
        self.model = model
        self.quick = model.device == "cuda"
        self._whisper = whisper

    def transcribe(self, utterance: Speech) -> Transcript:
        if not audible(utterance.pcm):
            return Transcript("")
        segments, language = self._whisper.recognise(utterance.pcm, with_words=not utterance.partial)
        text = " ".join(segment.text.strip() for segment in segments)
        if not text or repeats(text):
            return Transcript("")
        end_s = len(utterance.pcm) / SAMPLE_RATE_HZ
        words = tuple(
            TimedWord(
                word.word.strip(), min(float(word.start), end_s), min(float(word.end), end_s), float(word.probability)
            )
            for segment in segments
            for word in segment.words or ()
            if word.word.strip()
        )
        confidence = WHISPER.confidence(_mean_logprob(segments))
        return Transcript(text, confidence=confidence, words=words, language=language)


class TranscriptFile:
    """Words from a file, for a recording that was transcribed before (`transcript_file.py`). Those of a recorded
    session come with what they had then: their times, how sure they were, and what had recognised them.
    """

    quick = True

    def __init__(self, path: Path) -> None:
        self.name = f"transcript {path.name}"
        self.cues = read_cues(path)
        self._sheet = CueSheet(self.cues)
        self._used: set[Cue] = set()

    def transcribe(self, utterance: Speech) -> Transcript:
        span = (utterance.start_s, utterance.end_s)
        read = self._sheet.look if utterance.partial else self._sheet.take
        cues = read(*span, utterance.source, utterance.speaker_name)
        if not utterance.partial:
            self._used.update(cues)
        if not cues:
            return Transcript("")

        def shared_s(cue: Cue) -> float:
            return overlap_s(cue, *span)

        most = max(cues, key=shared_s)
        spoken = [cue for cue in cues if cue.text]
        timed = all(cue.words for cue in spoken)  # else what had no times would be missing
        return Transcript(
            " ".join(cue.text for cue in spoken),
            speaker=most.speaker,
            words=tuple(_within(word, *span) for cue in spoken for word in cue.words) if timed else (),
            engine=most.engine,
            confidence=most.confidence,
            skipped=most.skipped,
        )

    @property
    def unused(self) -> tuple[Cue, ...]:
        """The cues that no utterance was given."""
        return tuple(cue for cue in self.cues if cue.text and cue not in self._used)


class PocketSphinx:
    """English without any download: the model is inside the package. Clearly less accurate than Whisper."""

    name = "pocketsphinx en-us"
    quick = False

    def __init__(self, language: str) -> None:
        if language not in ("auto", ENGLISH):
            raise EngineError(f"pocketsphinx knows only English, and `transcriber.language` is {language!r}")
        if importlib.util.find_spec("pocketsphinx") is None:
            raise EngineError("pocketsphinx is not installed: pip install 'erc-live[offline]'")
        self._sphinx = Sphinx()

    def transcribe(self, utterance: Speech) -> Transcript:
        if not audible(utterance.pcm):
            return Transcript("")
        length_s = len(utterance.pcm) / SAMPLE_RATE_HZ
        words = tuple(
            TimedWord(
                part.word.partition("(")[0],  # without the number of the pronunciation: and(2)
                part.first / FRAMES_PER_S,
                min((part.last + 1) / FRAMES_PER_S, length_s),
                part.probability,
            )
            for part in self._sphinx.recognise(utterance.pcm)
            if part.word[0] not in "<[+"  # silence, noise
        )
        text = " ".join(word.text for word in words)
        believed = sum(word.confidence or 0.0 for word in words) / max(1, len(words))
        if believed < _SPHINX_BELIEVED or repeats(text):
            return Transcript("")
        confidence = POCKETSPHINX.confidence(math.log(believed))
        return Transcript(text, confidence=confidence, words=words, language=ENGLISH)


class NoWords:
    """For people who want no words at all: emotion from voice and face alone."""

    name = "none"
    quick = True

    def transcribe(self, utterance: Speech) -> Transcript:
        return Transcript("")


def open_transcriber(
    choice: config.TranscriberSection,
    models_folder: Path,
    transcript: Path | None = None,
    patience: PoolPatience = PoolPatience(),  # noqa: B008 - a value
) -> Transcriber:
    """The engine that the configuration asks for, loaded and past its slow first call.

    `auto` takes the transcript if one was given, else faster-whisper if its weights are on this disk, else pocketsphinx
    if it is installed. `patience`: with a pool. Raises EngineError when the engine cannot run here.
    """
    if transcript is not None:
        if choice.engine not in ("auto", "transcript"):
            raise EngineError(f"{transcript} was given, but `transcriber.engine` is {choice.engine}: set it to auto")
        return TranscriptFile(transcript)
    if choice.engine == "transcript":
        raise EngineError("`transcriber.engine` is transcript, but no transcript was given: add --transcript FILE")
    if choice.engine == "none":
        return NoWords()
    if choice.engine == "pool":
        return open_pooled(choice, patience)
    if choice.engine == "pocketsphinx":
        return PocketSphinx(choice.language)
    return _open_recogniser(choice, models_folder)


def expected(choice: config.TranscriberSection, models_folder: Path, transcript: Path | None = None) -> str:
    """The name of what `open_transcriber` will load, for who waits for it."""
    if transcript is not None:
        return f"the words of {transcript.name}"
    if choice.engine in ("none", "pocketsphinx"):
        return choice.engine
    if choice.engine == "pool":
        return f"nothing for words: they come from the recognisers at {recognition_endpoint(choice.pool)}"
    model = choose_model(choice, models_folder)
    return "pocketsphinx" if model is None else model.name


def open_spare(choice: config.TranscriberSection, models_folder: Path, main: Transcriber) -> Transcriber | None:
    """A smaller recogniser than `main`, loaded, for when this machine does not keep up; None if there is none here."""
    smaller = smaller_model(main.model, choice.language, models_folder) if isinstance(main, FasterWhisper) else None
    return None if smaller is None else _open_whisper(choice, smaller)


def _open_recogniser(choice: config.TranscriberSection, models_folder: Path) -> Transcriber:
    model = choose_model(choice, models_folder)
    if model is not None:
        return _open_whisper(choice, model)
    wanted = recommended(choice)
    absent = f"the speech recogniser {wanted!r} is not on this disk: {_remedy(wanted)}"
    if choice.engine == "faster-whisper" or choice.model != "auto":  # who names one wants that one
        raise EngineError(absent)
    if importlib.util.find_spec("pocketsphinx") is None:
        raise EngineError(f"{absent}, or pip install 'erc-live[offline]'")
    return PocketSphinx(choice.language)


def makeshift(choice: config.TranscriberSection, engine: Transcriber) -> str:
    """What people should know of an engine that was only taken because nothing better is here; "" of any other."""
    if choice.engine != "auto" or not isinstance(engine, PocketSphinx):
        return ""
    return f"words come from {engine.name}, far less accurate than faster-whisper: {_remedy(recommended(choice))}"


def _open_whisper(choice: config.TranscriberSection, model: Model) -> FasterWhisper:
    whisper = Whisper(choice, model)
    whisper.warm_up()
    return FasterWhisper(whisper, model)


def _remedy(model: str) -> str:
    try:
        weight(model)
    except WeightsError as error:
        return f"set `transcriber.model` to a folder or another name ({error})"
    return f"erc-live models fetch {model}"


def _within(word: TimedWord, start_s: float, end_s: float) -> TimedWord:
    """A word of a cue in an utterance, which it may overlap only in part."""
    first_s, last_s = (min(max(edge_s, start_s), end_s) - start_s for edge_s in (word.start_s, word.end_s))
    return TimedWord(word.text, first_s, last_s, word.confidence)


def _mean_logprob(segments: Sequence[WhisperSegment]) -> float:
    tokens = sum(len(segment.tokens) for segment in segments)
    return sum(segment.avg_logprob * len(segment.tokens) for segment in segments) / max(1, tokens)
