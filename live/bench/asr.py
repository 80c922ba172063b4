"""How many words the configured recogniser gets wrong, and what it costs, on recordings whose words are known.

Each recording is heard twice: cut into utterances by the very speech detector and segmenter of a session, each of them
recognised by itself; and whole, which shows what the cutting costs. Words are compared without case and punctuation;
the word error rate is that of jiwer: words that are wrong, missing or too many, over those that were said.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.recordings import SOUNDS, read
from erc_live.live.capture.spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.engines.load import build_perception
from erc_live.live.engines.transcribers import Speech, Transcriber
from erc_live.live.engines.transcripts import read_cues
from erc_live.live.errors import ConfigError, EngineError
from erc_live.live.launch import demo_sources
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk, SourceEnd, samples_to_ns

SOURCE = "mic-0"
TEXTS = (".txt", ".vtt", ".srt")  # beside the sound, by the same name; the first there is


@dataclass(frozen=True)
class Clip:
    """A recording and what is said in it."""

    path: Path
    said: str


@dataclass(frozen=True)
class Errors:
    """Words that were said, what became of them, and the time that the recogniser took, in s."""

    words: int
    wrong: int
    missing: int
    extra: int
    took_s: float

    @property
    def rate(self) -> float:
        """Word error rate; above 1 where much was invented."""
        return (self.wrong + self.missing + self.extra) / self.words

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(**{name: value + asdict(other)[name] for name, value in asdict(self).items()})


@dataclass(frozen=True)
class ClipScore:
    """One recording: cut into utterances, and whole."""

    name: str
    duration_s: float
    utterances: int
    cut: Errors
    whole: Errors
    heard: str


@dataclass(frozen=True)
class AsrReport:
    """All recordings, with one recogniser."""

    engine: str
    clips: tuple[ClipScore, ...]

    def plain(self) -> dict[str, Any]:
        """For JSON: every clip and all together."""
        clips = [asdict(clip) | _rates(clip) for clip in self.clips]
        return {"engine": self.engine, "clips": clips, "all": _rates(together(self.clips))}


def find_clips(paths: Sequence[Path]) -> list[Clip]:
    """The recordings in folders and files that have their words beside them.

    Raises:
        ConfigError: there is none, a file that was named has no text, or a text has no word.
        EngineError: a transcript cannot be read.
    """
    clips = []
    for path in paths:
        sounds = [path]
        if path.is_dir():
            sounds = sorted(p for p in path.iterdir() if p.suffix.lower() in SOUNDS and _text_of(p))
        for sound in sounds:
            text = _text_of(sound)
            if text is None:
                raise ConfigError(f"{sound}: its words are missing; put them beside it as {sound.stem}.txt")
            clips.append(Clip(sound, _read_text(text)))
    if not clips:
        raise ConfigError("no recording with its words beside it: talk.flac and talk.txt (or .vtt, .srt)")
    return clips


def demo_clips() -> list[Clip]:
    """The two voices of the demo. They are synthetic, and easy."""
    sources, transcript = demo_sources()
    cues = read_cues(transcript)
    return [
        Clip(Path(source.target), " ".join(cue.text for cue in cues if cue.speaker == source.speaker))
        for source in sources
        if source.kind == "mic"
    ]


def bench_asr(
    clips: Sequence[Clip], config: Config, transcriber: Transcriber, progress: Callable[[str], None]
) -> AsrReport:
    """Recognise every clip, cut and whole. Raises EngineError if jiwer is not installed, MediaError."""
    scores = []
    for clip in clips:
        progress(clip.path.name)
        pcm = read(clip.path)
        started_s = time.perf_counter()
        utterances = list(_utterances(pcm, config))
        listening_s = time.perf_counter() - started_s
        cut, cut_s = _recognise(transcriber, utterances)
        whole, whole_s = _recognise(transcriber, [Speech(pcm, SOURCE, 0.0, len(pcm) / SAMPLE_RATE_HZ)])
        scores.append(
            ClipScore(
                name=clip.path.name,
                duration_s=len(pcm) / SAMPLE_RATE_HZ,
                utterances=len(utterances),
                cut=compare(clip.said, cut, listening_s + cut_s),
                whole=compare(clip.said, whole, whole_s),
                heard=cut,
            )
        )
    return AsrReport(transcriber.name, tuple(scores))


def compare(said: str, heard: str, took_s: float = 0.0) -> Errors:
    """Count the errors of `heard`, without regard to case and punctuation. Raises EngineError without jiwer."""
    try:
        import jiwer
    except ImportError as error:
        raise EngineError("bench asr needs jiwer: pip install 'erc-live[bench]'") from error
    plain = jiwer.Compose(
        [
            jiwer.ToLowerCase(),
            jiwer.SubstituteRegexes({r"[-‐-―/]": " "}),  # hyphens and dashes stand between words
            jiwer.SubstituteRegexes({r"[^\w\s]|_": ""}),
            jiwer.RemoveMultipleSpaces(),
            jiwer.Strip(),
            jiwer.ReduceToListOfListOfWords(),
        ]
    )
    found = jiwer.process_words(said, heard, reference_transform=plain, hypothesis_transform=plain)
    words = found.hits + found.substitutions + found.deletions
    return Errors(words, found.substitutions, found.deletions, found.insertions, took_s)


def together(clips: Sequence[ClipScore]) -> ClipScore:
    """All clips as one: every word counts the same."""
    cut, whole = clips[0].cut, clips[0].whole
    for clip in clips[1:]:
        cut, whole = cut + clip.cut, whole + clip.whole
    duration_s = sum(clip.duration_s for clip in clips)
    return ClipScore("all", duration_s, sum(clip.utterances for clip in clips), cut, whole, "")


def render(report: AsrReport) -> RenderableType:
    """A row for each recording and one for all. RTF: time taken over length; of the cut form, detector included."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("recording", "s", "words", "utterances", "WER", "RTF", "WER whole", "RTF whole"):
        table.add_column(title, justify="right" if table.columns else "left")
    for clip in (*report.clips, *([together(report.clips)] if len(report.clips) > 1 else [])):
        rates = _rates(clip)
        figures = [f"{rates[name]:.3f}" for name in ("wer", "rtf", "wer_whole", "rtf_whole")]
        table.add_row(Text(clip.name), f"{clip.duration_s:.0f}", str(clip.cut.words), str(clip.utterances), *figures)
    return Group(Text(report.engine, style="bold"), table)


