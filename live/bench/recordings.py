"""Recordings to measure on, and the reference of each: who speaks when.

A reference is either an RTTM file (the lines `SPEAKER <recording> <channel> <start> <duration> <NA> <NA> <speaker> ...`
of the diarisation evaluations), or one sound file per person, in sync: then each file is heard on its own and the
reference is where it sounds (`sounding`). That looks at loudness only (ITU-T P.56), at the whole file at once and
forward and backward in time, so it shares neither network nor rule with what it judges.
The rule of this file: a reference that is wrong is refused in one line; nothing is guessed.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from erc_live.live.errors import ConfigError
from erc_live.streams.media import audio_chunks
from erc_live.streams.messages import SAMPLE_RATE_HZ

SOUNDS = (".flac", ".wav", ".mp3", ".m4a", ".ogg", ".opus", ".mp4", ".mkv", ".webm")

# Of `sounding`: active speech as ITU-T P.56 (method B) has it, 15.9 dB below its own mean level, held for 0.2 s.
_STEP = SAMPLE_RATE_HZ // 100  # samples of a level: 10 ms
_MARGIN_DB = 15.9
_NOISE = 5  # percentile of the levels of a file that is its noise
_ABOVE_DB = 6.0  # over it; the level of steady noise wanders by less
_BRIDGED_S = 0.2  # shorter gaps are within words: closures of stops, weak sounds
_CLICK_S = 0.1  # shorter sounds are none of the voice
_SAME_S = 1e-9  # rounding
_QUIETEST = 1.0  # power of noise at one step of the converter; below is digital silence

# Line types of the RTTM definition (NIST, Rich Transcription 2009) that do not say who speaks.
_PASSED_OVER = (
    "SEGMENT",
    "SPKR-INFO",
    "NOSCORE",
    "NO_RT_METADATA",
    "LEXEME",
    "NON-LEX",
    "NON-SPEECH",
    "FILLER",
    "EDIT",
    "SU",
    "IP",
    "CB",
    "A/P",
)


@dataclass(frozen=True)
class SpeakerSegment:
    """Somebody speaks; seconds since the start of the recording."""

    start_s: float
    end_s: float
    speaker: str


@dataclass(frozen=True)
class MicrophoneTrack:
    """What one microphone hears, and who is known to speak into it. Shapes: pcm (n,) int16 at `SAMPLE_RATE_HZ`."""

    name: str
    pcm: np.ndarray
    segments: tuple[SpeakerSegment, ...]

    @property
    def duration_s(self) -> float:
        """Length of the sound."""
        return len(self.pcm) / SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Recording:
    """A conversation: one file that hears everybody, with its segments, or one file per person and no segments."""

    name: str
    paths: tuple[Path, ...]
    segments: tuple[SpeakerSegment, ...] | None

    def tracks(self) -> list[MicrophoneTrack]:
        """The sound of each file with its reference. Raises MediaError."""
        if self.segments is not None:
            return [MicrophoneTrack(self.name, read(self.paths[0]), self.segments)]
        heard = [(path.stem, read(path)) for path in self.paths]
        return [
            MicrophoneTrack(name, pcm, sounding(pcm, [SpeakerSegment(0.0, len(pcm) / SAMPLE_RATE_HZ, name)]))
            for name, pcm in heard
        ]

    def mixed(self) -> MicrophoneTrack:
        """All files as one microphone would hear them: their sum, clipped. Raises MediaError."""
        tracks = self.tracks()
        total = np.zeros(max(len(track.pcm) for track in tracks), np.int32)
        for track in tracks:
            total[: len(track.pcm)] += track.pcm
        segments = sorted((s for track in tracks for s in track.segments), key=lambda s: (s.start_s, s.speaker))
        return MicrophoneTrack(self.name, np.clip(total, -32768, 32767).astype(np.int16), tuple(segments))


def find(paths: Sequence[Path], rttm: Path | None = None) -> list[Recording]:
    """The recordings in files and folders.

    Args:
        paths: folders, or sound files. With RTTM each sound file is a recording, by its name without ending; in a
            folder those of which the RTTM says nothing are passed over. Without, the files of a folder, and those
            named here, are one recording each time: one file per person, in sync.
        rttm: says who speaks; None: the `.rttm` files in each folder.

    Raises:
        ConfigError: there is nothing, or no reference for a file that was named.
    """
    given = None if rttm is None else read_rttm(rttm)
    found: list[Recording] = []
    named = [path for path in paths if not path.is_dir()]
    if named and given is None:
        found.append(_per_person(named))
    elif named and given is not None:
        found += [_labelled(path, given, rttm) for path in named]
    for folder in (path for path in paths if path.is_dir()):
        found += _in_folder(folder, given)
    if not found:
        raise ConfigError("no recording: name folders or sound files")
    return found


def read_rttm(path: Path) -> dict[str, tuple[SpeakerSegment, ...]]:
    """The segments of each recording, in the order of time; empty lines, comments (;;) and other types are passed over.

    Raises ConfigError with the number of the line that cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as RTTM: {error}") from error
    found: dict[str, list[SpeakerSegment]] = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            found.setdefault(fields[1] if len(fields) > 1 else "", []).append(_segment(fields, f"{path}:{number}"))
        elif fields and not line.lstrip().startswith(";;") and fields[0] not in _PASSED_OVER:
            raise ConfigError(f"{path}:{number}: {fields[0]!r} is no type of RTTM line; segments start with SPEAKER")
    if not found:
        raise ConfigError(f"{path}: no SPEAKER line in it")
    return {name: tuple(sorted(s, key=lambda s: (s.start_s, s.end_s, s.speaker))) for name, s in found.items()}


