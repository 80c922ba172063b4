"""How many words recognisers get wrong, what they invent where nobody speaks, and what they cost.

Each recording is cut into utterances by the very speech detector and segmenter of a session, each of them recognised by
itself; or, to see what the cutting costs or what the detector keeps away, handed over whole or in pieces of one length.
All recognisers hear the same utterances, one recogniser after the other, recording by recording: a machine that is busy
for a while is so for all.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from erc_live.live.asr.transcribers import Transcriber, open_transcriber
from erc_live.live.asr.transcript_file import read_cues
from erc_live.live.bench.recognisers import Choice, configured
from erc_live.live.bench.recordings import read
from erc_live.live.bench.references import Clip, Reference
from erc_live.live.bench.usage import used_here_s
from erc_live.live.bench.word_errors import Errors, Normaliser, compare
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.errors import ConfigError
from erc_live.live.requests import Speech
from erc_live.live.session.engines import closed_utterances
from erc_live.live.session.launch import demo_sources
from erc_live.live.session.weight_cache import models_folder
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk, SourceEnd, samples_to_ns

Result = TypeVar("Result")
Progress = Callable[[str, float], None]  # what is heard, and how much of one recording was since the last call

SOURCE = "mic-0"
SESSION, WHOLE = "session", "whole"  # cuts; any other is a length in s


@dataclass(frozen=True)
class BenchedRecogniser:
    """What is measured: a recogniser, and how its sound is cut. `name` tells it from the others."""

    name: str
    transcriber: Transcriber
    cut: str = SESSION


@dataclass(frozen=True)
class RecogniserResult:
    """What one recogniser made of a recording. `errors`: of each utterance of the reference; of a recording without
    words, one. `texts`: of each utterance that it was handed, `wordless` of them empty. `took_s`, `cpu_s`: to cut and
    to recognise; of the wall clock and of all processors.
    """

    errors: tuple[Errors, ...]
    texts: tuple[str, ...]
    wordless: int
    took_s: float
    cpu_s: float


@dataclass(frozen=True)
class ClipScore:
    """A recording, and what each recogniser made of it, in their order."""

    clip: Clip
    duration_s: float
    results: tuple[RecogniserResult, ...]

    @property
    def speech(self) -> bool:
        """Whether somebody speaks in it."""
        return bool(self.clip.reference.utterances)


@dataclass(frozen=True)
class AsrReport:
    """All recordings, with all recognisers."""

    recognisers: tuple[BenchedRecogniser, ...]
    clips: tuple[ClipScore, ...]


def demo_clips() -> list[Clip]:
    """The two voices of the demo. They are synthetic, and easy."""
    sources, transcript = demo_sources()
    cues = read_cues(transcript)
    return [
        Clip(Path(source.target), Reference(tuple(cue.text for cue in cues if cue.speaker == source.speaker)))
        for source in sources
        if source.kind == "mic"
    ]


def open_recognisers(choices: Sequence[Choice], cuts: Sequence[str], sets: Sequence[str]) -> list[BenchedRecogniser]:
    """Each choice with each way to cut, loaded and warm. Raises ConfigError, EngineError."""
    for cut in cuts:
        _check_cut(cut)
    found = []
    for choice in choices:
        config = configured(choice, sets)
        transcriber = open_transcriber(config.transcriber, models_folder(config.models))
        name = choice.name if choice.sets else transcriber.name
        found += [BenchedRecogniser(name if cut == SESSION else f"{name}, {cut}", transcriber, cut) for cut in cuts]
    return found


def _check_cut(cut: str) -> None:
    """Raises ConfigError for a cut that is none."""
    if cut in (SESSION, WHOLE):
        return
    try:
        length_s = float(cut)
    except ValueError:
        length_s = math.nan
    if not 0.1 <= length_s < math.inf:
        raise ConfigError(f"--cut {cut}: it is {SESSION}, {WHOLE}, or a length in s")


def bench_asr(
    clips: Sequence[Clip],
    recognisers: Sequence[BenchedRecogniser],
    config: Config,
    normalise: Normaliser,
    progress: Progress = lambda what, share: None,
) -> AsrReport:
    """Recognise every recording with every recogniser. Raises EngineError if jiwer is not installed, MediaError."""
    scores = []
    for clip in clips:
        pcm = _silenced(read(clip.path), clip.reference)
        cuts = {cut: _timed(partial(_cut_up, pcm, cut, config)) for cut in {r.cut: None for r in recognisers}}
        results = []
        for recogniser in recognisers:
            utterances, took_s, cpu_s = cuts[recogniser.cut]
            recognise = partial(
                _recognise, recogniser, utterances, partial(progress, f"{recogniser.name}: {clip.path.name}")
            )
            texts, more_s, more_cpu_s = _timed(recognise)
            errors = compare(clip.reference.utterances, " ".join(texts), normalise)
            wordless = sum(not text for text in texts)
            results.append(RecogniserResult(tuple(errors), tuple(texts), wordless, took_s + more_s, cpu_s + more_cpu_s))
        scores.append(ClipScore(clip, len(pcm) / SAMPLE_RATE_HZ, tuple(results)))
    return AsrReport(tuple(recognisers), tuple(scores))


def _cut_up(pcm: np.ndarray, cut: str, config: Config) -> list[Speech]:
    """What a recogniser is asked for, one by one. Shapes: pcm (n,) int16."""
    if cut == SESSION:
        return list(_utterances(pcm, config))
    length = len(pcm) if cut == WHOLE else round(float(cut) * SAMPLE_RATE_HZ)
    return [
        Speech(part, SOURCE, first / SAMPLE_RATE_HZ, (first + len(part)) / SAMPLE_RATE_HZ)
        for first in range(0, len(pcm), max(length, 1))
        if len(part := pcm[first : first + length])
    ]


def _utterances(pcm: np.ndarray, config: Config) -> Iterator[Speech]:
    """What a session with this one microphone would recognise."""
    spec = SourceSpec(kind="mic", medium="file", name=SOURCE, target=SOURCE)
    sound: list[AudioChunk | SourceEnd] = [
        AudioChunk(source=SOURCE, t_ns=samples_to_ns(first), pcm=pcm[first : first + CHUNK_SAMPLES])
        for first in range(0, len(pcm), CHUNK_SAMPLES)
    ]
    sound.append(SourceEnd(source=SOURCE, t_ns=samples_to_ns(len(pcm)), reason="end of file"))
    return (request.speech for request in closed_utterances(sound, config, [spec]))


def _silenced(pcm: np.ndarray, reference: Reference) -> np.ndarray:
    """The sound without what is not to be counted. Shapes: (n,) int16."""
    for start_s, end_s in reference.ignored:
        pcm[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)] = 0
    return pcm


def _recognise(
    recogniser: BenchedRecogniser, utterances: Sequence[Speech], progress: Callable[[float], None]
) -> list[str]:
    progress(0.0)
    texts = []
    for utterance in utterances:
        texts.append(recogniser.transcriber.transcribe(utterance).text)
        progress(1 / len(utterances))
    if not utterances:
        progress(1.0)
    return texts


def _timed(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """What it gives, and what it took: s of the wall clock, and of all processors."""
    wall_s, cpu_s = time.perf_counter(), used_here_s()
    result = work()
    return result, time.perf_counter() - wall_s, used_here_s() - cpu_s
