"""Who spoke when, on one shared microphone: what a session would say, against a reference.

The real speech detector, segmenter, reader of voices and clustering run over a recording as they do in a session; words
and features are left out. An utterance is said to be somebody's when it has ended, and may be corrected later: both are
scored. Files of one person each are mixed to one microphone first. Who speaks for less than `VOICE_S` altogether should
get no voice, and does not count as one of the people. Intervals are those of the bootstrap over recordings.

The measure is the diarisation error rate: time missed, time of false alarm and time given to the wrong person, over the
time of speech, where two who talk at once count twice. No collar, overlap scored: the strict setting, in which diart
reports its own. A microphone has one voice at a time here, so all overlap but one voice is missed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from erc_live.live.bench.model_report import COLOURS
from erc_live.live.bench.recordings import MicrophoneTrack, Recording, SpeakerSegment
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.config import Config
from erc_live.live.errors import EngineError
from erc_live.live.perception.endpointing import utterance_id
from erc_live.live.session.engines import closed_utterances
from erc_live.live.speakers.clustering import SpeakerClustering
from erc_live.live.speakers.embedding import VoiceReader
from erc_live.live.speakers.enrolment import open_speakers
from erc_live.live.speakers.partition import VOICE_S
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk, SourceEnd, samples_to_ns

SETTLED_S = 30.0  # after which voices should be known
DIART_AMI = 30.4  # % on AMI, at 1 s latency (its own table)
SOURCE = "mic-0"
RESAMPLES = 10_000
NOBODY = "#999999"  # colour of what was heard while, by the reference, nobody spoke


@dataclass(frozen=True)
class AssignedTurn:
    """A stretch of speech, whose voice it was said to be when it had ended, and whose it is in the end."""

    start_s: float
    end_s: float
    at_once: str
    corrected: str


@dataclass(frozen=True)
class Score:
    """Seconds of the reference, two at once counting twice, and what became of them; and seconds of false alarm."""

    speech_s: float
    right_s: float
    missed_s: float
    confused_s: float
    false_s: float

    @property
    def der(self) -> float:
        """Diarisation error rate; NaN where nobody speaks."""
        return self.share(self.missed_s + self.confused_s + self.false_s)

    def share(self, seconds: float) -> float:
        """So many seconds as a part of the speech."""
        return seconds / self.speech_s if self.speech_s else float("nan")

    def __add__(self, other: "Score") -> "Score":
        return Score(**{name: value + asdict(other)[name] for name, value in asdict(self).items()})


NOTHING = Score(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class RecordingScore:
    """One recording. `people` speak for `VOICE_S` or more. `settled`: as said at once, after the first `SETTLED_S`;
    `segments`: the reference.
    """

    name: str
    people: int
    voices: int
    at_once: Score
    corrected: Score
    settled: Score
    segments: tuple[SpeakerSegment, ...] = ()
    hypothesis: tuple[AssignedTurn, ...] = ()


def listen(
    track: MicrophoneTrack, config: Config, reader: VoiceReader, speakers: SpeakerClustering
) -> list[AssignedTurn]:
    """What a session with one shared microphone says of a recording, in the order in which it does."""
    turns: dict[str, tuple[float, float, str]] = {}
    now: dict[str, str] = {}
    for start, end, embedding in _stretches(track, config, reader):
        start_ns, end_ns = samples_to_ns(start), samples_to_ns(end)
        utterance = utterance_id(SOURCE, start_ns)
        voice = speakers.assign(SOURCE, utterance, embedding, start_ns, end_ns).voice
        turns[utterance] = (start_ns / 1e9, end_ns / 1e9, voice)
        now[utterance] = voice
        for change in speakers.changes():
            now.update(dict.fromkeys(change.moved, change.voice))
    return [AssignedTurn(*what, corrected=now[utterance]) for utterance, what in turns.items()]


def _stretches(track: MicrophoneTrack, config: Config, reader: VoiceReader) -> Iterator[tuple[int, int, Any]]:
    """Samples of the recording from which a stretch of one voice goes to where, and its embedding."""
    spec = SourceSpec(kind="mic", medium="file", name=SOURCE, target=track.name)
    messages: list[AudioChunk | SourceEnd] = [
        AudioChunk(source=SOURCE, t_ns=samples_to_ns(start), pcm=track.pcm[start : start + CHUNK_SAMPLES])
        for start in range(0, len(track.pcm), CHUNK_SAMPLES)
    ]
    messages.append(SourceEnd(source=SOURCE, t_ns=samples_to_ns(len(track.pcm)), reason="end of file"))
    for request in closed_utterances(messages, config, [spec]):
        first = round(request.t_start_ns * SAMPLE_RATE_HZ / 1e9)
        for stretch in reader.split(request.speech.pcm):
            yield first + stretch.start, first + stretch.end, stretch.embedding


def score(track: MicrophoneTrack, turns: Sequence[tuple[float, float, str]], from_s: float = 0.0) -> Score:
    """Stretches (start_s, end_s, voice) against the reference of a recording, which counts from `from_s` on.

    Voices stand for the people with whom, over the whole recording, they share the most time, each for another one.

    Raises:
        EngineError: pyannote.metrics is not installed.
    """
    try:
        from pyannote.core import Annotation, Segment, Timeline
        from pyannote.metrics.diarization import DiarizationErrorRate
        from pyannote.metrics.identification import IdentificationErrorRate
    except ImportError as error:
        raise EngineError("bench speakers needs pyannote.metrics: pip install 'erc-live[bench]'") from error
    reference, hypothesis = Annotation(), Annotation()
    for number, segment in enumerate(track.segments):
        reference[Segment(segment.start_s, segment.end_s), number] = segment.speaker
    for number, (start_s, end_s, voice) in enumerate(turns):
        hypothesis[Segment(start_s, end_s), number] = voice
    whole = Timeline([Segment(0.0, track.duration_s)])
    mapping = DiarizationErrorRate().optimal_mapping(reference, hypothesis, uem=whole)
    named = hypothesis.rename_labels({voice: mapping.get(voice, f"nobody {voice}") for voice in hypothesis.labels()})
    counted = Timeline([Segment(min(from_s, track.duration_s), track.duration_s)])
    found = IdentificationErrorRate().compute_components(reference, named, uem=counted)
    return Score(*(float(found[part]) for part in ("total", "correct", "missed detection", "confusion", "false alarm")))


def bench_speakers(
    recordings: Sequence[Recording], config: Config, reader: VoiceReader, progress: Callable[[str], None]
) -> list[RecordingScore]:
    """Every recording by itself, each as a new session. Raises EngineError, MediaError."""
    scores = []
    for recording in recordings:
        progress(recording.name)
        track = recording.mixed()
        turns = listen(track, config, reader, open_speakers(config.speakers, reader))
        at_once = [(s.start_s, s.end_s, s.at_once) for s in turns]
        scores.append(
            RecordingScore(
                name=recording.name,
                people=_people(track.segments),
                voices=len({s.corrected for s in turns}),
                at_once=score(track, at_once),
                corrected=score(track, [(s.start_s, s.end_s, s.corrected) for s in turns]),
                settled=score(track, at_once, SETTLED_S),
                segments=track.segments,
                hypothesis=tuple(turns),
            )
        )
    return scores


def _people(segments: Sequence[SpeakerSegment]) -> int:
    seconds: dict[str, float] = {}
    for segment in segments:
        seconds[segment.speaker] = seconds.get(segment.speaker, 0.0) + segment.end_s - segment.start_s
    return sum(total >= VOICE_S for total in seconds.values())


def interval(scores: Sequence[Score]) -> tuple[float, float]:
    """95 % of the error rates that other recordings of the kind might have given; NaN where nobody speaks."""
    parts = np.array([[s.missed_s + s.confused_s + s.false_s, s.speech_s] for s in scores])
    drawn = np.random.default_rng(0).integers(0, len(scores), (RESAMPLES, len(scores)))  # with replacement
    wrong, speech = parts[drawn].sum(1).T
    rates = wrong[speech > 0] / speech[speech > 0]
    low, high = np.quantile(rates, (0.025, 0.975)) if len(rates) else (float("nan"), float("nan"))
    return float(low), float(high)


def plain(scores: Sequence[RecordingScore]) -> dict[str, Any]:
    """The report for programs: seconds, and rates as fractions."""
    return {
        "collar_s": 0.0,
        "overlap": "scored",
        "settled_s": SETTLED_S,
        "recordings": [asdict(s) | {"der": s.at_once.der, "der_corrected": s.corrected.der} for s in scores],
        "der": sum((s.at_once for s in scores), NOTHING).der,
        "der_interval": interval([s.at_once for s in scores]),
        "der_corrected": sum((s.corrected for s in scores), NOTHING).der,
        "der_corrected_interval": interval([s.corrected for s in scores]),
        "voice_s": VOICE_S,
        "counted_right": sum(s.people == s.voices for s in scores),
    }


def render(scores: Sequence[RecordingScore]) -> Group:
    """The report for people, in 80 columns; all but counts in % of the speech."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for title in ("speech s", "people", "voices", "DER", "miss", "false", "wrong", "later", "right", "settled"):
        table.add_column(title, justify="right")
    for s in scores:
        table.add_row(s.name, *_row(f"{s.people}", f"{s.voices}", s.at_once, s.corrected, s.settled))
    if len(scores) > 1:
        table.add_section()
        parts = (sum((getattr(s, part) for s in scores), NOTHING) for part in ("at_once", "corrected", "settled"))
        table.add_row("together", *_row("", "", *parts))
    sums = [f"voices as many as people in {sum(s.people == s.voices for s in scores)} of {len(scores)}"]
    if len(scores) > 1:
        for title, part in (("DER", "at_once"), ("later", "corrected")):
            low, high = interval([getattr(s, part) for s in scores])
            sums.append(f"{title} 95 %: {100 * low:.1f} to {100 * high:.1f}")
    note = (
        f"people: who speak for {VOICE_S:g} s or more. "
        "% of the speech. miss, false and wrong make up the DER of what is said when an utterance ends; later: the DER "
        f"after corrections; right: given to the right person; settled: that from {SETTLED_S:.0f} s on. Collar 0, "
        f"overlap scored, as by diart, which has {DIART_AMI} on AMI at 1 s latency, on whole meetings, not excerpts."
    )
    return Group(table, Text("; ".join(sums)), Text(note, style="dim"))