def read(path: Path) -> np.ndarray:
    """The sound of a file, silence in its holes. Shapes: (n,) int16 at `SAMPLE_RATE_HZ`. Raises MediaError."""
    parts: list[np.ndarray] = []
    length = 0
    for chunk in audio_chunks(path, path.name, 0):
        hole = round(chunk.t_ns * SAMPLE_RATE_HZ / 1e9) - length
        if hole > 0:
            parts.append(np.zeros(hole, np.int16))
        parts.append(chunk.pcm)
        length += max(hole, 0) + len(chunk.pcm)
    return np.concatenate(parts)


def sounding(pcm: np.ndarray, segments: Sequence[SpeakerSegment]) -> tuple[SpeakerSegment, ...]:
    """The parts of segments in which somebody is heard to speak, by loudness.

    A level of 10 ms (mean subtracted) is speech if it is less than 15.9 dB below the mean power of the speech of its
    segment, and 6 dB above the noise of the file. Gaps below 0.2 s are bridged, then sounds below 0.1 s dropped. Of a
    segment that cannot be heard nothing is left. Shapes: pcm (n,) int16.
    """
    frames = pcm[: len(pcm) // _STEP * _STEP].reshape(-1, _STEP).astype(np.float64)
    if not len(frames):
        return ()
    power = np.mean(np.square(frames - pcm.mean()), axis=1)
    least = max(float(np.percentile(power, _NOISE)), _QUIETEST) * 10 ** (_ABOVE_DB / 10)
    return tuple(part for segment in segments for part in _sounding_parts(power, least, segment))


def _sounding_parts(power: np.ndarray, least: float, segment: SpeakerSegment) -> list[SpeakerSegment]:
    first, last = (round(second * SAMPLE_RATE_HZ / _STEP) for second in (segment.start_s, segment.end_s))
    inside = power[first:last]
    threshold = least
    while (inside >= threshold).any():  # the mean of what is louder than the threshold, which it raises, to rest
        raised = float(inside[inside >= threshold].mean()) / 10 ** (_MARGIN_DB / 10)
        if raised <= threshold:
            break
        threshold = raised
    sounds = np.concatenate([[False], inside >= threshold, [False]]).astype(np.int8)
    edges_s = (np.flatnonzero(np.diff(sounds)) + first).reshape(-1, 2) * _STEP / SAMPLE_RATE_HZ
    parts = joined([(float(start), float(end)) for start, end in edges_s], _BRIDGED_S)
    return [SpeakerSegment(start, end, segment.speaker) for start, end in parts if end - start >= _CLICK_S - _SAME_S]


def joined(stretches: Iterable[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """The union of stretches of time, in order, with gaps shorter than `gap_s` filled."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if found and (start - found[-1][1] < gap_s - _SAME_S or start <= found[-1][1]):
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((float(start), float(end)))
    return found


def _segment(fields: Sequence[str], where: str) -> SpeakerSegment:
    if not 8 <= len(fields) <= 10:
        raise ConfigError(f"{where}: a SPEAKER line has 8 to 10 fields, this one {len(fields)}")
    try:
        start, duration = float(fields[3]), float(fields[4])
    except ValueError:
        raise ConfigError(f"{where}: start and duration must be numbers, not {fields[3]!r} and {fields[4]!r}") from None
    if not (0 <= start < math.inf and 0 < duration < math.inf):
        raise ConfigError(f"{where}: a start is at least 0 s and a duration more, not {start} and {duration}")
    return SpeakerSegment(start, start + duration, fields[7])


def _in_folder(folder: Path, given: dict[str, tuple[SpeakerSegment, ...]] | None) -> list[Recording]:
    sounds = sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUNDS)
    if not sounds:
        raise ConfigError(f"{folder}: no sound file in it ({', '.join(SOUNDS)})")
    if given is None:
        given = {}
        for file in sorted(folder.glob("*.rttm")):
            given |= read_rttm(file)
    if not given:
        return [_per_person(sounds)]
    found = [Recording(path.stem, (path,), given[path.stem]) for path in sounds if path.stem in given]
    if not found:
        raise ConfigError(f"{folder}: the RTTM is about {', '.join(sorted(given)[:3])}, ...: no file here is called so")
    return found


def _per_person(paths: Sequence[Path]) -> Recording:
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise ConfigError(f"one file per person: two are called {max(names, key=names.count)}")
    name = paths[0].parent.resolve().name if len(paths) > 1 else names[0]
    return Recording(name, tuple(paths), None)


def _labelled(path: Path, given: dict[str, tuple[SpeakerSegment, ...]], rttm: Path | None) -> Recording:
    if path.stem not in given:
        raise ConfigError(f"{rttm}: says nothing about {path.stem}")
    return Recording(path.stem, (path,), given[path.stem])