def _rates(clip: ClipScore) -> dict[str, float]:
    return {
        "wer": clip.cut.rate,
        "rtf": clip.cut.took_s / clip.duration_s,
        "wer_whole": clip.whole.rate,
        "rtf_whole": clip.whole.took_s / clip.duration_s,
    }


def _text_of(sound: Path) -> Path | None:
    return next((text for ending in TEXTS if (text := sound.with_suffix(ending)).is_file()), None)


def _read_text(path: Path) -> str:
    if path.suffix == ".txt":
        try:
            said = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not readable as text: {error}") from error
    else:
        said = " ".join(cue.text for cue in read_cues(path))
    if not any(letter.isalnum() for letter in said):
        raise ConfigError(f"{path}: no word in it")
    return said


def _utterances(pcm: np.ndarray, config: Config) -> Iterator[Speech]:
    """What a session with this one microphone would recognise."""
    perception = build_perception(config, [SourceSpec(kind="mic", medium="file", name=SOURCE, target=SOURCE)], 0)
    heard: list[AudioChunk | SourceEnd] = [
        AudioChunk(source=SOURCE, t_ns=samples_to_ns(first), pcm=pcm[first : first + CHUNK_SAMPLES])
        for first in range(0, len(pcm), CHUNK_SAMPLES)
    ]
    heard.append(SourceEnd(source=SOURCE, t_ns=samples_to_ns(len(pcm)), reason="end of file"))
    for message in heard:
        yield from (request.speech for request in perception.feed(message) if request.kind == "final")


def _recognise(transcriber: Transcriber, utterances: Sequence[Speech]) -> tuple[str, float]:
    started_s = time.perf_counter()
    heard = [transcriber.transcribe(utterance).text for utterance in utterances]
    return " ".join(filter(None, heard)), time.perf_counter() - started_s