def plot(target: Path, scores: Sequence[RecordingScore]) -> None:
    """Draw each recording: a line for each person, in that person's colour, and one for each voice that was told apart,
    in the colours of who spoke: a voice of one colour is one person's. Raises EngineError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EngineError("plots need matplotlib: pip install 'erc-live[bench]'") from error
    lanes = [_lanes(s) for s in scores]
    inches = [0.6 + 0.22 * len(lane) for lane in lanes]
    figure = Figure(figsize=(10.0, sum(inches) + 0.3), layout="constrained")
    for axes, s, lane in zip(
        figure.subplots(len(scores), 1, squeeze=False, height_ratios=inches)[:, 0], scores, lanes, strict=True
    ):
        for row, spans in enumerate(lane.values()):
            for start_s, end_s, colour in spans:
                axes.broken_barh([(start_s, end_s - start_s)], (row - 0.4, 0.8), color=colour)
        axes.set_yticks(range(len(lane)), list(lane))
        axes.axhline(s.people - 0.5, color="black", linewidth=0.8)
        axes.set_xlim(left=0.0)
        axes.invert_yaxis()
        axes.set_title(
            f"{s.name}: who spoke, and below which voice was said to, at once", loc="left", fontsize="medium"
        )
    axes.set_xlabel("s")
    figure.savefig(target)


def _lanes(s: RecordingScore) -> dict[str, list[tuple[float, float, str]]]:
    """Names of people, then of voices, with spans (start_s, end_s, colour)."""
    colours = dict(zip(dict.fromkeys(segment.speaker for segment in s.segments), cycle(COLOURS), strict=False))
    lanes: dict[str, list[tuple[float, float, str]]] = {person: [] for person in colours}
    for segment in s.segments:
        lanes[segment.speaker].append((segment.start_s, segment.end_s, colours[segment.speaker]))
    for turn in s.hypothesis:
        shared = dict.fromkeys(colours, 0.0)
        for segment in s.segments:
            shared[segment.speaker] += max(min(turn.end_s, segment.end_s) - max(turn.start_s, segment.start_s), 0.0)
        person = max(shared, key=lambda name: shared[name], default="")
        colour = colours[person] if shared.get(person) else NOBODY
        lanes.setdefault(turn.at_once, []).append((turn.start_s, turn.end_s, colour))
    return lanes


def _row(people: str, voices: str, at_once: Score, corrected: Score, settled: Score) -> list[str]:
    parts = (at_once.missed_s, at_once.false_s, at_once.confused_s)
    rates = [at_once.der, *(at_once.share(part) for part in parts), corrected.der, at_once.share(at_once.right_s)]
    rates.append(settled.share(settled.right_s))
    shown = ["-" if rate != rate else f"{100 * rate:.1f}" for rate in rates]
    return [f"{at_once.speech_s:.0f}", people, voices, *shown]
