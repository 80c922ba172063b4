"""A transcript that somebody already made: cues of a WebVTT, SubRip or JSON Lines file, handed out span by span.

Times count from the start of the recording. A cue belongs to the first stretch of speech that shares at least half of
the shorter of the two with it, and is spoken once: however the detector cuts the sound, no words are repeated. A
stretch that is asked for again, shorter or longer, is asked for anew: only its last answer counts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path

import msgspec
import webvtt

from erc_live.streams.errors import MediaError
from erc_live.streams.session import open_session


@dataclass(frozen=True)
class Cue:
    """Words between two times of a recording. `source`: the only source it belongs to, None for any."""

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    source: str | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    source: str | None = None


class CueSheet:
    """The cues of a recording, and which of them were spoken where.

    Where a speaker has a source of their own (one microphone or file per person), that source gets the cues of this
    speaker and those without a speaker, and no others. The sound of a source goes forward: a call that starts no later
    than an earlier one of the same source replaces it.
    """

    def __init__(self, cues: tuple[Cue, ...]) -> None:
        self._cues = sorted(cues, key=lambda cue: cue.start_s)
        self._speakers = {cue.speaker for cue in cues if cue.speaker is not None}
        self._spoken: dict[int, tuple[str, float]] = {}  # number of a cue -> source and start of the span that took it

    def look(self, start_s: float, end_s: float, source: str, speaker: str | None) -> list[Cue]:
        """Those that `take` would give and that are said to their end, in order of time; they stay where they are."""
        free = (self._cues[number] for number in self._free(start_s, end_s, source, speaker))
        return [cue for cue in free if cue.end_s <= end_s]

    def take(self, start_s: float, end_s: float, source: str, speaker: str | None) -> list[Cue]:
        """The cues that belong to this span, in order of time: no other span is given them, unless it replaces this."""
        taken = self._free(start_s, end_s, source, speaker)
        self._spoken = {number: span for number, span in self._spoken.items() if not _replaced(span, source, start_s)}
        self._spoken |= dict.fromkeys(taken, (source, start_s))
        return [self._cues[number] for number in taken]

    def _free(self, start_s: float, end_s: float, source: str, speaker: str | None) -> list[int]:
        return [
            number
            for number, cue in enumerate(self._cues)
            if (number not in self._spoken or _replaced(self._spoken[number], source, start_s))
            and _belong_together(cue, start_s, end_s)
            and self._may_speak(cue, source, speaker)
        ]

    def _may_speak(self, cue: Cue, source: str, speaker: str | None) -> bool:
        if cue.source is not None and cue.source != source:
            return False
        return cue.speaker is None or speaker not in self._speakers or cue.speaker == speaker


def read_cues(path: Path) -> tuple[Cue, ...]:
    """The cues of a .vtt, .srt or .jsonl file, or the words of a recorded session (a folder).

    Raises MediaError that names the file, and the line if there is one; SessionError for a folder.
    """
    if path.is_dir():
        return _recorded(path)
    readers: dict[str, Callable[[Path], tuple[Cue, ...]]] = {
        ".vtt": _read_vtt,
        ".srt": _read_srt,
        ".jsonl": _read_jsonl,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise MediaError(f"{path}: a transcript is a {', '.join(readers)} file")
    try:
        return reader(path)
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{path} cannot be read: {error}") from error
    except (webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError) as error:
        raise MediaError(f"{path} is not a {path.suffix[1:].upper()} transcript: {error}") from error


def overlap_s(cue: Cue, start_s: float, end_s: float) -> float:
    """Time that a cue shares with a span, in s; 0 when they only touch."""
    return max(0.0, min(cue.end_s, end_s) - max(cue.start_s, start_s))


def _replaced(span: tuple[str, float], source: str, start_s: float) -> bool:
    return span[0] == source and span[1] >= start_s


def _belong_together(cue: Cue, start_s: float, end_s: float) -> bool:
    shorter_s = min(cue.end_s - cue.start_s, end_s - start_s)
    return 2 * overlap_s(cue, start_s, end_s) >= shorter_s > 0


def _recorded(bundle: Path) -> tuple[Cue, ...]:
    session = open_session(bundle)
    newest = {features.utterance: features for features in session.features}  # some are said again after a `Relabel`
    return tuple(
        Cue(
            (features.t_start_ns - session.t_first_ns) / 1e9,
            (features.t_end_ns - session.t_first_ns) / 1e9,
            features.text,
            speaker=features.speaker_name,
            source=features.source,
        )
        for features in newest.values()
        if features.text
    )


def _read_vtt(path: Path) -> tuple[Cue, ...]:
    cues = _captions(webvtt.read(str(path), encoding="utf-8"))
    return tuple(replace(cue, text=unescape(cue.text), speaker=cue.speaker and unescape(cue.speaker)) for cue in cues)


def _read_srt(path: Path) -> tuple[Cue, ...]:
    return _captions(webvtt.from_srt(str(path), encoding="utf-8"))


def _captions(sheet: webvtt.WebVTT) -> tuple[Cue, ...]:
    return tuple(
        Cue(_seconds(c.start_time), _seconds(c.end_time), " ".join(c.text.split()), speaker=c.voice or None)
        for c in sheet.captions
    )


def _seconds(time: webvtt.models.Timestamp) -> float:
    return time.in_seconds() + time.milliseconds / 1000


def _read_jsonl(path: Path) -> tuple[Cue, ...]:
    cues = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            cues.append(_json_cue(line, f"{path}, line {number}"))
    return tuple(cues)


def _json_cue(line: str, where: str) -> Cue:
    try:
        cue = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError as error:
        raise MediaError(f"{where}: {error}") from error
    if not 0 <= cue.start_s < cue.end_s < math.inf:
        raise MediaError(f"{where}: `end_s` ({cue.end_s}) must come after `start_s` ({cue.start_s}), both from 0")
    return Cue(cue.start_s, cue.end_s, " ".join(cue.text.split()), cue.speaker, cue.source)
