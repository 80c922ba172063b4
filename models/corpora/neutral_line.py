"""The neutral format, a line of it: one dialogue as JSON. Its JSON Schema, and the reader that says what is wrong.

    {"dialogue": "d1", "utterances": [
      {"speaker": "Ann", "text": "Oh no.", "label": "sadness", "start_s": 0.0, "end_s": 1.2,
       "audio": "clips/d1_0.wav", "video": null, "prosody": {"duration": 1.2, "avg_pitch": null}}]}

An utterance needs a speaker; every other key may be absent or null. `schema` and dialogue.py tell what each means.
The schema says all that a schema can. Beyond it, this reader refuses an end before its start, a recording that several
utterances share without saying which piece is whose, and half characters (lone surrogates).
"""

import json
import re
from collections.abc import Callable, Container, Mapping
from math import nan
from pathlib import Path
from typing import Any

from erc_live.models.corpora.dialogue import PROSODY, Dialogue, Utterance

# Seconds, Hz or dB beyond this are nonsense; the bound also keeps out 1e999, which JSON allows and no number is.
LIMIT = 1e9
WORD = r"^(?![\s\S]*[\u0000-\u001f\u007f])[\s\S]*\S"  # on one line, and not blank
FILE = r"^[^\u0000]+$"
_WORD, _FILE = re.compile(WORD), re.compile(FILE)
SHOWN = 40  # characters of a wrong value in a message


