"""Captions as people's tools write them, WebVTT and SubRip: who said which words, and when.

The rule of this file: nothing that was said is left out in silence, and nothing is said twice. A cue that cannot be is
named with its line. Captions that roll show a line again above the next one, and each word counts once, where it came
first. Words that carry times of their own keep them. Hence code of our own: the library for captions drops cues with
mistyped times in silence, and does not know captions that roll.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from itertools import accumulate, pairwise
from pathlib import Path

from erc_live.live.requests import Cue, TimedWord
from erc_live.streams.errors import MediaError
from erc_live.streams.words import legible

_TIME = r"(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_NEARLY = re.compile(r"\s*(\d+:)+\d+[.,:\d]*\W+(\d+:)+\d")  # times of a cue that somebody mistyped
_TIMING_LETTERS = 200  # a longer line is no such thing, and trying it would take long
_STAMP = re.compile(rf"<{_TIME}>")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]+)>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<>|</>|\{\\[^{}]*\}")  # of WebVTT, HTML, and of SubStation in SubRip
_ASIDE = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")
_CLEARED_S = 5.0  # after so long nobody rolls on what stood there
_ROLLS = 3  # a file rolls where one in so many cues, or more, begins with what the one before shows


@dataclass(frozen=True)
class _Screenful:
    """What stands on the screen at once, of one voice. `line`: where in the file it begins.

    `text` is plain; each of its letters is of one of the `pieces` between two stamps. `edges_s`: when each piece
    begins, and when the last one ends.
    """

    line: int
    start_s: float
    end_s: float
    speaker: str | None
    text: str
    pieces: tuple[int, ...]
    edges_s: tuple[float, ...]

    @property
    def tokens(self) -> list[str]:
        return self.text.split()

    @property
    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.text.split("\n") if line.strip()]

    @property
    def stamped(self) -> bool:
        return len(self.edges_s) > 2


def read_captions(text: str, path: Path, subrip: bool) -> tuple[Cue, ...]:
    """The cues of a WebVTT or SubRip file, whose name is only for messages. Raises MediaError that names the line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not subrip and not lines[0].startswith("WEBVTT"):
        raise MediaError(f"{path} is not a VTT transcript: its first line must be WEBVTT")
    screenfuls = [part for block in _blocks(lines, path, subrip) for part in _voices(*block)]
    if not screenfuls:
        raise MediaError(f"{path} is not a {'SRT' if subrip else 'VTT'} transcript: there is no cue in it")
    old = _old_words(screenfuls)
    return tuple(_cue(one, count, path) for one, count in zip(screenfuls, old, strict=True) if count < len(one.tokens))


CueBlock = tuple[int, float, float, list[str]]  # line of the times, start and end in s, what is shown


def _blocks(lines: Sequence[str], path: Path, subrip: bool) -> Iterator[CueBlock]:
    """The cues with their lines. A line that stands outside of any belongs to the one before it."""
    kept = [(n, line) for n, line in enumerate(lines, 1)] if subrip else [*_without_asides(lines)]
    timings = [place for place, (n, line) in enumerate(kept) if _is_timing(line, n, path)]
    numbered = bool(timings) and any(line.strip().isdigit() for _, line in kept[: timings[0]])
    for place, after in pairwise([*timings, len(kept)]):
        n, line = kept[place]
        times = _TIMING.fullmatch(line)
        assert times
        body = [text for _, text in kept[place + 1 : after]]
        if after < len(kept) and body and _is_name(body, subrip, numbered):
            body.pop()
        yield n, _seconds(times.groups()[:4]), _seconds(times.groups()[4:]), body


