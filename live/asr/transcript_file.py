"""A transcript that somebody already made: cues of a WebVTT, SubRip or JSON Lines file or of a recorded session, handed
out span by span.

Times count from the start of the recording. A cue belongs to the first stretch of speech that shares at least half of
the shorter of the two with it, and is spoken once: however the detector cuts the sound, no words are repeated. A
stretch that is asked for again, shorter or longer, is asked for anew: only its last answer counts.
"""

import codecs
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

from erc_live.live.asr.captions import read_captions
from erc_live.live.requests import Cue, TimedWord
from erc_live.streams.errors import MediaError
from erc_live.streams.messages import UtteranceFeatures
from erc_live.streams.session import open_session
from erc_live.streams.words import legible

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class _JsonCue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    source: str | None = None


class _CuesOfLength:
    """Numbers of cues that are at most `most_s` long: so few of them can reach into a span that begins later."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._starts_s: list[float] = []
        self._numbers: list[int] = []

    def add(self, start_s: float, number: int) -> None:
        """In order of time."""
        self._starts_s.append(start_s)
        self._numbers.append(number)

    def near(self, start_s: float, end_s: float) -> list[int]:
        """Those that may share time with the span."""
        first = bisect_left(self._starts_s, start_s - self._most_s)
        return self._numbers[first : bisect_left(self._starts_s, end_s)]


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
        self._taken: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)  # the same, by source, in order
        self._lengths: dict[int, _CuesOfLength] = {}  # by the power of two, in s, that is just above
        for number, cue in enumerate(self._cues):
            exponent = math.frexp(cue.end_s - cue.start_s)[1]
            self._lengths.setdefault(exponent, _CuesOfLength(math.ldexp(1.0, exponent))).add(cue.start_s, number)

    def look(self, start_s: float, end_s: float, source: str, speaker: str | None) -> list[Cue]:
        """Those that `take` would give and that are said to their end, in order of time; they stay where they are."""
        free = (self._cues[number] for number in self._free(start_s, end_s, source, speaker))
        return [cue for cue in free if cue.end_s <= end_s]

    def take(self, start_s: float, end_s: float, source: str, speaker: str | None) -> list[Cue]:
        """The cues that belong to this span, in order of time: no other span is given them, unless it replaces this."""
        numbers = self._free(start_s, end_s, source, speaker)
        taken = self._taken[source]
        while taken and taken[-1][0] >= start_s:
            del self._spoken[taken.pop()[1]]
        taken += [(start_s, number) for number in numbers]
        self._spoken |= dict.fromkeys(numbers, (source, start_s))
        return [self._cues[number] for number in numbers]

    def _free(self, start_s: float, end_s: float, source: str, speaker: str | None) -> list[int]:
        return sorted(
            number
            for cues in self._lengths.values()
            for number in cues.near(start_s, end_s)
            if (number not in self._spoken or _replaced(self._spoken[number], source, start_s))
            and _belong_together(self._cues[number], start_s, end_s)
            and self._may_speak(self._cues[number], source, speaker)
        )

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
    readers: dict[str, Callable[[str, Path], tuple[Cue, ...]]] = {
        ".vtt": lambda text, name: read_captions(text, name, subrip=False),
        ".srt": lambda text, name: read_captions(text, name, subrip=True),
        ".jsonl": _read_jsonl,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise MediaError(f"{path}: a transcript is a {', '.join(readers)} file")
    try:
        text = _decoded(path.read_bytes(), old=path.suffix.lower() == ".srt")
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{path} cannot be read: {error}") from error
    return reader(text, path)


def overlap_s(cue: Cue, start_s: float, end_s: float) -> float:
    """Time that a cue shares with a span, in s; 0 when they only touch."""
    return max(0.0, min(cue.end_s, end_s) - max(cue.start_s, start_s))


def _replaced(span: tuple[str, float], source: str, start_s: float) -> bool:
    return span[0] == source and span[1] >= start_s


def _belong_together(cue: Cue, start_s: float, end_s: float) -> bool:
    shorter_s = min(cue.end_s - cue.start_s, end_s - start_s)
    return 2 * overlap_s(cue, start_s, end_s) >= shorter_s > 0


def _decoded(data: bytes, old: bool) -> str:
    """The text of a file, by its byte order mark, else UTF-8; an `old` format may be of Windows before that."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return data.decode(name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        if not old:
            raise
        return data.decode("cp1252", errors="replace")


def _recorded(bundle: Path) -> tuple[Cue, ...]:
    session = open_session(bundle)
    newest = {features.utterance: features for features in session.features}  # some are said again after a `Relabel`
    return tuple(_recorded_cue(features, session.t_first_ns) for features in newest.values())


def _recorded_cue(features: UtteranceFeatures, origin_ns: int) -> Cue:
    """An utterance as a cue. One without words is one, too: what listened to it is told again."""

    def at_s(t_ns: int) -> float:
        return (t_ns - origin_ns) / 1e9

    return Cue(
        at_s(features.t_start_ns),
        at_s(features.t_end_ns),
        features.text,
        speaker=features.speaker_name,
        source=features.source,
        words=tuple(TimedWord(w.text, at_s(w.t_start_ns), at_s(w.t_end_ns), w.confidence) for w in features.words),
        engine=features.engine,
        confidence=features.text_confidence,
        skipped=features.skipped,
    )


def _read_jsonl(text: str, path: Path) -> tuple[Cue, ...]:
    lines = enumerate(text.split("\n"), start=1)
    cues = [_json_cue(line, f"{path}, line {number}") for number, line in lines if line.strip()]
    return tuple(cue for cue in cues if legible(cue.text))


def _json_cue(line: str, where: str) -> Cue:
    try:
        cue = msgspec.json.decode(line, type=_JsonCue)
    except msgspec.DecodeError as error:
        raise MediaError(f"{where}: {error}") from error
    if not 0 <= cue.start_s < cue.end_s < math.inf:
        raise MediaError(f"{where}: `end_s` ({cue.end_s}) must come after `start_s` ({cue.start_s}), both from 0")
    return Cue(cue.start_s, cue.end_s, " ".join(cue.text.split()), cue.speaker, cue.source)
