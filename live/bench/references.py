"""What was said in a recording, as people have it: beside the sound, in a folder of texts, or in one file about many.

| file | is about |
|---|---|
| `talk.txt`, `talk.vtt`, `talk.srt` | `talk.flac` (or whatever sound) of this name |
| `84-121123.trans.txt` (LibriSpeech) | one recording a line: its name, then the words |
| `talks.stm` (NIST, as sclite reads it) | lines `file channel speaker start end <labels> words`; `;;` is a comment |

Of alternatives in an STM, `{ a / b }`, the first counts (`@` is no word). A text without a letter or digit says that
nobody speaks in the recording. The rule of this file: a text that cannot be read is refused in one line.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from erc_live.live.asr.transcript_file import read_cues
from erc_live.live.bench.recordings import SOUNDS
from erc_live.live.errors import ConfigError

TEXTS = (".txt", ".vtt", ".srt")  # beside the sound, by the same name; the first there is
MANY, STM = ".trans.txt", ".stm"
IGNORED = "ignore_time_segment_in_scoring"

_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
_LABELS = re.compile(r"<[^<>\s]*>$")


@dataclass(frozen=True)
class Reference:
    """What is said in a recording: its utterances, in the order of time; none where nobody speaks.

    `ignored`: stretches (from, to) in s whose words nobody knows.
    """

    utterances: tuple[str, ...] = ()
    ignored: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Clip:
    """A recording and what is said in it."""

    path: Path
    reference: Reference


def find_clips(paths: Sequence[Path], texts: Sequence[Path] = (), nonspeech: Sequence[Path] = ()) -> list[Clip]:
    """The recordings in folders (and the folders in them) and files, with their words.

    Args:
        paths: of recordings whose words lie beside them, or in `texts`. In a folder, those without are passed over.
        texts: files and folders of texts, by the names of recordings; a text that is alone belongs to a recording that
            is alone, whatever their names.
        nonspeech: folders and files of recordings in which nobody speaks.

    Raises:
        ConfigError: there is none, a file that was named has no text, or a text cannot be read.
        MediaError: the captions of a .vtt or .srt are broken.
    """
    shelf = _Shelf.of(texts)
    clips = []
    for path in paths:
        sounds = [path] if not path.is_dir() else _sounds(path)
        for sound in sounds:
            alone = len(paths) == 1 and not path.is_dir()
            reference = shelf.about(sound, alone=alone)
            if reference is not None:
                clips.append(Clip(sound, reference))
            elif not path.is_dir():
                raise ConfigError(f"{sound}: its words are missing; put them beside it as {sound.stem}.txt")
    quiet = [sound for path in nonspeech for sound in (_sounds(path) if path.is_dir() else [path])]
    clips += [Clip(sound, Reference()) for sound in quiet]
    if not clips:
        raise ConfigError("no recording with its words: put talk.txt (or .vtt, .srt, .stm) beside talk.flac")
    return clips


def read_stm(path: Path) -> dict[str, Reference]:
    """The reference of each recording that an STM file is about. Raises ConfigError with the number of a wrong line."""
    said: dict[str, list[tuple[float, str]]] = {}
    ignored: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.lstrip().startswith(";;"):
            continue
        name, start_s, end_s, words = _stm_line(line, f"{path}:{number}")
        said.setdefault(name, [])
        if IGNORED in words.lower():
            ignored.setdefault(name, []).append((start_s, end_s))
        elif spoken(words):
            said[name].append((start_s, words))
    return {
        name: Reference(
            tuple(words for _, words in sorted(lines, key=lambda line: line[0])), tuple(sorted(ignored.get(name, ())))
        )
        for name, lines in said.items()
    }


def spoken(text: str) -> bool:
    """Whether there is a word in it: a letter or a digit."""
    return any(letter.isalnum() for letter in text)


@dataclass(frozen=True)
class _Shelf:
    """Texts by the name of their recording; `only` is the text of a single recording, if no other text is here."""

    texts: dict[str, Reference]
    only: Reference | None = None
    seen: dict[Path, dict[str, Reference]] = field(default_factory=dict)  # of folders of recordings

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "_Shelf":
        files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
        texts: dict[str, Reference] = {}
        for file in files:
            if file.name.endswith((*TEXTS, STM)):
                texts |= _read(file)
            elif file in paths:
                raise ConfigError(f"--reference {file}: a text is one of {', '.join((*TEXTS, MANY, STM))}")
        if paths and not texts:
            raise ConfigError(f"--reference {paths[0]}: no text in it ({', '.join((*TEXTS, MANY, STM))})")
        return cls(texts, next(iter(texts.values())) if len(texts) == 1 else None)

    def about(self, sound: Path, *, alone: bool) -> Reference | None:
        """What is said in a recording, None if nothing is known of it."""
        if sound.stem in self.texts:
            return self.texts[sound.stem]
        if alone and self.only is not None:
            return self.only
        for ending in TEXTS:
            if (text := sound.with_suffix(ending)).is_file():
                return _read(text)[sound.stem]
        folder = sound.parent
        if folder not in self.seen:
            many = [*sorted(folder.glob(f"*{MANY}")), *sorted(folder.glob(f"*{STM}"))]
            self.seen[folder] = {name: text for file in many for name, text in _read(file).items()}
        return self.seen[folder].get(sound.stem)


def _read(path: Path) -> dict[str, Reference]:
    """What a file of texts says, by the names of recordings."""
    if path.name.endswith(STM):
        return read_stm(path)
    if path.name.endswith(MANY):
        named = (line.partition(" ") for line in _lines(path) if line.strip())
        return {name: Reference((words.strip(),) if spoken(words) else ()) for name, _, words in named}
    if path.suffix == ".txt":
        text = " ".join(_lines(path)).strip()
        return {path.stem: Reference((text,) if spoken(text) else ())}
    cues = sorted(read_cues(path), key=lambda cue: cue.start_s)
    return {path.stem: Reference(tuple(cue.text for cue in cues if spoken(cue.text)))}


def _stm_line(line: str, where: str) -> tuple[str, float, float, str]:
    fields = line.split(maxsplit=5)
    if len(fields) < 5:
        raise ConfigError(f"{where}: a line of an STM is: file channel speaker start end <labels> words")
    try:
        start_s, end_s = float(fields[3]), float(fields[4])
    except ValueError:
        raise ConfigError(f"{where}: start and end must be numbers, not {fields[3]!r} and {fields[4]!r}") from None
    if not 0 <= start_s <= end_s < math.inf:
        raise ConfigError(f"{where}: a segment from {start_s} to {end_s} s")
    words = fields[5] if len(fields) > 5 else ""
    label, _, rest = words.partition(" ")
    words = rest if _LABELS.match(label) else words
    while _ALTERNATIVES.search(words):
        words = _ALTERNATIVES.sub(lambda match: match[1].split("/")[0].replace("@", " "), words)
    return fields[0], start_s, end_s, " ".join(words.split())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as text: {error}") from error


def _sounds(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SOUNDS)