def _without_asides(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    aside = fresh = False
    for n, line in enumerate(lines, 1):
        aside = line != "" and (aside or (fresh and bool(_ASIDE.match(line))))
        fresh = line == ""
        if not aside:
            yield n, line


def _is_timing(line: str, n: int, path: Path) -> bool:
    if _TIMING.fullmatch(line):
        return True
    if "-->" in line or (len(line) < _TIMING_LETTERS and _NEARLY.match(line)):
        raise MediaError(f"{path}, line {n}: not the times of a cue: write 00:00:01.000 --> 00:00:02.500")
    return False


def _is_name(body: Sequence[str], subrip: bool, numbered: bool) -> bool:
    """Whether the last line before the times of the next cue is the name of that one."""
    alone = len(body) == 1 or not body[-2].strip()
    return body[-1].strip().isdigit() and (alone or numbered) if subrip else alone and body[-1] != ""


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(f"{seconds}.{fraction or 0}")


def _voices(line: int, start_s: float, end_s: float, body: Sequence[str]) -> Iterator[_Screenful]:
    """A cue in which several people speak is one for each of them."""
    before, *rest = _VOICE.split("\n".join(body))
    for name, text in [(None, before), *zip(rest[::2], rest[1::2], strict=True)]:
        speaker = None if name is None else unescape(" ".join(name.split()))
        marks = [*_STAMP.finditer(text)]
        cuts = [0, *(place for mark in marks for place in mark.span()), len(text)]
        parts = [unescape(_TAG.sub("", text[a:b])) for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
        if legible("".join(parts)):
            yield _Screenful(
                line=line,
                start_s=start_s,
                end_s=end_s,
                speaker=speaker,
                text="".join(parts),
                pieces=tuple(number for number, part in enumerate(parts) for _ in part),
                edges_s=_edges_s(start_s, end_s, [_seconds(mark.groups()) for mark in marks]),
            )


def _edges_s(start_s: float, end_s: float, stamps_s: Sequence[float]) -> tuple[float, ...]:
    """Times that go on, whatever the stamps say."""
    within = (min(max(stamp_s, start_s), end_s) for stamp_s in stamps_s)
    return tuple(accumulate([start_s, *within, end_s], max))


def _words(one: _Screenful, old: int) -> tuple[TimedWord, ...]:
    """The words but for the first `old`, with their times: the new letters of a piece share it evenly."""
    spans = [found.span() for found in re.finditer(r"\S+", one.text)][old:]
    places = [place for first, last in spans for place in range(first, last)]
    share = Counter(one.pieces[place] for place in places)
    edges_s: dict[int, tuple[float, float]] = {}
    done: Counter[int] = Counter()
    for place in places:
        piece = one.pieces[place]
        begin_s, length_s = one.edges_s[piece], one.edges_s[piece + 1] - one.edges_s[piece]
        step_s = length_s / share[piece]
        edges_s[place] = (begin_s + done[piece] * step_s, begin_s + (done[piece] + 1) * step_s)
        done[piece] += 1
    return tuple(TimedWord(one.text[a:b], round(edges_s[a][0], 3), round(edges_s[b - 1][1], 3)) for a, b in spans)


def _old_words(screenfuls: Sequence[_Screenful]) -> list[int]:
    """How many of the first words of each cue stood there before; none where the file does not roll."""
    pairs = [*pairwise(screenfuls)]
    carried = [_carried(before, after) for before, after in pairs]
    again = sum(count > 0 for count in carried)
    rolls = again > 0 and _ROLLS * again >= len(pairs)
    if rolls and not any(one.stamped for one in screenfuls):  # somebody may have repeated a word
        lines = [_carries_lines(*pair) for pair in pairs]
        grown = [1 < n == len(pair[0].tokens) < len(pair[1].tokens) for n, pair in zip(carried, pairs, strict=True)]
        rolls = any(lines) or sum(grown) > 1
    return [0, *carried] if rolls else [0] * len(screenfuls)


def _carried(before: _Screenful, after: _Screenful) -> int:
    """How many of the first words of a cue are the last ones of the one before it, which it follows soon."""
    old, new = before.tokens, after.tokens
    if before.speaker != after.speaker or after.start_s - before.end_s > _CLEARED_S:
        return 0
    return next((n for n in range(min(len(old), len(new)), 0, -1) if old[-n:] == new[:n]), 0)


def _carries_lines(before: _Screenful, after: _Screenful) -> bool:
    """Whether whole lines, of several words, stand there again, above new ones."""
    old, new = before.lines, after.lines
    return any(old[-n:] == new[:n] and sum(map(len, new[:n])) > 1 for n in range(1, len(new)))


def _cue(one: _Screenful, old: int, path: Path) -> Cue:
    words = _words(one, old)
    text = " ".join(word.text for word in words)
    if not one.start_s < one.end_s:
        ends = f"the cue ends at {one.end_s:.3f} s and begins at {one.start_s:.3f} s"
        raise MediaError(f"{path}, line {one.line}: {ends}: mend its times or take it out: {text}")
    start_s = words[0].start_s if one.stamped else one.start_s
    return Cue(start_s, one.end_s, text, one.speaker, words=words if one.stamped else ())
