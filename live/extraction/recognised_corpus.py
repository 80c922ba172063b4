"""A corpus as a recogniser hears it: its lines are read aloud, spoilt, and recognised as a session would.

Why: weights that learnt from written transcripts meet other words in a session: misheard ones, marks that a recogniser
sets or leaves out, and lines of which nothing is left.
The rule of this file: every line is noted on disk as soon as it is recognised, so that whatever ends a run costs the
line in work, and the same command goes on. Dialogues are taken whole, in an order that the seed alone decides, so more
lines of a corpus hold those of fewer.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from erc_live.live.asr.transcribers import Transcriber
from erc_live.live.extraction.reading_voices import ReadingVoice
from erc_live.live.requests import Speech
from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.errors import CorpusError
from erc_live.streams.errors import BadMessage
from erc_live.streams.journal import Log, log_lines
from erc_live.streams.messages import SAMPLE_RATE_HZ

Line = TypeVar("Line")


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a journal is of: its first line. Lines of another origin would be of other voices, or other ears."""

    corpus: str
    split: str
    seed: int
    recogniser: str


class RecognisedLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An utterance: what was `spoken`, by which voice and through what, and the `text` that was recognised."""

    dialogue: str
    utterance: int  # from 0
    voice: str
    sound: str
    spoken: str
    text: str


class LineJournal:
    """The lines that were recognised so far, on disk: the origin, then a JSON object for each."""

    def __init__(self, path: Path, origin: Origin) -> None:
        """Begin a journal, or go on with one. Raises CorpusError: it is of another origin, or no journal."""
        self.path = path
        self._lines: dict[tuple[str, int], RecognisedLine] = {}
        try:
            before = path.is_file() and self._resume(origin)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log = Log(path, resumed=before)
            if not before:
                self._log.append(msgspec.json.encode(origin))
        except (OSError, BadMessage) as error:
            raise CorpusError(f"{path} cannot be read and written ({error}): mend that, or remove it") from error

    def get(self, dialogue: str, utterance: int, spoken: str) -> RecognisedLine | None:
        """The line, if it was recognised. Raises CorpusError: then the corpus said something else there."""
        line = self._lines.get((dialogue, utterance))
        if line is not None and line.spoken != spoken:
            raise CorpusError(
                f"{self.path}: dialogue {dialogue!r}, utterance {utterance + 1} was {line.spoken!r} when it was read, "
                f"and the corpus has changed since: remove the journal, or give another folder"
            )
        return line

    def append(self, line: RecognisedLine) -> None:
        """Note a line; when this returns, it is on disk. Raises CorpusError: it cannot be written."""
        try:
            self._log.append(msgspec.json.encode(line))
        except OSError as error:
            raise CorpusError(f"{self.path} cannot be written ({error.strerror}): make room and go on") from error
        self._lines[line.dialogue, line.utterance] = line

    def close(self) -> None:
        self._log.close()

    def _resume(self, origin: Origin) -> bool:
        """Read what is there and cut off the line that a run died in; False if it died in the first one."""
        whole = 0  # bytes of whole lines
        for number, line in enumerate(log_lines(self.path), 1):
            if line.torn:
                break
            whole += len(line.text) + 1
            if number == 1:
                self._check(origin, self._decoded(line.text, number, Origin))
            else:
                entry = self._decoded(line.text, number, RecognisedLine)
                self._lines[entry.dialogue, entry.utterance] = entry
        if not whole:
            self.path.unlink()
            return False
        with self.path.open("rb+") as file:
            file.truncate(whole)
        return True

    def _decoded(self, text: bytes, number: int, kind: type[Line]) -> Line:
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorpusError(
                f"{self.path}: line {number} is none of this journal ({error}): remove the file, or mend the line"
            ) from error

    def _check(self, wanted: Origin, there: Origin) -> None:
        for name in Origin.__struct_fields__:
            before, now = getattr(there, name), getattr(wanted, name)
            if before != now:
                raise CorpusError(
                    f"{self.path} was begun with the {name} {before}, and this is {now}: give {before} again, or "
                    f"another folder"
                )


def chosen(split: Split, seed: int, lines: int | None) -> tuple[Dialogue, ...]:
    """Whole dialogues with so many lines at least, all without `lines`, in the order of the corpus."""

    def rank(dialogue: Dialogue) -> bytes:
        return hashlib.sha256(f"{seed} {dialogue.name}".encode()).digest()

    taken, count = set[str](), 0
    for dialogue in sorted(split.dialogues, key=rank):
        if lines is not None and count >= lines:
            break
        taken.add(dialogue.name)
        count += len(dialogue.utterances)
    return tuple(dialogue for dialogue in split.dialogues if dialogue.name in taken)


def recognise(
    dialogues: Sequence[Dialogue],
    cast: Callable[[str, str], ReadingVoice],
    transcriber: Transcriber,
    journal: LineJournal,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Dialogue]:
    """The dialogues with the text that was recognised, and as `spoken` what was read aloud.

    `cast` names the voice of a speaker in a dialogue. `advance` is called after each line. An utterance that is a
    recognised one already is read from its `spoken`. Raises CorpusError, EngineError.
    """
    for dialogue in dialogues:
        turns = []
        for place, utterance in enumerate(dialogue.utterances):
            spoken = original(utterance)
            line = journal.get(dialogue.name, place, spoken)
            if line is None:
                voice = cast(dialogue.name, utterance.speaker)
                line = RecognisedLine(
                    dialogue=dialogue.name,
                    utterance=place,
                    voice=voice.voice,
                    sound=voice.sound,
                    spoken=spoken,
                    text=_text(voice.read(spoken), transcriber),
                )
                journal.append(line)
            turns.append(replace(utterance, text=line.text, spoken=spoken))
            advance()
        yield replace(dialogue, utterances=tuple(turns))


def original(utterance: Utterance) -> str:
    """What somebody said, whatever a recogniser made of it."""
    return utterance.text if utterance.spoken is None else utterance.spoken


def _text(pcm: np.ndarray, transcriber: Transcriber) -> str:
    if not len(pcm):
        return ""
    return transcriber.transcribe(Speech(pcm, "reading", 0.0, len(pcm) / SAMPLE_RATE_HZ)).text