class LineError(ValueError):
    """What is wrong with a line: where in it, what, and what should stand there instead; without the file's name."""


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of one line."""
    word: dict[str, Any] = {"type": "string", "pattern": WORD}
    time = {"type": ["number", "null"], "minimum": 0, "maximum": LIMIT}
    file = {"type": ["string", "null"], "pattern": FILE}
    about = {
        "speaker": ({**word, "type": ["string", "integer"]}, "Who speaks; the same in all utterances of this person."),
        "text": ({"type": ["string", "null"]}, "The words; empty or null where nothing was transcribed."),
        "label": ({**word, "type": ["string", "null"]}, "Any emotion of the corpus' own set; null: not labelled."),
        "start_s": (time, "Seconds from the beginning of the conversation."),
        "end_s": (time, "Not before start_s."),
        "audio": (
            file,
            "A media file, relative to the folder of this file. Named by one utterance it is its clip; named by "
            "several of a dialogue it is a recording, of which each has the piece from start_s to end_s.",
        ),
        "video": (file, "As audio; it may be the same file."),
        "prosody": (
            {
                "type": ["object", "null"],
                "properties": {
                    name: {"type": ["number", "null"], "minimum": -LIMIT, "maximum": LIMIT} for name in PROSODY
                },
                "additionalProperties": False,
            },
            "Measured with Praat, of the whole utterance: s, dB, dB, Hz, Hz, Hz, syllables/s, dB; null: not measured.",
        ),
    }
    about["estimate"] = ({}, "What `erc-live predict` found; read over, for an estimate is no label.")
    utterance = {
        "type": "object",
        "properties": {key: {"description": text, **form} for key, (form, text) in about.items()},
        "required": ["speaker"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A dialogue of a corpus, one per line",
        "type": "object",
        "properties": {
            "dialogue": {"description": "Its name, once in a corpus.", **word, "type": ["string", "integer"]},
            "utterances": {"description": "First to last.", "type": "array", "minItems": 1, "items": utterance},
        },
        "required": ["dialogue", "utterances"],
        "additionalProperties": False,
    }


def parse(line: bytes, folder: Path, labels: Container[str] | None = None) -> Dialogue:
    """Read a line whose media are relative to `folder`; `labels`, if given, are all that there may be.

    Raises:
        LineError: the line is not as the format says; the first thing that is wrong.
    """
    entry = _object(_json(line), ("dialogue", "utterances"), ("dialogue", "utterances"), "the line")
    name = _word(entry["dialogue"], '"dialogue"')
    where = f"dialogue {_short(name)}"
    turns = entry["utterances"]
    if not isinstance(turns, list) or not turns:
        raise LineError(f'{where}: "utterances" must be a list of at least one utterance, not {_short(turns)}')
    utterances = []
    for number, turn in enumerate(turns, 1):
        try:
            utterances.append(_utterance(turn, folder, labels))
        except LineError as error:
            raise LineError(f"{where}, utterance {number}: {error}") from error
    dialogue = Dialogue(name, tuple(utterances))
    _check_recordings(dialogue, where)
    return dialogue


def dump(dialogue: Dialogue, relative: Callable[[Path], str]) -> str:
    """The line of a dialogue, without its end; `relative` says how to write a path. What is absent is left out."""
    utterances = []
    for said in dialogue.utterances:
        entry: dict[str, Any] = {"speaker": said.speaker, "text": said.text, "label": said.label}
        entry |= {key: value for key in ("start_s", "end_s") if (value := getattr(said, key)) is not None}
        entry |= {key: relative(path) for key in ("audio", "video") if (path := getattr(said, key)) is not None}
        if said.prosody is not None:
            values = zip(PROSODY, said.prosody, strict=True)
            entry["prosody"] = {name: None if value != value else value for name, value in values}
        utterances.append(entry)
    return json.dumps({"dialogue": dialogue.name, "utterances": utterances}, ensure_ascii=False, allow_nan=False)


def _json(line: bytes) -> Any:
    def refuse(name: str) -> None:
        raise LineError(f"{name} is no number in JSON: write null for what was not measured")

    try:
        return json.loads(line.decode("utf-8"), parse_constant=refuse)
    except LineError:
        raise
    except UnicodeDecodeError as error:
        raise LineError(f"byte {error.start + 1} is not UTF-8: save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise LineError(f"not JSON at character {error.colno} ({error.msg}): write one dialogue per line") from error
    except (ValueError, RecursionError) as error:
        raise LineError("not JSON that can be read: a number too long, or brackets too deep") from error


def _utterance(turn: Any, folder: Path, labels: Container[str] | None) -> Utterance:
    entry = _object(turn, (*_FIELDS, "estimate"), ("speaker",), "an utterance")
    values = {key: read(entry[key], f'"{key}"') for key, read in _FIELDS.items() if entry.get(key) is not None}
    if "speaker" not in values:
        raise LineError('"speaker" must be a name, not null')
    label, start, end = values.get("label"), values.get("start_s"), values.get("end_s")
    if labels is not None and label is not None and label not in labels:
        raise LineError(f"label {_short(label)} is not in labels.txt: add it there, or mend it here")
    if start is not None and end is not None and end < start:
        raise LineError(f'"end_s" {end:g} lies before "start_s" {start:g}')
    fields: dict[str, Any] = {"text": "", "label": None, **values}
    fields |= {key: folder / values[key] for key in ("audio", "video") if key in values}
    return Utterance(**fields)


def _check_recordings(dialogue: Dialogue, where: str) -> None:
    for number, said in enumerate(dialogue.utterances, 1):
        shared = [path for path in (said.audio, said.video) if path in dialogue.recordings]
        if shared and (said.start_s is None or said.end_s is None):
            raise LineError(
                f'{where}, utterance {number}: "start_s" and "end_s" must say which piece of '
                f"{_short(str(shared[0]))} it is, for other utterances name that file too"
            )


def _object(value: Any, keys: tuple[str, ...], required: tuple[str, ...], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise LineError(f"{what} must be an object with the keys {', '.join(keys)}, not {_short(value)}")
    unknown = [key for key in value if key not in keys]
    if unknown:
        raise LineError(f"{what} has an unknown key {_short(unknown[0])}: the keys are {', '.join(keys)}")
    missing = [key for key in required if key not in value]
    if missing:
        raise LineError(f'"{missing[0]}" is missing')
    return value


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise LineError(f"{key} must be text, not {_short(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise LineError(
            f"{key} holds half a character at {error.start + 1} (a lone surrogate): write it whole"
        ) from error
    return value.strip()


def _word(value: Any, key: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        whole = isinstance(value, float) and value.is_integer()  # JSON Schema counts 1.0 as a whole number
        if not whole:
            raise LineError(f"{key} must be a name, not {_short(value)}")
        value = int(value)
    if isinstance(value, str) and not _WORD.match(value):
        raise LineError(f"{key} must be a name on one line and not blank, not {_short(value)}")
    return _text(str(value), key)


def _label(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise LineError(f"{key} must be a name or null, not {_short(value)}")
    return _word(value, key)


def _path(value: Any, key: str) -> str:
    if not isinstance(value, str) or not _FILE.match(value):
        raise LineError(f"{key} must be the path of a file or null, not {_short(value)}")
    _text(value, key)
    return value


def _number(value: Any, key: str, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= LIMIT:
        raise LineError(f"{key} must be a number from {least:g} to {LIMIT:g} or null, not {_short(value)}")
    return float(value)


def _time(value: Any, key: str) -> float:
    return _number(value, key, 0.0)


def _prosody(value: Any, key: str) -> tuple[float, ...]:
    entry = _object(value, PROSODY, (), key)
    return tuple(nan if entry.get(name) is None else _number(entry[name], f'"{name}"', -LIMIT) for name in PROSODY)


def _short(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 3]}..."


_FIELDS: Mapping[str, Callable[[Any, str], Any]] = {
    "speaker": _word,
    "text": _text,
    "label": _label,
    "start_s": _time,
    "end_s": _time,
    "audio": _path,
    "video": _path,
    "prosody": _prosody,
}
